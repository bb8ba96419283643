"""polyvec index: documents to a new index."""

from __future__ import annotations

import time
from pathlib import Path

from polyvec.cli.command import command
from polyvec.cli.options import (
    dim_option,
    docs_argument,
    index_argument,
    json_option,
    model_option,
    nbits_option,
    processes_option,
    strings_option,
)
from polyvec.cli.render import human_bytes, print_done, print_json
from polyvec.cli.reports import counting_documents, print_report, report_counts


@command(
    examples=[
        "polyvec index docs.jsonl wiki.polyvec",
        "polyvec index docs.jsonl small.polyvec --dim 64 --nbits 2",
        "cat docs.jsonl | polyvec index - piped.polyvec",
    ]
)
@docs_argument
@index_argument
@model_option
@dim_option
@nbits_option
@strings_option
@processes_option
@json_option
def index(
    docs: Path,
    index_path: Path,
    model: str | None,
    dim: int | None,
    nbits: int | None,
    strings: bool,
    processes: int,
    as_json: bool,
) -> None:
    """Index documents: DOCS to a new INDEX.

    DOCS is a .jsonl, .ndjson, .csv, .tsv (each also .gz, .zst) or .parquet file, a folder of .txt and .md files, a BEIR
    folder, or - for JSON lines on stdin. An interrupted run is resumed by the same command.
    """
    from polyvec.collection.build import build_index
    from polyvec.collection.index import DEFAULT_NBITS
    from polyvec.data import read_documents
    from polyvec.encoder import Encoder

    started = time.perf_counter()
    with counting_documents("encoding", docs) as (progress, on_bytes):
        # Before the model loads: this says where there is nothing to read.
        documents = read_documents(docs, progress=on_bytes, typed=not strings)
        encoder = Encoder(model, dim=dim)
        built, report = build_index(
            documents,
            index_path,
            encoder=encoder,
            nbits=DEFAULT_NBITS if nbits is None else nbits,
            source=str(docs if str(docs) == "-" else docs.resolve()),
            progress=progress,
            processes=processes,
        )
    seconds = time.perf_counter() - started
    info = built.info()
    built.close()
    if as_json:
        print_json({**report_counts(report), **info, "seconds": round(seconds, 3)})
        return
    plural = "" if info["documents"] == 1 else "s"
    print_done(
        f"{info['documents']:,} document{plural}, {info['tokens']:,} token vectors, {human_bytes(info['size_bytes'])} in ",
        (index_path, "bold"),
        (f" ({seconds:.1f} s, model {info['model']})", "dim"),
    )
    print_report(report, encoder.document_length)
