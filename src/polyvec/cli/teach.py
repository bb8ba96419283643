"""polyvec teach: a teacher's scores for training."""

from __future__ import annotations

from pathlib import Path

import click

from polyvec.cli.command import command
from polyvec.cli.options import NAME, PATH, json_option
from polyvec.cli.render import console, line, print_json
from polyvec.cli.reports import counting


@command(
    examples=[
        "polyvec teach mined.jsonl taught.jsonl --cross-encoder BAAI/bge-reranker-v2-m3",
    ]
)
@click.argument("data", metavar="DATA", type=PATH)
@click.argument("out", metavar="OUT.jsonl", type=PATH)
@click.option(
    "--cross-encoder", "cross", type=NAME, help="A sentence-transformers CrossEncoder: a folder or a hub name."
)
@click.option("--dense", type=NAME, help="A sentence-transformers dense model as teacher, such as all-MiniLM-L6-v2.")
@click.option("--late", type=NAME, help="A late-interaction model as teacher: a folder, a hub name, or polyvec-mini.")
@json_option
def teach(data: Path, out: Path, cross: str | None, dense: str | None, late: str | None, as_json: bool) -> None:
    """Score the candidates in DATA (query, documents) with a teacher.

    Run it again to go on after an interruption.
    """
    from polyvec.atomic import check_destination
    from polyvec.training import teaching

    if [cross, dense, late].count(None) != 2:
        raise click.UsageError("Give one teacher: --cross-encoder, --dense or --late.")
    check_destination(out, inputs=[data], new=True)
    teaching.check_source(data)  # a wrong row is named before a model loads
    if cross is not None:
        teacher = teaching.cross_encoder(cross)
    elif dense is not None:
        teacher = teaching.dense(dense)
    else:
        teacher = teaching.late(str(late))
    with counting("Teaching", "questions", None) as bar:
        written = teaching.teach(data, out, teacher, progress=bar)
    if as_json:
        print_json({"rows": written})
    else:
        console.print(line(f"{written} questions scored into {out}."), soft_wrap=True)
