"""The command that judges: evaluate."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from polyvec.cli.render import console, human_bytes, messages, print_json, progress_bar

if TYPE_CHECKING:
    from polyvec.evaluation.evaluation import EvaluationResult
    from polyvec.evaluation.job import Job


@click.command()
@click.argument("dataset", metavar="DATASET")
@click.option("--model", metavar="M", help="Checkpoint folder or hub name. Default: the model that ships with polyvec.")
@click.option(
    "--index", "index_path", type=click.Path(path_type=Path), help="Judge an index as it is, instead of making one."
)
@click.option(
    "--baseline", type=str, help="Judge another system instead: bm25, or dense:MODEL (folder, hub name, package)."
)
@click.option("--split", help="Which qrels of a BEIR folder.  [default: test, or the only one]")
@click.option("--dim", type=int, metavar="D", help="Which Matryoshka head to use.  [default: the model's]")
@click.option(
    "--nbits",
    type=int,
    metavar="B",
    help="Bits a dimension of a stored vector: 1, 2, 4, 8, or 16 for fp16.  [default: 4]",
)
@click.option(
    "--pool-factor", type=float, default=1.0, show_default=True, help="Pool this many document tokens into one."
)
@click.option(
    "--mode", type=click.Choice(["late", "keyword", "hybrid"]), default="late", show_default=True, help="How to search."
)
@click.option("-k", type=int, default=100, show_default=True, help="Depth of the run.")
@click.option("--exact", is_flag=True, help="Score every document; nothing is left to probing.")
@click.option(
    "--recall", type=float, metavar="R", help="Probe as much as finds this share of the exact top 10, such as 0.99."
)
@click.option("--nprobe", type=int, metavar="N", help="Centroids that each query token looks into.  [default: 32]")
@click.option(
    "--candidates", type=int, metavar="N", help="Documents scored in full.  [default: 512, or 8 for each hit of -k]"
)
@click.option(
    "--measures",
    default="nDCG@10 RR@10 R@100 Success@5",
    show_default=True,
    help="Measures, as ir-measures spells them.",
)
@click.option(
    "--run-out", type=click.Path(path_type=Path, allow_dash=True), help="Write the TREC run here; - is stdout."
)
@click.option("--compare", type=click.Path(path_type=Path), help="A TREC run to compare with, query by query.")
@click.option("--report", type=click.Path(path_type=Path), help="Write a page with charts to this folder.")
@click.option("--threads", type=int, default=None, help="Queries searched at a time.  [default: all cores]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def evaluate(run_out: Path | None, compare: Path | None, report: Path | None, as_json: bool, **asked: Any) -> None:
    """Judge a model on DATASET through an index, by language: a BEIR folder, or irds:ID.

    The index is made for the occasion, compressed as `polyvec index` would; --index takes one that is there.
    Known to ir_datasets (these need the network once): irds:beir/scifact/test, irds:miracl/de/dev, irds:mmarco/v2/fr/dev/small,
    irds:lotte/lifestyle/test/search, irds:msmarco-passage/dev/small.
    """
    from polyvec.data import read_run, write_run
    from polyvec.evaluation.dataset import load_dataset
    from polyvec.evaluation.job import do
    from polyvec.evaluation.significance import compare_runs

    job = _job(**asked)
    data = load_dataset(job.dataset, split=job.split)
    with counting(data.name) as progress:
        result = do(job, data, progress)
    if run_out is not None:
        write_run(run_out, result.run, tag="polyvec")
    comparison = None
    if compare is not None:
        found = compare_runs(data.qrels, result.run, read_run(compare), job.measures)
        comparison = {name: one.to_dict() for name, one in found.items()}
    if report is not None:
        from polyvec.evaluation.report import write_report

        page = write_report(report, data, result, comparison)
        messages.print(f"[cyan]i[/] report: {page}")
    if as_json:
        print_json({**result.to_dict(), **({"comparison": comparison} if comparison else {})})
    elif run_out is None or str(run_out) != "-":
        _print_result(result, comparison)


def job_of(words: Sequence[str]) -> Job:
    """What `polyvec evaluate WORDS` would judge. Raises click.UsageError for words that it does not take."""
    asked = dict(evaluate.make_context("evaluate", list(words)).params)
    for name in ("run_out", "compare", "report", "as_json"):
        del asked[name]
    return _job(**asked)


def _job(
    *,
    dataset: str,
    split: str | None,
    model: str | None,
    index_path: Path | None,
    baseline: str | None,
    dim: int | None,
    nbits: int | None,
    pool_factor: float,
    measures: str,
    threads: int | None,
    **search: Any,
) -> Job:
    from polyvec.evaluation.job import Job
    from polyvec.index.options import SearchOptions

    return Job(
        dataset=dataset,
        split=split,
        model=model,
        index=index_path,
        baseline=baseline,
        dim=dim,
        nbits=nbits,
        pool_factor=pool_factor,
        options=SearchOptions(**{name: value for name, value in search.items() if value is not None}),
        measures=tuple(measures.split()),
        threads=threads,
    )


@contextmanager
def counting(name: str) -> Iterator[Callable[[str, int], None]]:
    """A line that counts what is being done, with its rate."""
    with progress_bar("") as bar:
        task = bar.add_task(name, total=None, done="", rate="")
        state: dict[str, Any] = {"what": "", "count": 0, "started": time.monotonic()}

        def report(what: str, n: int) -> None:
            if what != state["what"]:
                state.update(what=what, count=0, started=time.monotonic())
            state["count"] += n
            rate = state["count"] / max(time.monotonic() - state["started"], 1e-9)
            bar.update(task, done=f"{state['count']:,} {what}", rate=f"{rate:,.0f}/s")

        yield report


def _print_result(result: EvaluationResult, comparison: dict[str, Any] | None) -> None:
    names = list(result.measures)
    table = Table(title=f"{result.dataset}, {result.model}", title_justify="left", box=None, padding=(0, 2))
    table.add_column("queries in", style="magenta")
    for name in names:
        table.add_column(name, justify="right")
    for lang, row in result.by_lang.items():
        table.add_row(lang, *(f"{row[name]:.4f}" for name in names))
    if len(result.by_lang) > 1:
        table.add_row("macro average", *(f"{result.macro[name]:.4f}" for name in names), style="bold")
    table.add_row("all queries", *(f"{result.measures[name]:.4f}" for name in names), style="bold")
    console.print(table)
    seconds = result.seconds
    console.print(
        f"  [dim]{result.queries:,} queries, {result.documents:,} documents, {result.tokens:,} token vectors, "
        f"{human_bytes(result.index_bytes)}; encode {seconds['encode']:.1f} s, index {seconds['index']:.1f} s, "
        f"search {seconds['search']:.1f} s[/]",
        soft_wrap=True,
    )
    for name, row in (comparison or {}).items():
        console.print(
            f"  {name}: {row['ours']:.4f} against {row['theirs']:.4f}, difference {row['difference']:+.4f} "
            f"[{row['low']:+.4f}, {row['high']:+.4f}], p = {row['p']:.4f}",
            markup=False,
        )
