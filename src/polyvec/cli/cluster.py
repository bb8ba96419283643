"""polyvec cluster: what works on many machines, with Ray."""

from __future__ import annotations

import click

from polyvec.cli.command import Family

address_option = click.option(
    "--address",
    metavar="HOST:PORT",
    help="Of a running Ray cluster, or auto.  [default: RAY_ADDRESS, else Ray is started on this machine]",
)


@click.command(
    cls=Family,
    commands_at={
        "build": "polyvec.cli.cluster_build:build",
        "serve": "polyvec.cli.cluster_serve:serve",
    },
)
def cluster() -> None:
    """Build and serve shards on many machines, with Ray."""
