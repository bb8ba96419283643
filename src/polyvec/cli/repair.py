"""polyvec repair: a damaged index made sound."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from polyvec.cli.command import command
from polyvec.cli.options import index_argument, json_option
from polyvec.cli.render import console, line, print_done, print_json, progress_bar

if TYPE_CHECKING:
    from polyvec.collection.repair import RepairReport


@command(
    examples=[
        "polyvec repair wiki.polyvec --dry-run",
        "polyvec repair wiki.polyvec",
    ]
)
@index_argument
@click.option("--dry-run", is_flag=True, help="Say what would be done and what would be lost; change nothing.")
@json_option
def repair(index_path: Path, dry_run: bool, as_json: bool) -> None:
    """Make a damaged INDEX sound: derive and encode again what can be.

    Documents that were added as vectors only cannot be encoded again: they are kept where their values are possible.
    What will be lost is said first. Damaged files are moved to the folder `damaged` in INDEX. A damaged
    catalog.sqlite cannot be repaired.
    """
    from polyvec.collection.repair import repair_index

    with progress_bar("documents") as bar:
        task = bar.add_task("encoding", total=None, done=0, rate="")
        report = repair_index(
            index_path,
            progress=lambda n: bar.update(task, advance=n),
            dry_run=dry_run,
            before=None if as_json or dry_run else _say_plan,
        )
    if as_json:
        print_json(asdict(report))
        return
    if dry_run:
        _say_plan(report)
    for file in report.moved:
        where = "will be moved to" if dry_run else "is in"
        console.print(line(("i ", "cyan"), f"{file} {where} the folder damaged"), soft_wrap=True)
    if not report.actions:
        print_done("nothing was wrong")
    elif dry_run:
        console.print(line(("i ", "cyan"), f"nothing was changed; {report.encoded:,} documents would be encoded again"))
    else:
        print_done(f"repaired; {report.encoded:,} documents encoded again")


def _say_plan(report: RepairReport) -> None:
    """What a repair does and what it cannot save, one line each."""
    for action in report.actions:
        console.print(line(("! ", "yellow"), action), soft_wrap=True)
    for document_id in report.lost:
        console.print(line(("✗ ", "bold red"), f"{document_id} is lost: only its vectors were stored"), soft_wrap=True)
    if report.altered:
        kept = (
            f"{len(report.altered):,} documents from {report.altered[0]} to {report.altered[-1]} are kept, but their vectors may "
            "have changed: add them again where you have them"
        )
        console.print(line(("! ", "yellow"), kept), soft_wrap=True)
