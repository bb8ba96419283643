"""polyvec tune: somebody's own questions and passages -> a model tuned to them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from polyvec.cli.command import command
from polyvec.cli.lines import printable
from polyvec.cli.options import COUNT, NUMBER, PATH, json_option, model_option
from polyvec.cli.render import console, line, messages, print_done, print_json, progress_bar

if TYPE_CHECKING:
    from polyvec.training.tuning import TuningReport


@command(
    examples=[
        "polyvec tune pairs.jsonl my-model",
        "polyvec tune passages.jsonl my-model --steps 200",
    ]
)
@click.argument("pairs", metavar="PAIRS", type=PATH)
@click.argument("out", metavar="OUT", type=PATH)
@model_option
@click.option(
    "--held-out", type=NUMBER, default=0.2, show_default=True, help="Share of the passages that judge the result."
)
@click.option("--negatives", type=COUNT, default=2, show_default=True, help="Hard negatives a question, at most.")
@click.option("--steps", type=COUNT, help="Steps of training. Default: every question is met twice, 1,000 at most.")
@click.option("--rate", type=NUMBER, default=5e-5, show_default=True, help="Learning rate.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of everything that is drawn.")
@click.option("--threads", type=COUNT, help="Threads to compute with. Default: all cores.")
@json_option
def tune(
    pairs: Path,
    out: Path,
    model: str | None,
    held_out: float,
    negatives: int,
    steps: int | None,
    rate: float,
    seed: int,
    threads: int | None,
    as_json: bool,
) -> None:
    """Tune a model to questions and passages of your own.

    Rows of PAIRS have query and document, or text alone: then questions are taken from the passages. A lang in each row gives
    figures by language. A fifth of the passages is kept aside with its questions, and says what tuning brought. A
    thousand pairs take about a quarter of an hour on two cores.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    from polyvec.training.stages import need_packages

    need_packages()
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    from polyvec.training.tuning import TuningOptions
    from polyvec.training.tuning import tune as run

    options = TuningOptions(held_out=held_out, negatives=negatives, steps=steps, rate=rate, seed=seed)
    with progress_bar("") as bar:
        task = bar.add_task("Reading", total=None, done="", rate="")
        now, count = "", 0

        def progress(what: str, done: int, total: int) -> None:
            nonlocal now, count
            count = done if what != now else count + done
            now = what
            shown = f"{count:,} of {total:,}" if total else f"{count:,}"
            bar.update(task, description=what, total=total or None, completed=count, done=shown)

        report = run(pairs, out, model=model, options=options, progress=progress)
    if as_json:
        print_json(report.to_dict())
        return
    _print_report(report)
    if not report.better:
        said = f"{out} is not better than {report.model} on the questions kept aside: keep {report.model}, or give more pairs."
        messages.print(line(("! ", "yellow"), said), soft_wrap=True)
    print_done(f"{out} is written.")


def _print_report(report: TuningReport) -> None:
    from rich.table import Table

    from polyvec.training.tuning import MEASURE

    table = Table(title=f"{MEASURE} of questions kept aside", title_justify="left", box=None, padding=(0, 2))
    table.add_column("questions in", style="magenta")
    for name in ("before", "after"):
        table.add_column(name, justify="right")
    for lang, values in report.before.by_lang.items():
        table.add_row(printable(lang), f"{values[MEASURE]:.4f}", f"{report.after.by_lang[lang][MEASURE]:.4f}")
    sides = (report.before, report.after)
    table.add_row("all", *(f"{one.measures[MEASURE]:.4f}" for one in sides), style="bold")
    console.print(table)
    one = report.difference
    made = ", taken from the passages" if report.made_questions else ""
    console.print(
        f"  {report.judged:,} questions{made}, whose passages were not learned from: {one.difference:+.4f} "
        f"[{one.low:+.4f}, {one.high:+.4f}], p = {one.p:.4f}; learned from {report.questions:,} questions and "
        f"{report.negatives:,} hard negatives in {report.steps:,} steps, {report.kept:.0%} of it kept; {report.seconds:.0f} s",
        style="dim",
        soft_wrap=True,
    )
