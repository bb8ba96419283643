"""polyvec mine: hard negatives for training."""

from __future__ import annotations

from pathlib import Path

import click

from polyvec.cli.command import command
from polyvec.cli.options import COUNT, NUMBER, PATH, json_option, model_option
from polyvec.cli.render import console, print_json
from polyvec.cli.reports import counting


@command(
    examples=[
        "polyvec mine pairs.jsonl mined.jsonl --negatives 7",
    ]
)
@click.argument("data", metavar="DATA", type=PATH)
@click.argument("out", metavar="OUT.jsonl", type=PATH)
@model_option
@click.option("--negatives", type=COUNT, default=7, show_default=True, help="Hard negatives a question, at most.")
@click.option("--first-rank", type=COUNT, default=1, show_default=True, help="First rank that negatives may come from.")
@click.option("--last-rank", type=COUNT, default=100, show_default=True, help="Last rank that negatives may come from.")
@click.option(
    "--margin",
    type=NUMBER,
    default=0.95,
    show_default=True,
    help="Drop a candidate that scores more than this share of the true passage.",
)
@json_option
def mine(
    data: Path,
    out: Path,
    model: str | None,
    negatives: int,
    first_rank: int,
    last_rank: int,
    margin: float,
    as_json: bool,
) -> None:
    """Find hard negatives for the questions in DATA.

    They come from an index of the documents in DATA. Rows of DATA have query and document, and answer where it is known.
    """
    from polyvec.atomic import check_destination
    from polyvec.encoder import Encoder
    from polyvec.training.mining import MiningOptions, questions
    from polyvec.training.mining import mine as run

    MiningOptions(negatives=negatives, first_rank=first_rank, last_rank=last_rank, margin=margin)
    check_destination(out, inputs=[data], new=True)
    questions(data)  # a wrong row is named before a model loads
    encoder = Encoder(model)
    with counting("Mining", "texts", None) as bar:
        report = run(
            data, out, encoder=encoder, negatives=negatives, first_rank=first_rank, last_rank=last_rank, margin=margin, progress=bar
        )  # fmt: skip
    if as_json:
        print_json(vars(report))
        return
    console.print(
        f"{report.queries} questions, {report.negatives} negatives; {report.holding_answer} candidates held the answer, "
        f"{report.too_near} scored too near the true passage."
    )
