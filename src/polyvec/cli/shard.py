"""polyvec shard: one index into several, used as one."""

from __future__ import annotations

from pathlib import Path

import click

from polyvec.cli.command import command
from polyvec.cli.options import COUNT, PATH, index_argument, json_option
from polyvec.cli.render import human_bytes, print_done, print_json, progress_bar


@command(
    examples=[
        "polyvec shard wiki.polyvec wiki-shards",
        "polyvec shard wiki.polyvec eight --shards 8 --json",
    ]
)
@index_argument
@click.argument("out", metavar="OUT", type=PATH)
@click.option("--shards", type=COUNT, default=4, show_default=True, metavar="N", help="How many indexes to make.")
@json_option
def shard(index_path: Path, out: Path, shards: int, as_json: bool) -> None:
    """Split INDEX into shards: several indexes in OUT, used as one.

    Nothing is encoded again, and INDEX stays as it is. Searching OUT gives the same answers; every command that searches or
    changes an index takes OUT as well.
    """
    from polyvec.shards.shards import Shards
    from polyvec.shards.splitting import split_index

    with progress_bar("documents") as bar:
        task = bar.add_task("copying", total=None, done=0, rate="")
        documents = split_index(index_path, out, shards=shards, progress=lambda n: bar.update(task, advance=n))
    with Shards.open(out) as made:
        size = made.info()["size_bytes"]
    if as_json:
        print_json({"path": str(out), "shards": shards, "documents": documents, "size_bytes": size})
        return
    print_done(f"{documents:,} documents in {shards:,} shards, {human_bytes(size)} in {out}")
