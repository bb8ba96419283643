"""polyvec delete: documents out of an index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from polyvec.cli.command import command
from polyvec.cli.options import TEXT, filter_option, index_argument, json_option
from polyvec.cli.render import print_done, print_json
from polyvec.cli.streams import stdin_lines


@command(
    examples=[
        "polyvec delete wiki.polyvec 42 43",
        """polyvec delete wiki.polyvec --filter '{"year": {"$lt": 2000}}'""",
        "polyvec delete wiki.polyvec - < ids.txt",
    ]
)
@index_argument
@click.argument("ids", metavar="[ID]...", type=TEXT, nargs=-1)
@filter_option
@json_option
def delete(index_path: Path, ids: tuple[str, ...], condition: Any, as_json: bool) -> None:
    """Delete documents of INDEX by ID, or those that --filter names.

    - reads ids from stdin: one a line, in UTF-8; empty lines are passed over. `polyvec compact` then erases the documents
    from disk.
    """
    from polyvec.shards.opening import open_collection

    if bool(ids) == (condition is not None):
        raise click.UsageError("Give either ids or --filter JSON.")
    wanted = None if not ids else list(stdin_lines()) if ids == ("-",) else list(ids)
    with open_collection(index_path) as opened:
        deleted = opened.delete(wanted, filter=condition)
    unknown = 0 if wanted is None else len(set(wanted)) - deleted
    if as_json:
        print_json({"deleted": deleted, "unknown": unknown})
        return
    print_done(f"{deleted:,} deleted" + (f", {unknown:,} not found" if wanted is not None else ""))
