"""polyvec delete: documents out of an index."""

from __future__ import annotations

from pathlib import Path

import click

from polyvec.cli.options import TEXT, index_argument, json_option
from polyvec.cli.render import print_done, print_json
from polyvec.cli.streams import stdin_lines


@click.command()
@index_argument
@click.argument("ids", metavar="ID...", type=TEXT, nargs=-1, required=True)
@json_option
def delete(index_path: Path, ids: tuple[str, ...], as_json: bool) -> None:
    """Delete documents of INDEX by ID; - reads ids from stdin.

    On stdin stands one id a line, in UTF-8; empty lines are passed over. `polyvec compact` then erases the documents from disk.
    """
    from polyvec.collection.index import Index

    wanted = list(stdin_lines()) if ids == ("-",) else list(ids)
    with Index.open(index_path) as opened:
        deleted = opened.delete(wanted)
    if as_json:
        print_json({"deleted": deleted, "unknown": len(set(wanted)) - deleted})
        return
    print_done(f"{deleted:,} deleted, {len(set(wanted)) - deleted:,} not found")
