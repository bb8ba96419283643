"""polyvec cluster build: documents to shards, on many machines."""

from __future__ import annotations

import contextlib
import io
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict

import click

from polyvec.cli.cluster import address_option
from polyvec.cli.command import command
from polyvec.cli.options import COUNT, NAME, dim_option, json_option, model_option, nbits_option
from polyvec.cli.render import human_bytes, line, messages, print_done, print_json, progress_bar

log = logging.getLogger(__name__)


@command(
    examples=[
        "polyvec cluster build docs.jsonl wiki-shards --shards 4",
        "polyvec cluster build s3://bucket/docs s3://bucket/wiki --shards 16 --address auto",
    ]
)
@click.argument("docs", metavar="DOCS", type=NAME)
@click.argument("target", metavar="TARGET", type=NAME)
@click.option("--shards", type=COUNT, default=4, show_default=True, metavar="N", help="How many indexes to make.")
@click.option("--encoders", type=COUNT, metavar="N", help="How many models encode at once.  [default: as many as fit]")
@model_option
@dim_option
@nbits_option
@address_option
@click.option("--restart", is_flag=True, help="Delete what an interrupted build has left at TARGET, and begin anew.")
@json_option
def build(
    docs: str,
    target: str,
    shards: int,
    encoders: int | None,
    model: str | None,
    dim: int | None,
    nbits: int | None,
    address: str | None,
    restart: bool,
    as_json: bool,
) -> None:
    """Build shards of DOCS on many machines.

    DOCS is a file or folder of documents, or an address: s3://, gs://, az://, file://. TARGET is a new folder, which all
    machines have to see, or an address, where the shards are published. An interrupted run is resumed by the same command.
    """
    from polyvec.cluster.building.build import build_shards
    from polyvec.cluster.building.encoding import DefaultEncoder
    from polyvec.collection.index import DEFAULT_NBITS

    started = time.perf_counter()
    with _shown() as progress, contextlib.redirect_stdout(_RayNotes()):
        built = build_shards(
            docs,
            target,
            shards=shards,
            encoder=DefaultEncoder(model, dim=dim),
            nbits=DEFAULT_NBITS if nbits is None else nbits,
            encoders=encoders,
            address=address,
            restart=restart,
            progress=progress,
        )
    seconds = time.perf_counter() - started
    if as_json:
        print_json({**asdict(built), "seconds": round(seconds, 3)})
        return
    version = "" if built.version is None else f"version {built.version} of "
    print_done(
        f"{version}{built.shards:,} shards: {built.documents:,} documents, {built.tokens:,} token vectors, "
        f"{human_bytes(built.size_bytes)} in ",
        (built.target, "bold"),
        (f" ({seconds:.1f} s)", "dim"),
    )
    if built.known:
        messages.print(line(("i ", "cyan"), f"{built.known:,} documents were encoded by an earlier run"))
    if built.truncated:
        note = f"{built.truncated:,} documents are longer than the model reads: the rest of their text cannot be found"
        messages.print(line(("! ", "yellow"), note))


@contextmanager
def _shown() -> Iterator[Callable[[str, int, int | None], None]]:
    """A bar for each step of a build."""
    with progress_bar("") as bar:
        tasks = {}

        def show(what: str, done: int, total: int | None) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total, done="", rate="")
            bar.update(tasks[what], completed=done, total=total, done=f"{done:,}")

        yield show


class _RayNotes(io.TextIOBase):
    """What Ray prints to stdout, where results belong: to the log, which -v shows."""

    def write(self, text: str) -> int:
        for line_of_text in text.splitlines():
            if line_of_text.strip():
                log.info("Ray: %s", line_of_text.strip())
        return len(text)
