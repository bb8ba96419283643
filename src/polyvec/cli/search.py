"""polyvec search: queries -> hits, or a TREC run."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from polyvec.cli.command import command
from polyvec.cli.options import (
    NUMBER,
    TEXT,
    filter_option,
    index_argument,
    json_option,
    k_option,
    mode_option,
    probing_options,
    queries_option,
    run_out_option,
    tag_option,
    threads_option,
)
from polyvec.cli.render import messages, print_explanation, print_hits, print_json
from polyvec.cli.streams import utf8_stdout
from polyvec.errors import InputError

if TYPE_CHECKING:
    from polyvec.collection.index import Index
    from polyvec.data import Query
    from polyvec.index.engine.options import SearchOptions
    from polyvec.search.explain import Explanation
    from polyvec.search.hits import Hit
    from polyvec.shards.shards import Shards


_BATCH = 64  # queries encoded together when many are given


@command(
    examples=[
        'polyvec search wiki.polyvec "why is the sky blue?"',
        'polyvec search wiki.polyvec "tea" -k 3 --filter \'{"lang": "de"}\' --json',
        "polyvec search wiki.polyvec --queries questions.txt --run-out run.trec",
    ]
)
@index_argument
@click.argument("query", metavar="[QUERY]", type=TEXT, required=False)
@k_option(None)
@queries_option
@run_out_option
@tag_option
@mode_option
@click.option("--fusion", type=click.Choice(["rank", "weight"]), help="How hybrid fuses.  [default: weight]")
@click.option(
    "--weight", type=NUMBER, metavar="W", help="Share of MaxSim in hybrid, 0 to 1.  [default: 0.8; 0.5 by rank]"
)
@click.option("--min-score", type=NUMBER, metavar="S", help="Leave out hits whose normalized score, 0 to 1, is below.")
@filter_option
@click.option("--explain", is_flag=True, help="Show which query token met which document token.")
@probing_options
@threads_option
@json_option
def search(
    index_path: Path,
    query: str | None,
    k: int | None,
    queries: Path | None,
    run_out: Path | None,
    tag: str,
    mode: str,
    fusion: str | None,
    weight: float | None,
    min_score: float | None,
    condition: Any,
    explain: bool,
    exact: bool,
    recall: float | None,
    nprobe: int | None,
    candidates: int | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Search INDEX for QUERY, in any language the model knows.

    Matching words are marked by strength; --json prints one line a query. Without QUERY, questions are read from
    --queries or from stdin.
    """
    from polyvec.data import check_run_target, write_run
    from polyvec.index.engine.options import SearchOptions
    from polyvec.shards.opening import open_collection

    if run_out is not None:
        check_run_target(run_out, tag, inputs=[index_path, queries])
    wanted = _wanted(query, queries)
    options = SearchOptions.from_dict(
        {
            "k": k,
            "mode": mode,
            "fusion": fusion,
            "weight": weight,
            "min_score": min_score,
            "exact": exact,
            "recall": recall,
            "nprobe": nprobe,
            "candidates": candidates,
            "filter": condition,
            "explain": explain,
        }
    )
    with open_collection(index_path) as index:
        answers = _answers(index, wanted, options, threads)
        if run_out is not None:
            results = ((asked.id, [(hit.id, hit.score) for hit in hits]) for asked, hits, _ in answers)
            with utf8_stdout():
                write_run(run_out, results, tag=tag)
            return
        for asked, hits, seconds in answers:
            if as_json:
                print_json(_answer_json(asked, hits, seconds, options.explain))
                continue
            marked = explain or mode != "keyword"  # keywords need no model, so none is loaded to mark them
            explanations = [_explained(hit, explain) if hit.text and marked else None for hit in hits]
            print_hits(asked.text, hits, explanations, seconds)
            if explain:
                for explanation in filter(None, explanations[:1]):
                    print_explanation(explanation)


def _explained(hit: Hit, wanted: bool) -> Explanation | None:
    """Why a hit was found; None where that cannot be said and was not asked for, so that it is shown without marks."""
    try:
        return hit.explain()
    except InputError:
        if wanted:
            raise
        return None


def _wanted(query: str | None, queries: Path | None) -> Iterator[Query]:
    from polyvec.data import Query, read_queries

    if query is not None and queries is not None:
        raise InputError("Give either QUERY or --queries, not both.")
    if query is not None:
        return iter([Query("1", query, None, {})])
    if queries is None and sys.stdin.isatty():
        messages.print("Type a question and press Enter; Ctrl-D ends.", style="dim")
    return iter(read_queries(queries if queries is not None else Path("-")))


def _answers(
    index: Index | Shards, queries: Iterator[Query], options: SearchOptions, threads: int | None
) -> Iterator[tuple[Query, list[Hit], float]]:
    """Answer queries in batches; somebody who types is answered at once."""
    size = 1 if sys.stdin.isatty() else _BATCH
    if options.mode != "keyword":
        _ = index.encoder  # loaded before the clock starts
    while batch := _take(queries, size):
        started = time.perf_counter()
        results = index.search([query.text for query in batch], options=options, threads=threads)
        seconds = (time.perf_counter() - started) / len(batch)
        yield from ((query, hits, seconds) for query, hits in zip(batch, results, strict=True))


def _take(queries: Iterator[Query], size: int) -> list[Query]:
    batch = []
    for query in queries:
        batch.append(query)
        if len(batch) == size:
            break
    return batch


def _answer_json(asked: Query, hits: list[Hit], seconds: float, explain: bool) -> dict[str, Any]:
    shown = []
    for hit in hits:
        fields = hit.to_dict()
        if explain and hit.text:
            fields["explanation"] = hit.explain().to_dict()
        shown.append(fields)
    return {"id": asked.id, "query": asked.text, "hits": shown, "seconds": round(seconds, 6)}
