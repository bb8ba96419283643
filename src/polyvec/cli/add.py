"""polyvec add and polyvec update: documents into an index that is there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from polyvec.cli.options import (
    docs_argument,
    index_argument,
    json_option,
    strings_option,
)
from polyvec.cli.render import print_done, print_json
from polyvec.cli.reports import counting_documents, print_report, report_counts

if TYPE_CHECKING:
    from polyvec.index.writing.writer import Existing


def _changing(name: str, existing: Existing, text: str) -> click.Command:
    @click.command(name, help=text)
    @index_argument
    @docs_argument
    @strings_option
    @json_option
    def command(index_path: Path, docs: Path, strings: bool, as_json: bool) -> None:
        from polyvec.collection.index import Index
        from polyvec.data import read_documents

        with Index.open(index_path) as opened, counting_documents("encoding", docs) as (progress, on_bytes):
            documents = read_documents(docs, progress=on_bytes, typed=not strings)
            report = opened.add(documents, existing=existing, progress=progress)
            limit = opened.encoder.document_length
        if as_json:
            print_json(report_counts(report))
            return
        replaced = f", {report.replaced:,} replaced" if existing == "replace" else ""
        print_done(f"{report.added:,} added{replaced}, {report.tokens:,} token vectors")
        print_report(report, limit)

    return command


add = _changing("add", "error", "Add the documents of DOCS to INDEX. An id that is there already is an error.")
update = _changing("update", "replace", "Replace documents of INDEX by id, and add new ones, from DOCS.")
