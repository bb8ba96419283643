"""Commands that make and keep an index: index, add, update, delete, compact, info, verify, repair."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from polyvec.cli.render import console, human_bytes, messages, print_json, progress_bar
from polyvec.index.writer import AddReport, Existing

_index_argument = click.argument("index_path", metavar="INDEX", type=click.Path(path_type=Path))
_docs_argument = click.argument("docs", metavar="DOCS", type=click.Path(path_type=Path, allow_dash=True))
_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")


@click.command()
@_docs_argument
@_index_argument
@click.option("--model", metavar="M", help="Checkpoint folder or hub name. Default: the model that ships with polyvec.")
@click.option("--dim", type=int, metavar="D", help="Which Matryoshka head to use. Default: the model's own.")
@click.option(
    "--nbits", type=int, default=None, metavar="B", help="Bits a dimension: 1, 2, 4, 8, or 16 for fp16.  [default: 4]"
)
@_json_option
def index(docs: Path, index_path: Path, model: str | None, dim: int | None, nbits: int | None, as_json: bool) -> None:
    """Index documents: DOCS to a new INDEX.

    DOCS is a .jsonl (also .gz, .zst), .csv, .tsv or .parquet file, a folder of .txt and .md files, a BEIR folder, or - for
    JSON lines on stdin. An interrupted run is resumed by the same command.
    """
    from polyvec.building import build_index
    from polyvec.collection import DEFAULT_NBITS
    from polyvec.data import read_documents
    from polyvec.encoder import Encoder

    started = time.perf_counter()
    with _counting("encoding", docs) as (progress, on_bytes):
        documents = read_documents(docs, progress=on_bytes)  # looks whether there is anything before the model loads
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
    console.print(
        f"[bold green]✓[/] {info['documents']:,} document{plural}, {info['tokens']:,} token vectors, "
        f"{human_bytes(info['size_bytes'])} in [bold]{index_path}[/] [dim]({seconds:.1f} s, model {info['model']})[/]",
        soft_wrap=True,
    )
    _say_report(report, encoder.document_length)


def _changing(name: str, existing: Existing, text: str) -> click.Command:
    @click.command(name, help=text)
    @_index_argument
    @_docs_argument
    @_json_option
    def command(index_path: Path, docs: Path, as_json: bool) -> None:
        from polyvec.collection import Index
        from polyvec.data import read_documents

        with Index.open(index_path) as opened, _counting("encoding", docs) as (progress, on_bytes):
            documents = read_documents(docs, progress=on_bytes)
            report = opened.add(documents, existing=existing, progress=progress)
            limit = opened.encoder.document_length
        if as_json:
            print_json(_report(report))
            return
        replaced = f", {report.replaced:,} replaced" if existing == "replace" else ""
        console.print(f"[bold green]✓[/] {report.added:,} added{replaced}, {report.tokens:,} token vectors")
        _say_report(report, limit)

    return command


add = _changing("add", "error", "Add the documents of DOCS to INDEX. An id that is there already is an error.")
update = _changing("update", "replace", "Replace documents of INDEX by those of DOCS with the same ids; add new ones.")


@click.command()
@_index_argument
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@_json_option
def delete(index_path: Path, ids: tuple[str, ...], as_json: bool) -> None:
    """Delete documents of INDEX by ID; `-` reads ids from stdin, one a line. `compact` then erases them from disk."""
    from polyvec.collection import Index

    wanted = sys.stdin.read().splitlines() if ids == ("-",) else list(ids)
    with Index.open(index_path) as opened:
        deleted = opened.delete(wanted)
    if as_json:
        print_json({"deleted": deleted, "unknown": len(set(wanted)) - deleted})
        return
    console.print(f"[bold green]✓[/] {deleted:,} deleted, {len(set(wanted)) - deleted:,} not found")


@click.command()
@_index_argument
@click.option("--retrain", is_flag=True, help="Fit the codec anew to what INDEX holds by now.")
@_json_option
def compact(index_path: Path, retrain: bool, as_json: bool) -> None:
    """Merge the segments of INDEX and erase deleted documents from disk."""
    from polyvec.collection import Index

    with Index.open(index_path) as opened:
        before = opened.info()["size_bytes"]
        opened.compact(retrain=retrain)
        after = opened.info()["size_bytes"]
    if as_json:
        print_json({"size_bytes_before": before, "size_bytes": after})
        return
    console.print(f"[bold green]✓[/] {human_bytes(before)} before, {human_bytes(after)} now")


@click.command()
@_index_argument
@_json_option
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
        table.add_row(name.replace("_", " "), _shown(name, value))
    console.print(table)


@click.command()
@_index_argument
@_json_option
def verify(index_path: Path, as_json: bool) -> None:
    """Read every checksum of INDEX and check its files against its catalog; exit 1 if anything is wrong."""
    from polyvec.collection import Index

    with Index.open(index_path) as opened:
        problems = opened.verify()
    if as_json:
        print_json({"ok": not problems, "problems": problems})
    elif problems:
        for problem in problems:
            console.print(f"[bold red]✗[/] {problem}")
    else:
        console.print("[bold green]✓[/] every checksum is right")
    if problems:
        raise click.exceptions.Exit(1)


@click.command()
@_index_argument
@_json_option
def repair(index_path: Path, as_json: bool) -> None:
    """Make a damaged INDEX sound: unreadable token vectors are made anew from the stored texts.

    Documents that were added as vectors only cannot be made anew; their ids are reported. A damaged catalog.sqlite cannot be
    repaired.
    """
    from polyvec.repairing import repair_index

    with progress_bar("documents") as bar:
        task = bar.add_task("encoding", total=None, done=0, rate="")
        report = repair_index(index_path, progress=lambda n: bar.update(task, advance=n))
    if as_json:
        print_json({"actions": report.actions, "encoded": report.encoded, "lost": report.lost})
        return
    for action in report.actions:
        console.print(f"[yellow]![/] {action}", soft_wrap=True)
    for document_id in report.lost:
        console.print(f"[bold red]✗[/] {document_id} is lost: only its vectors were stored")
    done = f"{report.encoded:,} documents encoded again" if report.actions else "nothing was wrong"
    console.print(f"[bold green]✓[/] {done}")


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
        "deleted": report.deleted,
        "added_tokens": report.tokens,
        "truncated": report.truncated,
    }


def _say_report(report: AddReport, limit: int) -> None:
    if report.skipped:
        messages.print(f"[cyan]i[/] {report.skipped:,} documents were stored by an earlier run", highlight=False)
    if report.deleted:
        messages.print(
            f"[cyan]i[/] {report.deleted:,} documents of an earlier run did not come again and were deleted",
            highlight=False,
        )
    if report.truncated:
        messages.print(
            f"[yellow]![/] {report.truncated:,} documents are longer than {limit} tokens: the rest of their text was not "
            "encoded and cannot be found",
            highlight=False,
        )


def _shown(name: str, value: Any) -> str:
    if name.endswith("bytes"):
        return human_bytes(value)
    if isinstance(value, dict):
        return "  ".join(f"{key.replace('_', ' ')} {_shown(key, one)}" for key, one in value.items()) or "-"
    if isinstance(value, int):
        return f"{value:,}"
    return "-" if value is None else str(value)
