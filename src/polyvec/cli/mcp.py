"""polyvec mcp: search as tools for an assistant, over stdin and stdout."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click

from polyvec.cli.command import command
from polyvec.cli.options import PATH


@command(examples=["polyvec mcp wiki.polyvec"])
@click.argument("index_paths", metavar="INDEX...", type=PATH, nargs=-1, required=True)
@click.option(
    "--budget",
    type=click.IntRange(200, 1_000_000),
    default=4000,
    show_default=True,
    metavar="TOKENS",
    help="How long one answer may be, in tokens of the assistant.",
)
def mcp(index_paths: tuple[Path, ...], budget: int) -> None:
    """Offer each INDEX to an assistant as tools for searching.

    An assistant starts this command itself and speaks the Model Context Protocol with it over stdin and stdout.
    """
    from polyvec.serve.collections import open_collections
    from polyvec.serve.mcp import serve_stdio
    from polyvec.serve.mcp_tools import AssistantTools

    with closing(open_collections(index_paths, follow=True)) as collections:
        tools = AssistantTools({name: one.index for name, one in collections.items()}, budget=budget)
        with _ended_by_signals():
            serve_stdio(tools, list(collections))


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the process at once: a thread that waits for stdin would hold it up, and nothing is written."""
    before = {one: signal.signal(one, signal.SIG_DFL) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
