"""The bench command: speed and quality on this machine, or of one index against exact search; one JSON line a result."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from polyvec.cli.command import command
from polyvec.cli.options import PATH, k_option, model_option, queries_option, threads_option
from polyvec.cli.render import messages, print_json

if TYPE_CHECKING:
    from polyvec.bench.audit import AuditQuery
    from polyvec.collection.index import Index


@command(
    examples=[
        "polyvec bench",
        "polyvec bench --audit wiki.polyvec --queries questions.txt",
    ]
)
@click.option("--audit", "index_path", metavar="INDEX", type=PATH, help="Audit this index instead.")
@queries_option
@k_option(10, "Hits that an audit compares.")
@threads_option
@click.option(
    "--documents",
    type=click.IntRange(100, 10**9),
    default=5_000,
    show_default=True,
    help="Documents of made-up vectors to time the engine with.",
)
@model_option
def bench(
    index_path: Path | None, queries: Path | None, k: int, threads: int | None, documents: int, model: str | None
) -> None:
    """Measure speed and quality on this machine, in about a minute.

    Prints one JSON line a result.

    With --audit INDEX: compare searching INDEX with scoring every document of it, at the defaults, at recall targets and over
    a curve of settings: overlap@k and milliseconds a query. --queries has the questions to ask, in your users'
    own words where you can; without it, stretches of stored documents are asked.
    """
    from polyvec.bench.audit import audit
    from polyvec.bench.machine import bench as run_bench
    from polyvec.collection.index import Index

    if index_path is None:
        if queries is not None:
            raise click.UsageError("--queries is for --audit INDEX.")
        from polyvec.encoder import Encoder

        with tempfile.TemporaryDirectory() as folder:
            for line in run_bench(Path(folder), encoder=Encoder(model), documents=documents):
                print_json(line)
        return
    with Index.open(index_path) as index:
        for line in audit(index, _asked(index, index_path, queries), k=k, threads=threads):
            print_json(line)
    if queries is None:
        messages.print("Asked with stretches of stored documents; --queries takes real questions.", style="dim")


def _asked(index: Index, path: Path, queries: Path | None) -> list[AuditQuery]:
    from polyvec.bench.audit import AuditQuery, stretches
    from polyvec.data import read_queries

    if queries is None:
        return stretches(path)
    texts = [query.text for query in read_queries(queries)]
    return [AuditQuery(one.vectors) for one in index.encoder.stream_queries(texts)]
