"""polyvec cluster serve: a collection on many machines over HTTP, with a search page."""

from __future__ import annotations

import json
import os
import signal
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from polyvec.cli.cluster import address_option
from polyvec.cli.command import command
from polyvec.cli.options import COUNT, EXISTING_PATH, NAME, PATH
from polyvec.cli.render import console, line, print_done

_OWN = (
    "replicas", "ingress_replicas", "cpus", "threads", "at_once", "copies", "every", "try_timeout", "hedge_after", "shard_timeout",
)  # fmt: skip


@command(
    examples=[
        "polyvec cluster serve s3://bucket/wiki --replicas 2 --address auto",
        "polyvec cluster serve wiki-shards --replicas 1",
        "polyvec cluster serve s3://bucket/wiki --write-config serve.yaml",
    ]
)
@click.argument("collection", metavar="COLLECTION", type=NAME)
@click.option("--replicas", type=COUNT, metavar="N", help="Of each shard, each on another machine.  [default: 2]")
@click.option(
    "--ingress-replicas", type=COUNT, metavar="N", help="Of what clients ask.  [default: as many as of a shard]"
)
@click.option("--cpus", type=click.FloatRange(0, 1024), metavar="N", help="Kept for each replica.  [default: 1]")
@click.option("--threads", type=COUNT, metavar="N", help="That search one query of one shard.  [default: 1]")
@click.option("--at-once", type=COUNT, metavar="N", help="Queries that a replica searches at once.  [default: 1]")
@click.option("--copies", metavar="FOLDER", type=NAME, help="For what is pulled, on every machine.")
@click.option("--every", metavar="TIME", help="Between two looks for a newer version.  [default: 10s]")
@click.option("--try-timeout", metavar="TIME", help="Of one try; then another replica is asked.  [default: 2s]")
@click.option("--hedge-after", metavar="TIME", help="Until a second replica is asked beside.  [default: 100ms]")
@click.option("--shard-timeout", metavar="TIME", help="Until a shard counts as missing.  [default: 5s]")
@click.option("--host", metavar="ADDRESS", type=NAME, help="Address to listen at.  [default: 127.0.0.1]")
@click.option("--port", metavar="N", type=click.IntRange(1, 65535), help="On every machine.  [default: 8000]")
@click.option("--config", "config_path", type=EXISTING_PATH, help="TOML file with settings of `polyvec serve`.")
@click.option("--token-file", metavar="FILE", type=NAME, help="TOML file with the tokens of clients, on every machine.")
@click.option("--anonymous", is_flag=True, default=None, help="Let anybody ask, on an address that others reach.")
@click.option("--write-config", metavar="FILE", type=PATH, help="Write a file for `serve deploy`, and serve nothing.")
@address_option
def serve(
    collection: str, config_path: Path | None, write_config: Path | None, address: str | None, **given: Any
) -> None:
    """Serve COLLECTION over HTTP from many machines.

    COLLECTION is where shards or an index are published, as s3://bucket/name, or a folder that every machine sees. The calls are
    those of `polyvec serve`, but for changes: publish a new version, and it takes over without a failed query.
    """
    from polyvec.cluster.ray_session import need_ray

    need_ray()
    from polyvec.cli.serve import check_installed

    check_installed()
    from polyvec.cluster.serving.config import ClusterServeConfig
    from polyvec.serve.config import load_config
    from polyvec.serve.lifecycle import check_guarded

    own = {name: given.pop(name) for name in _OWN}
    http = _changed(load_config({**given, "read_only": True}, path=config_path))
    config = ClusterServeConfig(
        collection=_place(collection), http=http, **{name: value for name, value in own.items() if value is not None}
    )
    check_guarded(config.serve_config())
    if write_config is not None:
        from polyvec.atomic import write_text

        write_text(write_config, _yaml(config.deploy_config()))
        print_done(f"{write_config}: for `serve deploy {write_config}`, or the serveConfigV2 of a RayService")
        return
    _run(config, address)


def _place(collection: str) -> str:
    """An address that is the same in every process: folders with their whole path."""
    from polyvec.publish.store import parsed_url

    return parsed_url(collection)[0]


def _changed(config: Any) -> dict[str, Any]:
    """The settings of HTTP that are not the defaults, as plain values."""
    from dataclasses import fields

    from polyvec.serve.config import ServeConfig

    default = ServeConfig()
    values = {one.name: getattr(config, one.name) for one in fields(ServeConfig)}
    values = {name: value for name, value in values.items() if value != getattr(default, name) and name != "read_only"}
    return dict(json.loads(json.dumps(values)))


def _yaml(values: dict[str, Any]) -> str:
    import yaml

    return str(yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


def _run(config: Any, address: str | None) -> None:
    """Deploy, and stay until told to stop."""
    from polyvec.cluster.ray_session import ray_session
    from polyvec.cluster.serving.running import deployed, started_here

    own_ray = {} if address or os.environ.get("RAY_ADDRESS") else started_here(config)
    with suppress(_Stopped), ray_session(address, **own_ray) as ray:
        _stop_on_signals()  # Ray has set its own when it began
        with deployed(ray, config) as url:
            _stop_on_signals()
            where = ("polyvec ", "bold"), f"serves {config.collection} at ", (url, "bold cyan")
            console.print(line(*where), soft_wrap=True)
            console.print(line((f"  calls: {url}/docs   stop: Ctrl+C", "dim")), soft_wrap=True)
            threading.Event().wait()


class _Stopped(BaseException):
    """Somebody wants this process to end: what it deployed is taken away, also where it is still starting."""


def _stop_on_signals() -> None:
    def stop(number: int, frame: object) -> None:
        raise _Stopped

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
