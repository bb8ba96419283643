"""The command that judges: evaluate."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from polyvec.cli.command import command
from polyvec.cli.lines import printable
from polyvec.cli.options import (
    NAME,
    PATH,
    TEXT,
    dim_option,
    json_option,
    k_option,
    mode_option,
    model_option,
    nbits_option,
    pool_factor_option,
    probing_options,
    run_out_option,
    split_option,
    threads_option,
)
from polyvec.cli.render import console, human_bytes, line, messages, print_json, progress_bar
from polyvec.cli.streams import utf8_stdout
from polyvec.errors import InputError

PerQuery = dict[str, dict[str, float]]

if TYPE_CHECKING:
    from polyvec.evaluation.dataset import Dataset
    from polyvec.evaluation.evaluation import EvaluationResult
    from polyvec.evaluation.job import Job
    from polyvec.evaluation.robustness import Perturbed
    from polyvec.evaluation.significance import Comparison


@command(
    examples=[
        "polyvec evaluate my-beir-folder",
        "polyvec evaluate my-beir-folder --nbits 2 --against bm25 --report report",
        "polyvec evaluate my-beir-folder --perturb upper,noaccents,typos,documents:upper",
        'polyvec evaluate my-beir-folder --index wiki.polyvec --measures "nDCG@10 R@100" --json',
    ]
)
@click.argument("dataset", metavar="DATASET", type=NAME)
@model_option
@click.option("--index", "index_path", type=PATH, help="Judge an index as it is, instead of making one.")
@click.option(
    "--baseline", type=NAME, help="Judge another system instead: bm25, or dense:MODEL (folder, hub name, package)."
)
@split_option
@dim_option
@nbits_option
@pool_factor_option
@mode_option
@k_option(100, "Depth of the run.")
@probing_options
@click.option(
    "--measures",
    type=TEXT,
    default="nDCG@10 RR@10 R@100 Success@5",
    show_default=True,
    help="Measures, as ir-measures spells them.",
)
@run_out_option
@click.option("--compare", type=PATH, help="A TREC run to compare with, query by query.")
@click.option(
    "--against",
    type=NAME,
    multiple=True,
    metavar="SYSTEM",
    help="Judge this too, in the same table: bm25, keyword, dense:MODEL, late:MODEL. Repeatable.",
)
@click.option(
    "--perturb",
    type=TEXT,
    metavar="KINDS",
    help="Judge queries as people type them, too: upper, lower, noaccents, nopunctuation, typos, keywords, latin, or all; "
    "documents:KIND changes the documents.",
)
@click.option("--report", type=PATH, help="Write a page with charts to this folder.")
@threads_option
@json_option
def evaluate(
    run_out: Path | None,
    compare: Path | None,
    against: tuple[str, ...],
    perturb: str | None,
    report: Path | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """Judge a model on DATASET through an index, by language.

    DATASET is a BEIR folder, or irds:ID. The index is made for the occasion, compressed as `polyvec index` would;
    --index takes one that is there. Known to ir_datasets (these need the network once): irds:beir/scifact/test,
    irds:miracl/de/dev, irds:mmarco/v2/fr/dev/small, irds:lotte/lifestyle/test/search, irds:msmarco-passage/dev/small.
    """
    from polyvec.data import write_run
    from polyvec.evaluation.dataset import load_dataset
    from polyvec.evaluation.robustness import perturbations
    from polyvec.evaluation.significance import compare_measures

    job, kinds = _job(**asked), perturbations(perturb) if perturb is not None else ()
    if kinds and job.index is not None:
        _refuse_documents(kinds)
    data = load_dataset(job.dataset, split=job.split)
    _check_outputs(run_out, report, data, [job.dataset, job.index, compare, job.model])
    theirs = None if compare is None else _read_values(data, compare, job.measures)
    with counting(data.name) as progress:
        result, others, typed = _judged(job, data, against, kinds, progress)
    if run_out is not None:
        with utf8_stdout():
            write_run(run_out, result.run, tag="polyvec")
    comparisons = [
        (name, values, compare_measures(result.per_query, values, job.measures)) for name, values in others.items()
    ]
    if compare is not None and theirs is not None:
        comparisons.append((compare.name, theirs, compare_measures(result.per_query, theirs, job.measures)))
    if report is not None:
        from polyvec.evaluation.report import write_report

        page = write_report(report, data, result, comparisons, typed)
        messages.print(line(("i", "cyan"), " report: ", page), soft_wrap=True)
    if as_json:
        shown = {name: {m: one.to_dict() for m, one in found.items()} for name, _, found in comparisons}
        if compare is not None:
            shown = {**shown, "comparison": shown.pop(compare.name)}
        as_typed = {one.kind: one.to_dict() for one in typed}
        more = {**({"against": shown} if shown else {}), **({"perturbed": as_typed} if typed else {})}
        print_json({**result.to_dict(), **more})
    elif run_out is None or str(run_out) != "-":
        _print_result(result, comparisons)
        if typed:
            _print_perturbed(result, typed)


def _judged(
    job: Job, data: Dataset, against: Sequence[str], kinds: Sequence[str], progress: Callable[[str, int], None]
) -> tuple[EvaluationResult, dict[str, PerQuery], list[Perturbed]]:
    """The result, the other systems' values by query and measure, and the results of what people type."""
    from polyvec.evaluation.job import Workshop, comparison_run, do
    from polyvec.evaluation.robustness import Perturbed, count_changed, perturbed_dataset

    if not against and not kinds:
        return do(job, data, progress), {}, []
    comparisons = {system: comparison_run(job, system) for system in against}
    with Workshop(progress=progress) as workshop:
        result, typed = workshop.do(job), []
        for kind in sorted(kinds, key=lambda kind: ":" in kind):  # those of queries share the index that is there
            changed = count_changed(data, perturbed_dataset(data, kind))
            typed.append(Perturbed(kind, changed, workshop.do(replace(job, perturb=kind))))
        return result, {system: workshop.do(one).per_query for system, one in comparisons.items()}, typed


def _refuse_documents(kinds: Sequence[str]) -> None:
    for kind in kinds:
        if ":" in kind:
            raise InputError(
                f"--perturb {kind}: the documents of an index that is there stay as they are. Leave --index out."
            )


def _read_values(data: Dataset, run: Path, measures: Sequence[str]) -> PerQuery:
    from polyvec.data import read_run
    from polyvec.evaluation.measures import compute_measures

    found = read_run(run)
    absent = data.qrels.keys() - found.keys()
    if len(absent) == len(data.qrels):
        raise InputError(f"{run} has none of the {len(data.qrels):,} judged queries, {min(absent)!r} among them.")
    if absent:
        lacking = f"{run} lacks {len(absent):,} of {len(data.qrels):,} judged queries; they count 0"
        messages.print(line(("! ", "yellow"), lacking))
    return compute_measures(data.qrels, found, measures)


def _check_outputs(
    run_out: Path | None, report: Path | None, data: Dataset, inputs: Sequence[str | Path | None]
) -> None:
    """Refuse what cannot be written before anything is encoded."""
    from polyvec.atomic import check_destination_folder
    from polyvec.data import check_run_target

    if run_out is not None:
        judged = (document_id for grades in data.qrels.values() for document_id in grades)
        check_run_target(run_out, "polyvec", inputs=inputs, ids=chain((query.id for query in data.queries), judged))
    if report is not None:
        from polyvec.evaluation.report import pyplot

        check_destination_folder(report)
        pyplot()  # names the package where matplotlib is not installed


def job_of(words: Sequence[str]) -> Job:
    """What `polyvec evaluate WORDS` would judge.

    Args:
        words: Arguments and options of the command.

    Returns:
        The job.

    Raises:
        UsageError: The command does not take these words.
    """
    asked = dict(evaluate.make_context("evaluate", list(words)).params)
    for name in ("run_out", "compare", "against", "perturb", "report", "as_json"):
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
    from polyvec.index.engine.options import SearchOptions

    return Job(
        dataset=dataset,
        split=split,
        model=model,
        index=index_path,
        baseline=baseline,
        dim=dim,
        nbits=nbits,
        pool_factor=pool_factor,
        options=SearchOptions.from_dict(search),
        measures=tuple(measures.split()),
        threads=threads,
    )


@contextmanager
def counting(name: str) -> Iterator[Callable[[str, int], None]]:
    """A line that counts what is being done, with its rate.

    Args:
        name: What it is called, such as the data set.

    Yields:
        A function that takes what is done and how many more.
    """
    with progress_bar("") as bar:
        task = bar.add_task(printable(name), total=None, done="", rate="")
        state: dict[str, Any] = {"what": "", "count": 0, "started": time.monotonic()}

        def report(what: str, n: int) -> None:
            if what != state["what"]:
                state.update(what=what, count=0, started=time.monotonic())
            state["count"] += n
            rate = state["count"] / max(time.monotonic() - state["started"], 1e-9)
            bar.update(task, done=f"{state['count']:,} {what}", rate=f"{rate:,.0f}/s")

        yield report


def _print_result(result: EvaluationResult, comparisons: Sequence[tuple[str, PerQuery, dict[str, Comparison]]]) -> None:
    names = list(result.measures)
    from rich.table import Table

    table = Table(title=printable(f"{result.dataset}, {result.model}"), title_justify="left", box=None, padding=(0, 2))
    table.add_column("queries in", style="magenta")
    for name in names:
        table.add_column(name, justify="right")
    for lang, row in result.by_lang.items():
        table.add_row(printable(lang), *(f"{row[name]:.4f}" for name in names))
    if len(result.by_lang) > 1:
        table.add_row("macro average", *(f"{result.macro[name]:.4f}" for name in names), style="bold")
    table.add_row("all queries", *(f"{result.measures[name]:.4f}" for name in names), style="bold")
    for system, _, found in comparisons:
        table.add_row(printable(f"all queries, {system}"), *(f"{found[name].theirs:.4f}" for name in names))
    console.print(table)
    seconds = result.seconds
    console.print(
        f"  {result.queries:,} queries, {result.documents:,} documents, {result.tokens:,} token vectors, "
        f"{human_bytes(result.index_bytes)}, {result.bytes_per_token:.1f} bytes a token; encode {seconds['encode']:.1f} s, "
        f"index {seconds['index']:.1f} s, search {seconds['search']:.1f} s",
        style="dim",
        soft_wrap=True,
    )
    if result.own_language:
        own = result.own_language["all"]
        console.print(
            f"  in the query's own language: {own['found']:.1%} of the first ten hits, {own['judged']:.1%} of what is judged right",
            style="dim",
            soft_wrap=True,
        )
    for system, _, found in comparisons:
        console.print(
            line(f"  less {system}: mean difference, its 95 % interval, and p of a paired randomization test")
        )
        for name, one in found.items():
            console.print(f"    {name}: {one.difference:+.4f} [{one.low:+.4f}, {one.high:+.4f}], p = {one.p:.4f}")


def _print_perturbed(result: EvaluationResult, typed: Sequence[Perturbed]) -> None:
    """The first measure by language and by what was done to the texts."""
    from rich.table import Table

    measure = next(iter(result.measures))
    table = Table(title=printable(f"{measure} as people type"), title_justify="left", box=None, padding=(0, 1))
    table.add_column("queries in", style="magenta")
    table.add_column("as written", justify="right")
    for one in typed:
        table.add_column(printable(one.kind), justify="right")
    for lang, row in result.by_lang.items():
        values = (f"{one.result.by_lang[lang][measure]:.4f}" for one in typed)
        table.add_row(printable(lang), f"{row[measure]:.4f}", *values)
    values = (f"{one.result.measures[measure]:.4f}" for one in typed)
    table.add_row("all queries", f"{result.measures[measure]:.4f}", *values, style="bold")
    table.add_row("texts changed", "", *(f"{one.changed:,}" for one in typed), style="dim")
    console.print(table)
