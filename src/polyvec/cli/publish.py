"""polyvec publish, pull, follow: an index in an object store, and folders that follow it."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from polyvec.cli.command import command
from polyvec.cli.options import COUNT, NAME, PATH, index_argument, json_option
from polyvec.cli.render import human_bytes, print_done, print_json, progress_bar
from polyvec.cli.streams import flush_output

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from polyvec.publish import Pulled
    from polyvec.publish.published_shards import PublishedShards

_UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_MOST_S = 30 * 86_400.0


class TimeType(click.ParamType):  # type: ignore[type-arg]  # no such argument in click 8.1
    """A time, such as 10s, 5m or 2h; its seconds."""

    name = "time"

    def __init__(self, *, most_s: float, zero: bool = False) -> None:
        self._most_s, self._zero = most_s, zero

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)([smhd])", str(value))
        seconds = float(match[1]) * _UNITS[match[2]] if match else -1.0
        if not 0 <= seconds <= self._most_s or (seconds == 0 and not self._zero):
            most = f"{self._most_s / 86_400:g}d"
            self.fail(f"expected a time up to {most}, such as 10s, 5m or 1h.", param, ctx)
        return seconds


url_argument = click.argument("url", metavar="URL", type=NAME)
folder_argument = click.argument("folder", metavar="FOLDER", type=PATH)


@command(
    "publish",
    examples=["polyvec publish wiki.polyvec published/wiki", "polyvec publish wiki.polyvec published/wiki --keep 3"],
)
@index_argument
@url_argument
@click.option("--keep", type=COUNT, metavar="N", help="Then delete older versions than the N newest.")
@click.option(
    "--grace",
    "grace_s",
    type=TimeType(most_s=_MOST_S, zero=True),
    metavar="TIME",
    default="1d",
    show_default=True,
    help="How long a replaced version stays at least.",
)
@json_option
def publish(index_path: Path, url: str, keep: int | None, grace_s: float, as_json: bool) -> None:
    """Publish INDEX at URL as a new version.

    URL is s3://bucket/name, gs://bucket/name, az://container/name, file:///folder, or a folder. Only what is new there
    travels; INDEX may be searched and written meanwhile. Credentials come from the environment.
    """
    from polyvec import publish as publishing

    with _progress("publishing") as progress:
        done = publishing.publish(index_path, url, progress=progress)
        pruned = None if keep is None else publishing.prune(url, keep=keep, grace_s=grace_s)
    if as_json:
        print_json({**asdict(done), "pruned": None if pruned is None else pruned.versions})
        return
    what = "published" if done.new else "is there already"
    print_done(f"version {done.version} {what} at {done.url}: {human_bytes(done.sent_bytes)} sent, {_counted(done)}")
    if pruned is not None and pruned.versions:
        count = len(pruned.versions)
        print_done(f"{count} old version{'s'[: count > 1]} deleted, {human_bytes(pruned.freed_bytes)} freed")


@command(
    "pull",
    examples=["polyvec pull published/wiki copy.polyvec", "polyvec pull published/wiki old.polyvec --version 1"],
)
@url_argument
@folder_argument
@click.option("--version", type=COUNT, metavar="N", help="Number of the version.  [default: the newest]")
@json_option
def pull(url: str, folder: Path, version: int | None, as_json: bool) -> None:
    """Bring what is published at URL into FOLDER, to search it there.

    Only what FOLDER lacks travels. A new folder appears whole or not at all; one that was pulled before moves on at once, also
    beneath those who search it. It is not written: `polyvec copy` makes an index of its own. Published shards are pulled into a
    new folder.
    """
    from polyvec import publish as publishing
    from polyvec.publish.published_shards import holds_shards, pull_shards

    with _progress("pulling") as progress:
        if holds_shards(url):
            _print_pulled_shards(pull_shards(url, folder, version=version, progress=progress), folder, as_json)
            return
        done = publishing.pull(url, folder, version=version, progress=progress)
    _print_pulled(done, as_json)


@command(
    "follow",
    examples=["polyvec follow s3://bucket/wiki wiki.polyvec", "polyvec follow published/wiki wiki.polyvec --every 1m"],
)
@url_argument
@folder_argument
@click.option(
    "--every",
    "every_s",
    type=TimeType(most_s=86_400.0),
    metavar="TIME",
    default="10s",
    show_default=True,
    help="How often to ask.",
)
@json_option
def follow(url: str, folder: Path, every_s: float, as_json: bool) -> None:
    """Keep FOLDER at the newest version that is published at URL.

    Pulls what is there, and then each new version, until it is interrupted. `polyvec serve FOLDER --follow` searches each of them.
    """
    from polyvec import publish as publishing

    def show(done: Pulled) -> None:
        _print_pulled(done, as_json)
        flush_output()  # whoever reads a pipe learns of it now

    with publishing.Follower(url, folder, every_s=every_s, on_pull=show) as follower:
        follower.check()
        follower.run()


def _progress(what: str) -> AbstractContextManager[Callable[[int, int], None]]:
    from contextlib import contextmanager

    @contextmanager
    def shown() -> Any:
        with progress_bar("bytes") as bar:
            task = bar.add_task(what, total=None, done=0, rate="")
            yield lambda done, total: bar.update(task, completed=done, total=total, done=human_bytes(done))

    return shown()


def _print_pulled(done: Pulled, as_json: bool) -> None:
    if as_json:
        print_json({**asdict(done), "folder": str(done.folder)})
        return
    what = "pulled to" if done.new else "is there already in"
    print_done(
        f"version {done.version} {what} {done.folder}: {human_bytes(done.received_bytes)} received, {_counted(done)}"
    )


def _print_pulled_shards(published: PublishedShards, folder: Path, as_json: bool) -> None:
    if as_json:
        counts = {"shards": len(published.shards), "documents": published.documents, "tokens": published.tokens}
        print_json({"folder": str(folder), "version": published.version, **counts})
        return
    print_done(
        f"version {published.version} pulled to {folder}: {len(published.shards):,} shards, {published.documents:,} documents"
    )


def _counted(done: Any) -> str:
    return f"{done.documents:,} documents, {human_bytes(done.size_bytes)}"
