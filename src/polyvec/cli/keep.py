"""Commands that make and keep an index: index, add, update, delete, compact, info, verify, repair."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from polyvec.cli.lines import printable
from polyvec.cli.options import COUNT, TEXT, dim_option, docs_argument, index_argument, json_option, model_option
from polyvec.cli.render import console, human_bytes, line, messages, print_done, print_json, progress_bar
from polyvec.cli.streams import stdin_lines
from polyvec.index.writer import AddReport, Existing

_strings_option = click.option("--strings", is_flag=True, help="Keep numbers and true/false in CSV and TSV as text.")


@click.command()
@docs_argument
@index_argument
@model_option
@dim_option
@click.option(
    "--nbits", type=COUNT, default=None, metavar="B", help="Bits a dimension: 1, 2, 4, 8, or 16 for fp16.  [default: 4]"
)
@_strings_option
@json_option
def index(
    docs: Path, index_path: Path, model: str | None, dim: int | None, nbits: int | None, strings: bool, as_json: bool
) -> None:
    """Index documents: DOCS to a new INDEX.

    DOCS is a .jsonl, .ndjson, .csv, .tsv (each also .gz, .zst) or .parquet file, a folder of .txt and .md files, a BEIR
    folder, or - for JSON lines on stdin. An interrupted run is resumed by the same command.
    """
    from polyvec.building import build_index
    from polyvec.collection import DEFAULT_NBITS
    from polyvec.data import read_documents
    from polyvec.encoder import Encoder

    started = time.perf_counter()
    with _counting("encoding", docs) as (progress, on_bytes):
        documents = read_documents(
            docs, progress=on_bytes, typed=not strings
        )  # looks whether there is anything before the model loads
        encoder = Encoder(model, dim=dim)
        built, report = build_index(
            documents,
            index_path,
            encoder=encoder,
            nbits=DEFAULT_NBITS if nbits is None else nbits,
            source=str(docs if str(docs) == "-" else docs.resolve()),
            progress=progress,
        )
    seconds = time.perf_counter() - started
    info = built.info()
    built.close()
    if as_json:
        print_json({**_report(report), **info, "seconds": round(seconds, 3)})
        return
    plural = "" if info["documents"] == 1 else "s"
    print_done(
        f"{info['documents']:,} document{plural}, {info['tokens']:,} token vectors, {human_bytes(info['size_bytes'])} in ",
        (index_path, "bold"),
        (f" ({seconds:.1f} s, model {info['model']})", "dim"),
    )
    _say_report(report, encoder.document_length)


def _changing(name: str, existing: Existing, text: str) -> click.Command:
    @click.command(name, help=text)
    @index_argument
    @docs_argument
    @_strings_option
    @json_option
    def command(index_path: Path, docs: Path, strings: bool, as_json: bool) -> None:
        from polyvec.collection import Index
        from polyvec.data import read_documents

        with Index.open(index_path) as opened, _counting("encoding", docs) as (progress, on_bytes):
            documents = read_documents(docs, progress=on_bytes, typed=not strings)
            report = opened.add(documents, existing=existing, progress=progress)
            limit = opened.encoder.document_length
        if as_json:
            print_json(_report(report))
            return
        replaced = f", {report.replaced:,} replaced" if existing == "replace" else ""
        print_done(f"{report.added:,} added{replaced}, {report.tokens:,} token vectors")
        _say_report(report, limit)

    return command


add = _changing("add", "error", "Add the documents of DOCS to INDEX. An id that is there already is an error.")
update = _changing("update", "replace", "Replace documents of INDEX by id, and add new ones, from DOCS.")


@click.command()
@index_argument
@click.argument("ids", metavar="ID...", type=TEXT, nargs=-1, required=True)
@json_option
def delete(index_path: Path, ids: tuple[str, ...], as_json: bool) -> None:
    """Delete documents of INDEX by ID; - reads ids from stdin.

    On stdin stands one id a line, in UTF-8; empty lines are passed over. `polyvec compact` then erases the documents from disk.
    """
    from polyvec.collection import Index

    wanted = list(stdin_lines()) if ids == ("-",) else list(ids)
    with Index.open(index_path) as opened:
        deleted = opened.delete(wanted)
    if as_json:
        print_json({"deleted": deleted, "unknown": len(set(wanted)) - deleted})
        return
    print_done(f"{deleted:,} deleted, {len(set(wanted)) - deleted:,} not found")


@click.command()
@index_argument
@click.option("--retrain", is_flag=True, help="Fit the codec anew to what INDEX holds by now.")
@json_option
def compact(index_path: Path, retrain: bool, as_json: bool) -> None:
    """Merge the segments of INDEX, and erase deleted documents."""
    from polyvec.collection import Index

    with Index.open(index_path) as opened:
        before = opened.info()["size_bytes"]
        opened.compact(retrain=retrain)
        after = opened.info()["size_bytes"]
    if as_json:
        print_json({"size_bytes_before": before, "size_bytes": after})
        return
    print_done(f"{human_bytes(before)} before, {human_bytes(after)} now")


@click.command()
@index_argument
@json_option
def info(index_path: Path, as_json: bool) -> None:
    """Show what INDEX holds: counts, sizes, languages, model."""
    from polyvec.collection import Index

    with Index.open(index_path) as opened:
        facts = opened.info()
    if as_json:
        print_json(facts)
        return
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2))
    table.add_column(style="cyan")
    table.add_column()
    for name, value in facts.items():
        table.add_row(name.replace("_", " "), printable(_shown(name, value)))
    console.print(table)


@click.command()
@index_argument
@json_option
def verify(index_path: Path, as_json: bool) -> None:
    """Read every checksum of INDEX, and check its catalog.

    The catalog is held against the files. Exit 1 if anything is wrong.
    """
    from polyvec.collection import Index

    with Index.open(index_path) as opened:
        problems = opened.verify()
    if as_json:
        print_json({"ok": not problems, "problems": problems})
    elif problems:
        for problem in problems:
            console.print(line(("✗ ", "bold red"), problem), soft_wrap=True)
    else:
        print_done("every checksum is right")
    if problems:
        raise click.exceptions.Exit(1)


@click.command()
@index_argument
@json_option
def repair(index_path: Path, as_json: bool) -> None:
    """Make a damaged INDEX sound, from the texts that it stores.

    Unreadable token vectors are made anew. Documents that were added as vectors only cannot be made anew; their ids
    are reported. A damaged catalog.sqlite cannot be repaired.
    """
    from polyvec.repairing import repair_index

    with progress_bar("documents") as bar:
        task = bar.add_task("encoding", total=None, done=0, rate="")
        report = repair_index(index_path, progress=lambda n: bar.update(task, advance=n))
    if as_json:
        print_json({"actions": report.actions, "encoded": report.encoded, "lost": report.lost})
        return
    for action in report.actions:
        console.print(line(("! ", "yellow"), action), soft_wrap=True)
    for document_id in report.lost:
        console.print(line(("✗ ", "bold red"), f"{document_id} is lost: only its vectors were stored"), soft_wrap=True)
    print_done(f"{report.encoded:,} documents encoded again" if report.actions else "nothing was wrong")


@contextmanager
def _counting(what: str, docs: Path) -> Iterator[tuple[Callable[[int], None], Callable[[int], None]]]:
    """A bar whose share is bytes read and whose rate is documents encoded a second."""
    total = docs.stat().st_size if docs.is_file() else None
    with progress_bar("documents") as bar:
        task = bar.add_task(what, total=total, done=0, rate="")
        count, started = 0, time.monotonic()

        def on_documents(n: int) -> None:
            nonlocal count
            count += n
            rate = count / max(time.monotonic() - started, 1e-9)
            bar.update(task, done=f"{count:,}", rate=f"{rate:,.0f}/s")

        def on_bytes(n: int) -> None:
            bar.update(task, advance=n)

        yield on_documents, on_bytes


def _report(report: AddReport) -> dict[str, int]:
    return {
        "added": report.added,
        "replaced": report.replaced,
        "skipped": report.skipped,
        "added_tokens": report.tokens,
        "truncated": report.truncated,
    }


def _say_report(report: AddReport, limit: int) -> None:
    if report.skipped:
        messages.print(line(("i ", "cyan"), f"{report.skipped:,} documents were stored by an earlier run"))
    if report.truncated:
        messages.print(
            line(
                ("! ", "yellow"),
                f"{report.truncated:,} documents are longer than {limit} tokens: the rest of their text was not encoded and "
                "cannot be found",
            )
        )


def _shown(name: str, value: Any) -> str:
    if name.endswith("bytes"):
        return human_bytes(value)
    if isinstance(value, dict):
        return "  ".join(f"{key.replace('_', ' ')} {_shown(key, one)}" for key, one in value.items()) or "-"
    if isinstance(value, int):
        return f"{value:,}"
    return "-" if value is None else str(value)
