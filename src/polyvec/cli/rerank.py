"""polyvec rerank: documents or a TREC run put in a better order."""

from __future__ import annotations

import time
from pathlib import Path

import click

from polyvec.cli.options import (
    COUNT,
    NAME,
    PATH,
    PATH_OR_DASH,
    TEXT,
    dim_option,
    json_option,
    model_option,
)
from polyvec.cli.render import print_hits, print_json
from polyvec.cli.streams import utf8_stdout
from polyvec.errors import InputError


@click.command()
@click.argument("arguments", metavar="[QUERY] DOCS", type=NAME, nargs=-1, required=True)
@click.option("-k", type=COUNT, default=10, show_default=True, help="How many to keep a query.")
@click.option("--run", "run_path", type=PATH, help="A TREC run to rerank, with --queries and --run-out.")
@click.option("--queries", type=PATH, help="The queries of the run: .jsonl or .tsv.")
@click.option("--run-out", type=PATH_OR_DASH, help="Where the new run goes; - is stdout.")
@click.option("--tag", type=TEXT, default="polyvec", show_default=True, help="Name of the system in the new run.")
@model_option
@dim_option
@json_option
def rerank(
    arguments: tuple[str, ...],
    k: int,
    run_path: Path | None,
    queries: Path | None,
    run_out: Path | None,
    tag: str,
    model: str | None,
    dim: int | None,
    as_json: bool,
) -> None:
    """Order the documents of DOCS by their score with QUERY.

    With --run: the documents of a TREC run by their scores with its queries. DOCS is any kind that `polyvec index`
    takes; - is JSON lines on stdin.
    """
    from polyvec.data import check_run_target, read_documents, read_queries, read_run, write_run
    from polyvec.encoder import Encoder
    from polyvec.search.rerank import rerank as rerank_documents
    from polyvec.search.rerank import rerank_run

    expected = 1 if run_path is not None else 2
    if len(arguments) != expected or len({run_path is None, queries is None, run_out is None}) != 1:
        raise InputError("Give either QUERY and DOCS, or DOCS with --run, --queries and --run-out.")
    if run_out is not None:
        check_run_target(run_out, tag, inputs=[arguments[-1], run_path, queries])
    documents = read_documents(arguments[-1])
    if run_path is not None and queries is not None and run_out is not None:
        run, asked = read_run(run_path), list(read_queries(queries))  # a wrong line is named before a model loads
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
