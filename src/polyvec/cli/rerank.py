"""polyvec rerank: documents or a TREC run put in a better order."""

from __future__ import annotations

import time
from pathlib import Path

import click

from polyvec.cli.command import command
from polyvec.cli.options import (
    NAME,
    TEXT,
    dim_option,
    json_option,
    k_option,
    model_option,
    queries_option,
    run_in_option,
    run_out_option,
    tag_option,
)
from polyvec.cli.render import print_hits, print_json
from polyvec.cli.streams import utf8_stdout
from polyvec.errors import InputError


@command(
    examples=[
        'polyvec rerank "why is the sky blue?" docs.jsonl -k 3',
        "polyvec rerank docs.jsonl --run-in bm25.trec --queries questions.tsv --run-out new.trec",
    ]
)
@click.argument("arguments", metavar="[QUERY] DOCS", type=NAME, nargs=-1, required=True)
@k_option(10)
@run_in_option
@queries_option
@run_out_option
@tag_option
@model_option
@dim_option
@json_option
def rerank(
    arguments: tuple[str, ...],
    k: int,
    run_in: Path | None,
    queries: Path | None,
    run_out: Path | None,
    tag: str,
    model: str | None,
    dim: int | None,
    as_json: bool,
) -> None:
    """Order the documents of DOCS by their score with QUERY.

    With --run-in, --queries and --run-out: the documents of a TREC run by their scores with its queries. DOCS is any
    kind that `polyvec index` takes; - is JSON lines on stdin.
    """
    from polyvec.data import check_run_target, read_documents, read_queries, read_run, write_run
    from polyvec.encoder import Encoder
    from polyvec.search.rerank import rerank as rerank_documents
    from polyvec.search.rerank import rerank_run

    expected = 1 if run_in is not None else 2
    if len(arguments) != expected or len({run_in is None, queries is None, run_out is None}) != 1:
        raise InputError("Give either QUERY and DOCS, or DOCS with --run-in, --queries and --run-out.")
    if run_out is not None:
        check_run_target(run_out, tag, inputs=[arguments[-1], run_in, queries])
    documents = read_documents(arguments[-1])
    if run_in is not None and queries is not None and run_out is not None:
        run, asked = read_run(run_in), list(read_queries(queries))  # a wrong line is named before a model loads
        results = rerank_run(run, asked, documents, encoder=Encoder(model, dim=dim), k=k)
        with utf8_stdout():
            write_run(run_out, results, tag=tag)
        return
    query, given = arguments[0], list(documents)
    encoder = Encoder(model, dim=dim)
    started = time.perf_counter()
    query = str(TEXT.convert(query, None, click.get_current_context()))
    hits = rerank_documents(query, given, encoder=encoder, k=k)
    seconds = time.perf_counter() - started
    if as_json:
        print_json({"query": query, "hits": [hit.to_dict() for hit in hits], "seconds": round(seconds, 4)})
        return
    print_hits(query, hits, [hit.explain() for hit in hits], seconds)
