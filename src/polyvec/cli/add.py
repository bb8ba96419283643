"""polyvec add and polyvec update: documents into an index that is there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from polyvec.cli.command import command
from polyvec.cli.options import docs_argument, index_argument, json_option, processes_option, strings_option
from polyvec.cli.render import print_done, print_json
from polyvec.cli.reports import counting_documents, print_report, report_counts

if TYPE_CHECKING:
    from polyvec.index.writing.report import Existing


@command(examples=["polyvec add wiki.polyvec more.jsonl", "cat more.jsonl | polyvec add wiki.polyvec - --json"])
@index_argument
@docs_argument
@strings_option
@processes_option
@json_option
def add(index_path: Path, docs: Path, strings: bool, processes: int, as_json: bool) -> None:
    """Add the documents of DOCS to INDEX.

    DOCS is any kind that `polyvec index` takes. An id that is there already is an error, and nothing is added then.
    """
    _store(index_path, docs, "error", strings, processes, as_json)


@command(
    examples=["polyvec update wiki.polyvec changed.jsonl", "polyvec update wiki.polyvec years.csv --metadata-only"]
)
@index_argument
@docs_argument
@click.option("--metadata-only", is_flag=True, help="Change only the fields that DOCS has; encode nothing again.")
@strings_option
@processes_option
@json_option
def update(index_path: Path, docs: Path, metadata_only: bool, strings: bool, processes: int, as_json: bool) -> None:
    """Replace documents of INDEX by id, and add new ones, from DOCS.

    With --metadata-only, rows of DOCS need an id and no text: the other fields are set in the document of that id, JSON's
    null removes one, and fields that a row does not have stay. An id that INDEX does not have is an error. A title that
    changes is encoded again with its text.
    """
    if metadata_only:
        _set_metadata(index_path, docs, strings, as_json)
    else:
        _store(index_path, docs, "replace", strings, processes, as_json)


def _store(index_path: Path, docs: Path, existing: Existing, strings: bool, processes: int, as_json: bool) -> None:
    from polyvec.data import read_documents
    from polyvec.shards.opening import open_collection

    with open_collection(index_path) as opened, counting_documents("encoding", docs) as (progress, on_bytes):
        documents = read_documents(docs, progress=on_bytes, typed=not strings)
        report = opened.add(documents, existing=existing, progress=progress, processes=processes)
        limit = opened.encoder.document_length
    if as_json:
        print_json(report_counts(report))
        return
    replaced = f", {report.replaced:,} replaced" if existing == "replace" else ""
    print_done(f"{report.added:,} added{replaced}, {report.tokens:,} token vectors")
    print_report(report, limit)


def _set_metadata(index_path: Path, docs: Path, strings: bool, as_json: bool) -> None:
    from polyvec.data.metadata_rows import read_metadata
    from polyvec.shards.opening import open_collection

    with open_collection(index_path) as opened:
        changes = read_metadata(docs, typed=not strings)
        changed = opened.update_metadata(changes)
    if as_json:
        print_json({"changed": changed, "unchanged": len(changes) - changed})
        return
    print_done(f"{changed:,} changed, {len(changes) - changed:,} had these values already")
