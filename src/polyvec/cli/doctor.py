"""polyvec doctor: what is unusual or wrong about a checkpoint."""

from __future__ import annotations

import click

from polyvec.cli.command import command
from polyvec.cli.lines import printable
from polyvec.cli.options import NAME, dim_option, json_option
from polyvec.cli.render import console, line, print_json


@command(
    examples=[
        "polyvec doctor",
        "polyvec doctor jinaai/jina-colbert-v2",
    ]
)
@click.argument("checkpoint", metavar="[CHECKPOINT]", type=NAME, required=False)
@dim_option
@click.option("--backend", type=click.Choice(["auto", "native", "torch"]), default="auto", show_default=True)
@json_option
def doctor(checkpoint: str | None, dim: int | None, backend: str, as_json: bool) -> int:
    """Show what a checkpoint says of itself, and test it.

    It must load as what it says. CHECKPOINT is a folder or a hub name; without it, the default model. Exit 1 where a
    test fails.
    """
    from rich.table import Table

    from polyvec.encoder import Encoder
    from polyvec.encoder.doctor import examine

    report = examine(Encoder(checkpoint, dim=dim, backend=backend))  # type: ignore[arg-type]  # checked by click
    if as_json:
        print_json(report.to_dict())
        return 0 if report.ok else 1
    facts = Table(box=None, pad_edge=False, padding=(0, 2), show_header=False)
    facts.add_column(style="cyan", no_wrap=True)
    facts.add_column(overflow="fold")
    for fact in report.facts:
        facts.add_row(printable(fact.what), line(fact.value, (f"  {fact.source}", "dim")))
    console.print(facts)
    for note in report.unusual:
        console.print(line(("! ", "bold yellow"), note))
    for check in report.checks:
        mark = ("✓ ", "bold green") if check.ok else ("✗ ", "bold red")
        console.print(line(mark, check.what, (f"  {check.detail}", "dim")))
    if report.left_out is not None:
        console.print(line((report.left_out, "dim")))
    return 0 if report.ok else 1
