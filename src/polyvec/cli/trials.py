"""Commands that judge many settings: ablate, reproduce."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from polyvec.cli.evaluate import counting, job_of
from polyvec.cli.lines import printable
from polyvec.cli.options import COUNT, EXISTING_PATH, NAME, PATH, TEXT, json_option, model_option
from polyvec.cli.render import console, line, print_json
from polyvec.errors import InputError

if TYPE_CHECKING:
    from polyvec.evaluation.reproduce import Outcome


@click.command()
@click.argument("dataset", metavar="DATASET", type=NAME)
@model_option
@click.option("--split", type=TEXT, help="Which qrels of a BEIR folder.  [default: test, or the only one]")
@click.option("--dims", type=TEXT, default="", help='Heads to try, "32 64 128".  [default: the model\'s own dim]')
@click.option("--nbits", type=TEXT, default="", help='Bits a dimension to try, "1 2 4 8 16".  [default: 4]')
@click.option(
    "--pool-factors", type=TEXT, default="1", show_default=True, help='Token pooling factors to try, "1 2 3".'
)
@click.option(
    "--probings",
    type=TEXT,
    default="exact",
    show_default=True,
    help='Ways to search to try: exact, nprobe as in "8 32", nprobe:candidates as in "32:512", recall as in "0.99".',
)
@click.option("--measure", type=TEXT, default="nDCG@10", show_default=True, help="The measure to draw.")
@click.option("-k", type=COUNT, default=100, show_default=True, help="Depth of the run.")
@click.option("--threads", type=COUNT, default=None, help="Queries searched at a time.  [default: all cores]")
@click.option("--out", type=PATH, required=True, help="Folder for the table and the plots.")
@json_option
def ablate(
    dataset: str,
    model: str | None,
    split: str | None,
    dims: str,
    nbits: str,
    pool_factors: str,
    probings: str,
    measure: str,
    k: int,
    threads: int | None,
    out: Path,
    as_json: bool,
) -> None:
    """Sweep dims, nbits, token pooling and probing on DATASET.

    Draws quality against bytes a token and against search time. Writes ablation.jsonl, ablation.md, quality-token.png,
    quality-bytes.png and quality-time.png.
    """
    from polyvec.atomic import check_destination_folder
    from polyvec.evaluation.ablation import sweep, write_ablation
    from polyvec.evaluation.report import pyplot

    check_destination_folder(out)
    pyplot()  # names the package where matplotlib is not installed

    table = Table("dim", "nbits", "pooling", "probing", measure, "tokens", "bytes a token", "ms a query", box=None)
    rows = []
    with counting(dataset) as progress:
        for row in sweep(
            dataset,
            split=split,
            model=model,
            dims=_numbers(dims, int) or [None],
            nbits=_numbers(nbits, int) or [None],
            pool_factors=_numbers(pool_factors, float),
            probings=probings.replace(",", " ").split(),
            measure=measure,
            k=k,
            threads=threads,
            progress=progress,
        ):
            rows.append(row)
            table.add_row(
                str(row.dim), str(row.nbits), f"{row.pool_factor:g}", row.probing, f"{row.value:.4f}", f"{row.tokens:,}",
                f"{row.bytes_per_token:.1f}", f"{row.search_ms:.2f}",
            )  # fmt: skip
    if not rows:
        raise InputError("Nothing to try: --pool-factors and --probings need at least one value each.")
    write_ablation(out, dataset, rows, measure)
    if as_json:
        print_json({"dataset": dataset, "measure": measure, "rows": [row.to_dict() for row in rows]})
    else:
        console.print(table)


@click.command()
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


def _numbers(text: str, kind: Callable[[str], Any]) -> list[Any]:
    try:
        return [kind(word) for word in text.replace(",", " ").split()]
    except ValueError as error:
        raise InputError(f"{shlex.quote(printable(text))}: expected numbers with spaces between them.") from error
