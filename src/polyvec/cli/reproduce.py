"""polyvec reproduce: the listed results, measured again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from polyvec.cli.command import command
from polyvec.cli.evaluate import counting, job_of
from polyvec.cli.options import EXISTING_PATH, PATH, TEXT, json_option
from polyvec.cli.render import console, line, print_json

if TYPE_CHECKING:
    from polyvec.evaluation.reproduce import Outcome


@command(
    examples=[
        "polyvec reproduce recipes/expected.toml --data my-data",
    ]
)
@click.argument("expected", metavar="EXPECTED.toml", type=EXISTING_PATH)
@click.option("--data", type=PATH, help="Folder that stands for DATA in the commands.")
@click.option("--only", type=TEXT, metavar="WORD", help="Only entries with this in their name.")
@click.option("--all", "everything", is_flag=True, help="Entries that are marked slow too.")
@click.option("--update", is_flag=True, help="Write the values that were found into the file instead of comparing.")
@click.option(
    "--page",
    type=PATH,
    help="Write the file's values as tables in Markdown here, after an update.",
)
@json_option
def reproduce(
    expected: Path,
    data: Path | None,
    only: str | None,
    everything: bool,
    update: bool,
    page: Path | None,
    as_json: bool,
) -> None:
    """Run the commands of EXPECTED.toml again and compare.

    Exit 1 where a value is off by more than its tolerance. All in one process: each text is encoded once and each index
    built once, whatever the number of commands.
    """
    from polyvec.atomic import check_destination, write_text
    from polyvec.evaluation.reproduce import read_expected, rerun, updated, write_expected
    from polyvec.evaluation.results_page import results_page

    file = read_expected(expected)
    if update:
        check_destination(expected)
    if page is not None:
        check_destination(page, inputs=[expected, data])
    chosen = [entry for entry in file.entries if only is None or only in entry.name]
    about = _about() if update else {}
    outcomes: list[Outcome] = []
    with counting(expected.name) as progress:
        for outcome in rerun(chosen, data, job_of, unknown=update, slow=everything, progress=progress):
            outcomes.append(outcome)
            if update:  # at once, so that an interruption costs one command
                file = updated(file, outcomes, about)
                write_expected(expected, file)
            if not as_json:
                _print_outcome(outcome, update)
    if as_json:
        print_json([outcome.to_dict() for outcome in outcomes])
    if page is not None:
        write_text(page, results_page(file))
    if any(outcome.state == "off" and (not update or outcome.found is None) for outcome in outcomes):
        raise click.exceptions.Exit(1)


def _about() -> dict[str, str]:
    from polyvec.encoder import Encoder
    from polyvec.evaluation.reproduce import about_this

    encoder = Encoder()
    return about_this(f"{encoder.name} {encoder.fingerprint}")


def _print_outcome(outcome: Outcome, update: bool) -> None:
    entry, found = outcome.entry, outcome.found
    value = "nothing" if entry.value is None else f"{entry.value:.4f}"
    if outcome.state == "passed over":
        text = line((f"- {entry.name}: {outcome.note}", "dim"))
    elif found is None:
        text = line(("✗", "bold red"), f" {entry.name}: {outcome.note}")
    elif update:
        text = line(("i", "cyan"), f" {entry.name}: {entry.measure} {value}, now {found:.4f}")
    else:
        mark = ("✓", "bold green") if outcome.state == "same" else ("✗", "bold red")
        judged = f" {entry.name}: {entry.measure} {value} expected, {found:.4f} found "
        text = line(mark, judged, (outcome.note, "dim"))
    console.print(text, soft_wrap=True)
