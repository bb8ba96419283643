"""polyvec cluster build: documents to shards, on many machines."""

from __future__ import annotations

import click

from polyvec.cli.cluster import address_option
from polyvec.cli.command import command
from polyvec.cli.options import COUNT, NAME, dim_option, json_option, model_option, nbits_option


@command(
    examples=[
        "polyvec cluster build docs.jsonl wiki-shards --shards 4",
        "polyvec cluster build s3://bucket/docs s3://bucket/wiki --shards 16 --address auto",
    ]
)
@click.argument("docs", metavar="DOCS", type=NAME)
@click.argument("target", metavar="TARGET", type=NAME)
@click.option("--shards", type=COUNT, default=4, show_default=True, metavar="N", help="How many indexes to make.")
@click.option("--encoders", type=COUNT, metavar="N", help="How many models encode at once.  [default: what fits]")
@model_option
@dim_option
@nbits_option
@address_option
@json_option
def build(
    docs: str,
    target: str,
    shards: int,
    encoders: int | None,
    model: str | None,
    dim: int | None,
    nbits: int | None,
    address: str | None,
    as_json: bool,
) -> None:
    """Build shards of DOCS on many machines.

    DOCS and TARGET are paths, or addresses in an object store: s3://, gs://, az://, file://.
    """
    from polyvec.cluster.ray_session import need_ray

    need_ray()
    raise click.ClickException("Not built yet.")
