"""Commands that judge: evaluate, ablate, reproduce."""

from __future__ import annotations

import itertools
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from polyvec.cli.render import console, human_bytes, messages, print_json, progress_bar
from polyvec.errors import InputError

if TYPE_CHECKING:
    from polyvec.evaluation.dataset import Dataset
    from polyvec.evaluation.evaluation import EvaluationResult

_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
_measures_option = click.option(
    "--measures",
    default="nDCG@10 RR@10 R@100 Success@5",
    show_default=True,
    help="Measures, as ir-measures spells them.",
)


@click.command()
@click.argument("dataset", metavar="DATASET")
@click.option("--model", metavar="M", help="Checkpoint folder or hub name. Default: the model that ships with polyvec.")
@click.option("--index", "index_path", type=click.Path(path_type=Path), help="Judge an index instead of making one.")
@click.option("--baseline", type=str, help="Judge another system instead: bm25, or dense:MODEL.")
@click.option("--split", help="Which qrels of a BEIR folder.  [default: test, or the only one]")
@click.option("--dim", type=int, metavar="D", help="Which Matryoshka head to use.")
@click.option("--nbits", type=int, metavar="B", help="Bits a dimension of the index; 16 (fp16) for now.")
@click.option(
    "--pool-factor", type=float, default=1.0, show_default=True, help="Pool this many document tokens into one."
)
@click.option(
    "--mode", type=click.Choice(["late", "keyword", "hybrid"]), default="late", show_default=True, help="How to search."
)
@click.option("-k", type=int, default=100, show_default=True, help="Depth of the run.")
@_measures_option
@click.option(
    "--run-out", type=click.Path(path_type=Path, allow_dash=True), help="Write the TREC run here; - is stdout."
)
@click.option("--compare", type=click.Path(path_type=Path), help="A TREC run to compare with, query by query.")
@click.option("--report", type=click.Path(path_type=Path), help="Write a page with charts to this folder.")
@click.option("--threads", type=int, default=None, help="Threads to search with.  [default: all cores]")
@_json_option
def evaluate(dataset: str, measures: str, split: str | None, as_json: bool, **settings: Any) -> None:
    """Judge a model on DATASET through an index, by language: a BEIR folder, or irds:ID.

    Known to ir_datasets (these need the network once): irds:beir/scifact/test, irds:miracl/de/dev, irds:mmarco/v2/fr/dev/small,
    irds:lotte/lifestyle/test/search, irds:msmarco-passage/dev/small.
    """
    from polyvec.data import read_run, write_run
    from polyvec.evaluation.dataset import load_dataset
    from polyvec.evaluation.evaluation import document_languages, tabulate
    from polyvec.evaluation.significance import compare as compare_values

    names = measures.split()
    data = load_dataset(dataset, split=split)
    result = _judged(data, names, settings)
    if settings["run_out"] is not None:
        write_run(settings["run_out"], result.run, tag="polyvec")
    comparison: dict[str, Any] | None = None
    if settings["compare"] is not None:
        other = read_run(settings["compare"])
        languages = document_languages(data.documents())
        theirs = tabulate(data.qrels, other, data.queries, languages, names)["per_query"]
        comparison = {
            name: compare_values(
                {q: row[name] for q, row in result.per_query.items()}, {q: row[name] for q, row in theirs.items()}
            ).to_dict()
            for name in names
        }
    if settings["report"] is not None:
        from polyvec.evaluation.report import write_report

        page = write_report(settings["report"], data, result, comparison)
        messages.print(f"[cyan]i[/] report: {page}")
    if as_json:
        print_json({**result.to_dict(), **({"comparison": comparison} if comparison else {})})
    elif settings["run_out"] is None or str(settings["run_out"]) != "-":
        _print_result(result, comparison)


def _judged(data: Dataset, names: list[str], settings: dict[str, Any]) -> EvaluationResult:
    from polyvec.collection import DEFAULT_NBITS, Index
    from polyvec.encoder import Encoder
    from polyvec.evaluation.baselines import judge_baseline
    from polyvec.evaluation.evaluation import evaluate as judge

    shared = {"measures": names, "k": settings["k"]}
    given = [name for name in ("model", "index_path", "baseline") if settings[name] is not None]
    if len(given) > 1:
        raise InputError("Give one of --model, --index and --baseline.")
    if settings["baseline"] is not None:
        return judge_baseline(data, settings["baseline"], **shared)
    with _counting(data.name) as progress:
        shared |= {"threads": settings["threads"], "mode": settings["mode"], "progress": progress}
        if settings["index_path"] is not None:
            with Index.open(settings["index_path"]) as index:
                return judge(data, index=index, **shared)
        encoder = Encoder(settings["model"], dim=settings["dim"], pool_factor=settings["pool_factor"])
        nbits = DEFAULT_NBITS if settings["nbits"] is None else settings["nbits"]
        return judge(data, encoder=encoder, nbits=nbits, **shared)


@click.command()
@click.argument("dataset", metavar="DATASET")
@click.option("--model", metavar="M", help="Checkpoint folder or hub name. Default: the model that ships with polyvec.")
@click.option("--split", help="Which qrels of a BEIR folder.  [default: test, or the only one]")
@click.option("--dims", default="", help='Dims to try, "32 64 128"; each must be one of the model\'s heads.')
@click.option("--pool-factors", default="1 2 3", show_default=True, help="Token pooling factors to try.")
@click.option("--measure", default="nDCG@10", show_default=True, help="The measure to draw.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the table and the plots.")
@_json_option
def ablate(
    dataset: str,
    model: str | None,
    split: str | None,
    dims: str,
    pool_factors: str,
    measure: str,
    out: Path,
    as_json: bool,
) -> None:
    """Sweep dims and token pooling on DATASET; draw quality against bytes a document and against search time."""
    from polyvec.evaluation.ablation import Trial, sweep, write_ablation
    from polyvec.evaluation.dataset import load_dataset

    data = load_dataset(dataset, split=split)
    trials = [
        Trial(dim=dim, pool_factor=factor)
        for dim, factor in itertools.product(_numbers(dims, int) or [None], _numbers(pool_factors, float))
    ]
    with _counting(data.name) as progress:
        rows = sweep(data, trials, model=model, measure=measure, progress=progress)
    write_ablation(out, data.name, rows, measure)
    if as_json:
        print_json({"dataset": data.name, "measure": measure, "rows": [row.to_dict() for row in rows]})
        return
    table = Table("dim", "pooling", measure, "tokens", "index bytes a document", "search ms a query", box=None)
    for row in rows:
        table.add_row(
            str(row.dim),
            f"{row.pool_factor:g}",
            f"{row.value:.4f}",
            f"{row.tokens:,}",
            f"{row.bytes_per_document:,.0f}",
            f"{row.search_ms:.2f}",
        )
    console.print(table)


@click.command()
@click.argument("expected", metavar="EXPECTED.toml", type=click.Path(path_type=Path, exists=True))
@click.option("--data", type=click.Path(path_type=Path), help="Folder that stands for DATA in the commands.")
@_json_option
def reproduce(expected: Path, data: Path | None, as_json: bool) -> None:
    """Run the commands of EXPECTED.toml again and compare; exit 1 where a value is off by more than its tolerance."""
    from polyvec.evaluation.reproduce import read_expected, run_expected

    outcomes = []
    for entry in read_expected(expected):
        outcome = run_expected(entry, data)
        outcomes.append(outcome)
        if not as_json:
            mark = {"same": "[bold green]✓[/]", "off": "[bold red]✗[/]"}.get(outcome.state, "[dim]-[/]")
            found = "" if outcome.found is None else f"{outcome.found:.4f}"
            where = f"{entry.measure} {entry.lang or ''}".strip()
            console.print(
                f"{mark} {entry.name}: {where} {entry.value:.4f} expected {found} [dim]{outcome.note}[/]",
                highlight=False,
            )
    if as_json:
        print_json([outcome.to_dict() for outcome in outcomes])
    if any(outcome.state == "off" for outcome in outcomes):
        raise click.exceptions.Exit(1)


def _numbers(text: str, kind: Callable[[str], Any]) -> list[Any]:
    try:
        return [kind(word) for word in text.replace(",", " ").split()]
    except ValueError as error:
        raise InputError(f"{shlex.quote(text)}: expected numbers with spaces between them.") from error


@contextmanager
def _counting(name: str) -> Iterator[Callable[[str, int], None]]:
    """A line that counts what is being done, with its rate."""
    with progress_bar("") as bar:
        task = bar.add_task(name, total=None, done="", rate="")
        state: dict[str, Any] = {"what": "", "count": 0, "started": time.monotonic()}

        def report(what: str, n: int) -> None:
            if what != state["what"]:
                state.update(what=what, count=0, started=time.monotonic())
            state["count"] += n
            rate = state["count"] / max(time.monotonic() - state["started"], 1e-9)
            bar.update(task, done=f"{state['count']:,} {what}", rate=f"{rate:,.0f}/s")

        yield report


def _print_result(result: EvaluationResult, comparison: dict[str, Any] | None) -> None:
    names = list(result.measures)
    table = Table(title=f"{result.dataset}, {result.model}", title_justify="left", box=None, padding=(0, 2))
    table.add_column("queries in", style="magenta")
    for name in names:
        table.add_column(name, justify="right")
    for lang, row in result.by_lang.items():
        table.add_row(lang, *(f"{row[name]:.4f}" for name in names))
    if len(result.by_lang) > 1:
        table.add_row("macro average", *(f"{result.macro[name]:.4f}" for name in names), style="bold")
    table.add_row("all queries", *(f"{result.measures[name]:.4f}" for name in names), style="bold")
    console.print(table)
    seconds = result.seconds
    console.print(
        f"  [dim]{result.queries:,} queries, {result.documents:,} documents, {result.tokens:,} token vectors, "
        f"{human_bytes(result.index_bytes)}; encode {seconds['encode']:.1f} s, index {seconds['index']:.1f} s, "
        f"search {seconds['search']:.1f} s[/]",
        soft_wrap=True,
    )
    for name, row in (comparison or {}).items():
        console.print(
            f"  {name}: {row['ours']:.4f} against {row['theirs']:.4f}, difference {row['difference']:+.4f} "
            f"[{row['low']:+.4f}, {row['high']:+.4f}], p = {row['p']:.4f}",
            markup=False,
        )
