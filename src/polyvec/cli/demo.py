"""The demo command: index the corpus that ships with polyvec, ask it questions, measure the answers."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from polyvec.cli.command import command
from polyvec.cli.options import PATH, json_option, model_option
from polyvec.cli.render import console, human_bytes, line, print_done, print_hits, print_json, progress_bar
from polyvec.errors import MissingExtraError

if TYPE_CHECKING:
    from polyvec.collection.index import Index


@command(
    examples=[
        "polyvec demo",
        "polyvec demo demo.polyvec --json",
    ]
)
@click.argument("index_path", metavar="[INDEX]", type=PATH, default=Path("demo.polyvec"))
@model_option
@json_option
@click.option("--serve", is_flag=True, help="Open the corpus in a search page; Ctrl+C ends it.")
@click.option("--port", metavar="N", type=click.IntRange(0, 65535), help="Of the page.  [default: 8000]")
def demo(index_path: Path, model: str | None, as_json: bool, serve: bool, port: int | None) -> None:
    """Index a corpus that ships with polyvec, and ask it questions.

    The passages and the questions are in many languages; how well they are answered is measured. The new index goes to INDEX,
    demo.polyvec unless said otherwise; an earlier demo's is replaced.
    """
    from polyvec.cli.serve import check_installed, serve_collections
    from polyvec.demo import build_demo_index, load_demo, measure, show_questions
    from polyvec.encoder import Encoder

    if serve:
        check_installed()
    started = time.perf_counter()
    corpus = load_demo()
    encoder = Encoder(model)
    with progress_bar("documents") as bar:
        task = bar.add_task("encoding the demo corpus", total=len(corpus.documents), done=0, rate="")
        index = build_demo_index(
            corpus, index_path, encoder, lambda n: bar.update(task, advance=n, done=f"{bar.tasks[0].completed + n:.0f}")
        )
    if serve:
        index.close()
        given = {} if port is None else {"port": port}
        examples = show_questions(corpus)[:8]
        serve_collections((index_path,), None, given, browse=sys.stdout.isatty(), examples=examples)
        return
    with index:
        facts = index.info()
        seconds = time.perf_counter() - started
        measures: dict[str, Any] = {}
        missing = ""
        try:
            measures = measure(index, corpus)
        except MissingExtraError as error:
            missing = str(error)
        if as_json:
            print_json({"index": facts, "seconds": round(seconds, 3), **measures})
            return
        print_done(
            f"{facts['documents']} passages in {len(facts['languages'])} languages, {facts['tokens']:,} token vectors, "
            f"{human_bytes(facts['size_bytes'])} in ",
            (index_path, "bold"),
            (f" ({seconds:.1f} s, model {facts['model']})", "dim"),
        )
        console.print()
        for question in show_questions(corpus):
            _answer(index, question)
    if measures:
        _print_measures(measures)
    else:
        console.print(
            line(("i ", "cyan"), f"How well these were answered is not measured here. {missing}"), soft_wrap=True
        )
    question = '"how do bees tell each other where the flowers are?"'
    console.print()
    console.print(line("Ask your own: ", (f"polyvec search {index_path} {question}", "bold")), soft_wrap=True)
    console.print(line("In a browser: ", (f"polyvec serve {index_path}", "bold")), soft_wrap=True)


def _answer(index: Index, question: str) -> None:
    started = time.perf_counter()
    hits = index.search(question, k=2)
    seconds = time.perf_counter() - started
    print_hits(question, hits, [hit.explain() for hit in hits], seconds)


def _print_measures(measures: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(title="nDCG@10 of the demo's own questions", title_justify="left", box=None, padding=(0, 2))
    table.add_column("question in", style="magenta")
    table.add_column("questions", justify="right")
    table.add_column("passage in the same language")
    table.add_column("passages in the other languages")
    for lang, row in measures["by_lang"].items():
        table.add_row(lang, str(row["queries"]), _bar(row["same"]), _bar(row["cross"]))
    overall = measures["overall"]
    table.add_row("all", str(overall["queries"]), _bar(overall["same"]), _bar(overall["cross"]), style="bold")
    console.print(table)


def _bar(value: float) -> str:
    return f"{'█' * round(10 * value):<10} {value:.3f}"
