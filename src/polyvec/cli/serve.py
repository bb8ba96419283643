"""polyvec serve: one collection or several over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from polyvec.cli.options import PATH


@click.command()
@click.argument("index_paths", metavar="INDEX...", type=PATH, nargs=-1, required=True)
@click.option("--host", metavar="ADDRESS")
@click.option("--port", type=int)
def serve(index_paths: tuple[Path, ...], **given: Any) -> None:
    """Serve collections over HTTP, with a search page."""
    import uvicorn

    from polyvec.serve.app import create_app
    from polyvec.serve.collections import open_collections
    from polyvec.serve.config import load_config

    config = load_config(given)
    uvicorn.run(
        create_app(open_collections(index_paths, follow=config.follow), config), host=config.host, port=config.port
    )
