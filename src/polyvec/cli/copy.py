"""polyvec copy: an index of its own elsewhere."""

from __future__ import annotations

from pathlib import Path

import click

from polyvec.cli.command import command
from polyvec.cli.options import PATH, index_argument, json_option
from polyvec.cli.render import human_bytes, print_done, print_json, progress_bar


@command(
    "copy",
    examples=[
        "polyvec copy wiki.polyvec backup.polyvec",
    ],
)
@index_argument
@click.argument("out", metavar="OUT", type=PATH)
@click.option(
    "--hard-links",
    is_flag=True,
    help="Share segment files with INDEX: no space is taken, but a failing disk harms both.",
)
@json_option
def copy(index_path: Path, out: Path, hard_links: bool, as_json: bool) -> None:
    """Copy INDEX to OUT, even while it is written; verify the copy.

    Copying the folder with other tools is safe only while nobody has the index open.
    """
    from polyvec.shards.opening import copy_collection

    with progress_bar("bytes") as bar:
        task = bar.add_task("copying", total=None, done=0, rate="")
        size = copy_collection(
            index_path,
            out,
            hard_links=hard_links,
            progress=lambda done, total: bar.update(task, completed=done, total=total, done=human_bytes(done)),
        )
    if as_json:
        print_json({"path": str(out), "size_bytes": size})
        return
    print_done(f"{human_bytes(size)} copied to {out}, every checksum is right")
