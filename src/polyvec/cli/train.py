"""Commands that train: train, mine, teach."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from polyvec.cli.options import COUNT, NAME, NUMBER, PATH, json_option
from polyvec.cli.render import console, line, print_done, print_json, progress_bar


@contextmanager
def _counted(what: str, unit: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar that is told how many more are done."""
    with progress_bar(unit) as bar:
        task = bar.add_task(what, total=total, done="0", rate="")
        count, started = 0, time.monotonic()

        def more(n: int) -> None:
            nonlocal count
            count += n
            rate = count / max(time.monotonic() - started, 1e-9)
            bar.update(task, advance=n, done=f"{count:,}", rate=f"{rate:,.1f}/s")

        yield more


@click.command()
@click.argument("recipe", metavar="RECIPE.toml", type=PATH)
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint of the same recipe.")
@click.option("--threads", type=COUNT, help="Threads to compute with. Default: all cores.")
@json_option
def train(recipe: Path, resume: bool, threads: int | None, as_json: bool) -> None:
    """Run one training stage as RECIPE.toml says.

    The stages: start, mlm, shrink, transfer, pairs, distill. Interrupt it when you like: --resume goes on with the
    same batches. Several GPUs or processes: torchrun -m polyvec train RECIPE.toml.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    from polyvec.training.recipe import read_recipe
    from polyvec.training.stages import train as run

    settings = read_recipe(recipe)
    with _counted("Training", "steps", settings.optimiser.steps) as bar:
        done = 0

        def told(step: int, steps: int, values: dict[str, float]) -> None:
            nonlocal done
            bar(step - done)
            done = step
            shown = [f"{name} {values[name]:.4f}" for name in ("loss", "nDCG@10") if name in values]
            if shown and not as_json:
                console.print(line(("step ", "dim"), step, (" of ", "dim"), f"{steps}  {'  '.join(shown)}"))

        result = run(recipe, resume=resume, told=told)
    if not result:  # one of several processes, and not the one that writes
        return
    if as_json:
        print_json(result)
    else:
        print_done(f"{settings.output} is written.")


@click.command()
@click.argument("data", metavar="DATA", type=PATH)
@click.argument("out", metavar="OUT.jsonl", type=PATH)
@click.option(
    "--model", type=NAME, help="Model that finds the negatives: a folder or a hub name. Default: the one that ships."
)
@click.option("--negatives", type=COUNT, default=7, show_default=True, help="Hard negatives a question, at most.")
@click.option("--first-rank", type=COUNT, default=1, show_default=True, help="First rank that negatives may come from.")
@click.option("--last-rank", type=COUNT, default=100, show_default=True, help="Last rank that negatives may come from.")
@click.option(
    "--margin",
    type=NUMBER,
    default=0.95,
    show_default=True,
    help="Drop a candidate that scores more than this share of the true passage.",
)
@json_option
def mine(
    data: Path,
    out: Path,
    model: str | None,
    negatives: int,
    first_rank: int,
    last_rank: int,
    margin: float,
    as_json: bool,
) -> None:
    """Find hard negatives for the questions in DATA.

    They come from an index of the documents in DATA. Rows of DATA have query and document, and answer where it is known.
    """
    from polyvec.atomic import check_destination
    from polyvec.encoder import Encoder
    from polyvec.training.mining import MiningOptions, questions
    from polyvec.training.mining import mine as run

    MiningOptions(negatives=negatives, first_rank=first_rank, last_rank=last_rank, margin=margin)
    check_destination(out, inputs=[data], new=True)
    questions(data)  # a wrong row is named before a model loads
    encoder = Encoder(model)
    with _counted("Mining", "texts", None) as bar:
        report = run(
            data, out, encoder=encoder, negatives=negatives, first_rank=first_rank, last_rank=last_rank, margin=margin, progress=bar
        )  # fmt: skip
    if as_json:
        print_json(vars(report))
        return
    console.print(
        f"{report.queries} questions, {report.negatives} negatives; {report.holding_answer} candidates held the answer, "
        f"{report.too_near} scored too near the true passage."
    )


@click.command()
@click.argument("data", metavar="DATA", type=PATH)
@click.argument("out", metavar="OUT.jsonl", type=PATH)
@click.option(
    "--cross-encoder", "cross", type=NAME, help="A sentence-transformers CrossEncoder: a folder or a hub name."
)
@click.option("--dense", type=NAME, help="A sentence-transformers dense model as teacher, such as all-MiniLM-L6-v2.")
@click.option("--late", type=NAME, help="A late-interaction model as teacher: a folder, a hub name, or polyvec-mini.")
@json_option
def teach(data: Path, out: Path, cross: str | None, dense: str | None, late: str | None, as_json: bool) -> None:
    """Score the candidates in DATA (query, documents) with a teacher.

    Run it again to go on after an interruption.
    """
    from polyvec.atomic import check_destination
    from polyvec.training import teaching

    if [cross, dense, late].count(None) != 2:
        raise click.UsageError("Give one teacher: --cross-encoder, --dense or --late.")
    check_destination(out, inputs=[data], new=True)
    teaching.check_source(data)  # a wrong row is named before a model loads
    if cross is not None:
        teacher = teaching.cross_encoder(cross)
    elif dense is not None:
        teacher = teaching.dense(dense)
    else:
        teacher = teaching.late(str(late))
    with _counted("Teaching", "questions", None) as bar:
        written = teaching.teach(data, out, teacher, progress=bar)
    if as_json:
        print_json({"rows": written})
    else:
        console.print(line(f"{written} questions scored into {out}."), soft_wrap=True)
