"""polyvec ablate: one evaluation in several settings."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from polyvec.cli.command import command
from polyvec.cli.evaluate import counting
from polyvec.cli.lines import printable
from polyvec.cli.options import NAME, PATH, TEXT, json_option, k_option, model_option, split_option, threads_option
from polyvec.cli.render import console, print_json
from polyvec.errors import InputError


@command(
    examples=[
        'polyvec ablate my-beir-folder --dims "32 64" --nbits "2 4" --out ablation',
    ]
)
@click.argument("dataset", metavar="DATASET", type=NAME)
@model_option
@split_option
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
@k_option(100, "Depth of the run.")
@threads_option
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
    from rich.table import Table

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


def _numbers(text: str, kind: Callable[[str], Any]) -> list[Any]:
    try:
        return [kind(word) for word in text.replace(",", " ").split()]
    except ValueError as error:
        raise InputError(f"{shlex.quote(printable(text))}: expected numbers with spaces between them.") from error
