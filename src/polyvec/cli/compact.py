"""polyvec compact: one segment, and nothing left of what was deleted."""

from __future__ import annotations

from pathlib import Path

import click

from polyvec.cli.command import command
from polyvec.cli.options import index_argument, json_option
from polyvec.cli.render import human_bytes, print_done, print_json


@command(
    examples=[
        "polyvec compact wiki.polyvec",
        "polyvec compact wiki.polyvec --retrain",
    ]
)
@index_argument
@click.option("--retrain", is_flag=True, help="Fit the codec anew to what INDEX holds by now.")
@json_option
def compact(index_path: Path, retrain: bool, as_json: bool) -> None:
    """Merge the segments of INDEX, and erase deleted documents."""
    from polyvec.shards.opening import open_collection

    with open_collection(index_path) as opened:
        before = opened.info()["size_bytes"]
        opened.compact(retrain=retrain)
        after = opened.info()["size_bytes"]
    if as_json:
        print_json({"size_bytes_before": before, "size_bytes": after})
        return
    print_done(f"{human_bytes(before)} before, {human_bytes(after)} now")
