"""polyvec serve: one collection or several over HTTP, with a search page."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from polyvec.cli.command import command
from polyvec.cli.options import COUNT, EXISTING_PATH, NAME, PATH
from polyvec.cli.render import console, line
from polyvec.errors import MissingExtraError

_PACKAGES = ("fastapi", "uvicorn", "prometheus_client")


@command(examples=["polyvec serve wiki.polyvec", "polyvec serve wiki.polyvec --port 8080"])
@click.argument("index_paths", metavar="INDEX...", type=PATH, nargs=-1, required=True)
@click.option("--host", metavar="ADDRESS", type=NAME, help="Address to listen at.  [default: 127.0.0.1]")
@click.option("--port", metavar="N", type=click.IntRange(0, 65535), help="0: any free one.  [default: 8000]")
@click.option("--config", "config_path", type=EXISTING_PATH, help="TOML file with any of these settings.")
@click.option("--token-file", metavar="FILE", type=NAME, help="TOML file with the tokens of clients.")
@click.option("--anonymous", is_flag=True, default=None, help="Let anybody ask, on an address that others reach.")
@click.option("--read-only", is_flag=True, default=None, help="Refuse every write.")
@click.option("--follow", is_flag=True, default=None, help="Search what other processes commit meanwhile.")
@click.option("--max-body", metavar="SIZE", help="Largest JSON body.  [default: 8MB]")
@click.option("--max-upload", metavar="SIZE", help="Largest stream of documents.  [default: 2GB]")
@click.option("--max-k", type=COUNT, metavar="N", help="Most hits of one query.  [default: 10000]")
@click.option("--max-batch", type=COUNT, metavar="N", help="Most queries or texts of one request.  [default: 1000]")
@click.option("--max-text", type=COUNT, metavar="N", help="Most characters of one text.  [default: 1000000]")
@click.option("--max-connections", type=COUNT, metavar="N", help="Most open connections.  [default: 1000]")
@click.option(
    "--queue", type=COUNT, metavar="N", help="Requests accepted at once.  [default: 16 a thread, at least 32]"
)
@click.option("--threads", type=COUNT, metavar="N", help="Threads that search.  [default: all cores]")
@click.option("--timeout", metavar="TIME", help="Longest that a request may take.  [default: 10s]")
@click.option("--write-timeout", metavar="TIME", help="Longest that a write may take.  [default: 10m]")
@click.option("--stop-timeout", metavar="TIME", help="Time to finish when told to stop.  [default: 30s]")
@click.option("--cors-origin", metavar="ORIGIN", multiple=True, help="A web page's origin that may ask; repeatable.")
@click.option("--allowed-host", metavar="NAME", multiple=True, help="A name to be asked by; repeatable.")
@click.option(
    "--log-format", type=click.Choice(["text", "json", "none"]), help="Of the line a request.  [default: text]"
)
def serve(index_paths: tuple[Path, ...], config_path: Path | None, **given: Any) -> None:
    """Serve collections over HTTP, with a search page.

    A collection is named by its folder. Every setting is also an environment variable, such as POLYVEC_MAX_BODY, and a key of the
    TOML file, such as max_body; tokens stand there too, never in a flag.
    """
    serve_collections(index_paths, config_path, {name: value for name, value in given.items() if value != ()})


def check_installed() -> None:
    """Raise MissingExtraError where a package that serving needs is not there."""
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(f"Serving needs {missing[0]}, which is not installed: pip install 'polyvec[serve]'.")


def serve_collections(
    paths: tuple[Path, ...],
    config_path: Path | None,
    given: dict[str, Any],
    *,
    browse: bool = False,
    examples: Sequence[str] = (),
) -> None:
    """Open and serve; returns when the server was told to stop.

    Args:
        paths: Folders of indexes.
        config_path: A TOML file with settings.
        given: Settings from the command line, which go before those of the file.
        browse: Whether the page is opened in a browser.
        examples: Questions that the start page offers.

    Raises:
        MissingExtraError: A package that serving needs is not installed.
        InputError: A setting makes no sense, or the address would be open to everybody.
    """
    check_installed()
    from polyvec.serve.collections import open_collections
    from polyvec.serve.config import load_config
    from polyvec.serve.lifecycle import check_guarded, run_server

    config = load_config(given, path=config_path)
    check_guarded(config)
    collections = open_collections(paths, follow=config.follow)
    for one in collections.values():
        one.examples = examples
    run_server(collections, config, started=lambda address: _say(address, list(collections), browse=browse))


def _say(address: str, names: list[str], *, browse: bool) -> None:
    console.print(line(("polyvec ", "bold"), f"serves {', '.join(names)} at ", (address, "bold cyan")), soft_wrap=True)
    console.print(line((f"  calls: {address}/docs   stop: Ctrl+C", "dim")), soft_wrap=True)
    if browse:
        click.launch(address)
