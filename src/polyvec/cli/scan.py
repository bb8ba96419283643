"""polyvec scan: the documents of an index as JSON lines, as every command that takes documents reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from polyvec.cli.command import command
from polyvec.cli.options import COUNT, TEXT, filter_option, index_argument
from polyvec.cli.render import print_json


@command(
    examples=[
        "polyvec scan wiki.polyvec --limit 100",
        """polyvec scan wiki.polyvec --filter '{"lang": "de"}' > german.jsonl""",
    ]
)
@index_argument
@filter_option
@click.option("--after", metavar="ID", type=TEXT, help="Begin behind this id.")
@click.option("--limit", metavar="N", type=COUNT, help="Documents to print, at most.  [default: all]")
def scan(index_path: Path, condition: Any, after: str | None, limit: int | None) -> None:
    """Print the documents of INDEX in the order of their ids.

    One JSON object a line, as `polyvec index` and `polyvec add` take them: with id, text and metadata.
    """
    from polyvec.shards.opening import open_collection

    with open_collection(index_path) as opened:
        for document in opened.scan(filter=condition, after=after, limit=limit):
            print_json({"id": document.id, "text": document.text, "metadata": document.metadata})
