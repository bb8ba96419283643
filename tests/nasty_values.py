"""Every public call and every option of the command line, with values that nobody should give.

Only polyvec's own errors may come out, in one line; the command prints one line and exits 1 or 2. Calls are taken from the public
names and their signatures, options from click's own commands, so that new ones are covered by themselves.

    python -m tests.nasty_values --count 20000 --seed 7
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import io
import random
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import polyvec
from polyvec import Index, SearchOptions, Shards
from polyvec.bench.audit import audit, stretches
from polyvec.data import Document, as_documents, read_documents, read_qrels, read_queries, read_run, write_run
from polyvec.encoder import Encoder, EncoderOptions
from polyvec.errors import PolyvecError
from polyvec.evaluation import ablation, evaluation, significance
from polyvec.evaluation.baselines import judge_baseline
from polyvec.evaluation.dataset import load_dataset
from polyvec.evaluation.measures import compute_measures
from polyvec.evaluation.reproduce import read_expected
from polyvec.search.rerank import rerank_run
from polyvec.training.averaging import average
from polyvec.training.mining import MiningOptions, mine
from polyvec.training.recipe import read_recipe
from polyvec.training.rows import read_rows
from polyvec.training.stages import train
from polyvec.training.teaching import teach
from tests.nasty_commands import fuzz_commands
from tests.nasty_report import (
    DIM,
    ROWS,
    CheckedWords,
    Hangs,
    OwnError,
    Report,
    given_stdin,
    in_folder,
    in_time,
    make_files,
    refuses,
    short,
    values,
    where,
)

_APART = (
    "create",
    "open",
    "open_or_create",
    "create_resumable",
    "close",
    "finish",
)  # methods of Index with calls of their own


def _consumed(call: Callable[..., Any]) -> Callable[..., Any]:
    """A call whose iterator is read to its end, since that is when it checks."""

    def run(*args: Any, **kwargs: Any) -> list[Any]:
        return list(call(*args, **kwargs))

    run.__signature__ = inspect.signature(call)  # type: ignore[attr-defined]
    return run


def python_calls(index: Index, shards: Shards, files: Path) -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    """Each public call with arguments that are right; those not named have their defaults."""
    encoder = index.encoder
    one = np.eye(2, DIM, dtype=np.float32)
    hit = index.search("tea", k=1)[0]
    right: dict[str, dict[str, Any]] = {
        "add": {"documents": []},
        "update": {"documents": []},
        "add_vectors": {"ids": ["v"], "vectors": [one], "existing": "replace"},
        "update_metadata": {"changes": {"tea": {"n": 1}}},
        "delete": {"ids": ["v"]},
        "get": {"ids": ["tea"]},
        "search": {"query": "tea"},
        "search_vectors": {"query": one},
        "explain": {"query": "tea", "hit": hit},
        "copy": {"path": "copied.polyvec"},
    }
    calls: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
        "maxsim": (polyvec.maxsim, {"query": one, "documents": [one]}),
        "rerank": (polyvec.rerank, {"query": "tea", "documents": ["tea", "bread"], "encoder": encoder}),
        "SearchOptions": (SearchOptions, {}),
        "SearchOptions.from_dict": (SearchOptions.from_dict, {"values": {"k": 3}}),
        "EncoderOptions": (EncoderOptions, {}),
        "as_documents": (_consumed(as_documents), {"items": [{"id": "z", "text": "z"}]}),
        "Document": (lambda **given: list(as_documents([Document(**given)])), {"id": "z", "text": "z", "metadata": {}}),
        "read_documents": (_consumed(read_documents), {"path": files / "docs.jsonl"}),
        "read_queries": (_consumed(read_queries), {"path": files / "q.tsv"}),
        "read_qrels": (read_qrels, {"path": files / "qrels.tsv"}),
        "read_run": (read_run, {"path": files / "run.trec"}),
        "write_run": (write_run, {"path": files / "out.trec", "results": {"q": {"d": 1.0}}, "tag": "t"}),
        **file_calls(index, files),
        "build_index": (
            _build,
            {
                "documents": [{"id": "z", "text": "tea"}],
                "path": "built.polyvec",
                "encoder": encoder,
                "nbits": 4,
                "source": "s",
            },
        ),
        "repair_index": (polyvec.repair_index, {"path": index.path, "encoder": encoder, "dry_run": True}),
        "Client": (_client, {"url": "http://127.0.0.1:1"}),
        "AsyncClient": (polyvec.AsyncClient, {"url": "http://127.0.0.1:1"}),
        "Index.create": (_create, {"path": "new.polyvec", "dim": DIM}),
        "Index.open_or_create": (_open_or_create, {"path": "opened.polyvec", "dim": DIM}),
        "Index.open": (_open, {"path": index.path, "encoder": encoder}),
        "Index.__contains__": (lambda document_id: document_id in index, {"document_id": "tea"}),
    }
    calls["Shards.create"] = (_create_shards, {"path": "new.shards", "dim": DIM, "shards": 2})
    calls["Shards.open"] = (_open_shards, {"path": shards.path, "encoder": encoder})
    for kind, one_of_both in (("Index", index), ("Shards", shards)):
        for name, method in inspect.getmembers(one_of_both, callable):
            if not name.startswith("_") and name not in _APART:
                call = {"documents": _consumed, "scan": _consumed, "copy": _removed}.get(name, _same)(method)
                calls[f"{kind}.{name}"] = (call, right.get(name, {}))
    results = {"AddReport", "Encoded", "Explanation", "Hit"}  # what calls return; they check nothing themselves
    covered = {name.split(".")[0] for name in calls} | results | {"PolyvecError", "Encoder", "__version__"}
    missing = set(polyvec.__all__) - covered
    assert not missing, f"say in this file how to call {sorted(missing)}"
    return calls


def file_calls(index: Index, files: Path) -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    """What evaluation and training offer in Python, on files that are too small for any of it to take long."""
    encoder, options = index.encoder, SearchOptions(k=2)
    data = load_dataset(files / "beir")
    run, queries, documents = {"q1": {"tea": 1.0, "moon": 0.5}}, data.queries, list(index.documents())
    row = ablation.AblationRow(
        dim=DIM, nbits=4, pool_factor=1.0, probing="exact", value=0.5, tokens=9, documents=3, bytes_per_token=8.0,
        bytes_per_document=24.0, search_ms=1.0,
    )  # fmt: skip
    values_by_query = {"q1": {"nDCG@10": 0.5}}

    def teacher(pairs: Any) -> list[float]:
        return [1.0] * len(pairs)

    return {
        "load_dataset": (load_dataset, {"dataset": files / "beir"}),
        "evaluate": (evaluation.evaluate, {"dataset": data, "index": index, "options": options}),
        "evaluate_index": (evaluation.evaluate_index, {"dataset": data, "index": index, "options": options}),
        "compute_measures": (compute_measures, {"qrels": data.qrels, "run": run, "measures": ["nDCG@10"]}),
        "tabulate": (
            evaluation.tabulate,
            {"qrels": data.qrels, "run": run, "queries": queries, "document_languages": {}, "measures": ["nDCG@10"]},
        ),
        "compare": (significance.compare, {"ours": {"q1": 0.5}, "theirs": {"q1": 0.25}, "rounds": 10}),
        "compare_measures": (
            significance.compare_measures,
            {"ours": values_by_query, "theirs": values_by_query, "measures": ["nDCG@10"]},
        ),
        "rerank_run": (
            rerank_run,
            {"run": run, "queries": queries, "documents": documents, "encoder": encoder},
        ),
        "judge_baseline": (
            judge_baseline,
            {"dataset": data, "baseline": "bm25", "measures": ["nDCG@10"], "k": 10},
        ),
        "parse_probing": (ablation.parse_probing, {"text": "32:512", "k": 10}),
        "sweep": (_consumed(ablation.sweep), {"dataset": "nowhere"}),
        "write_ablation": (
            ablation.write_ablation,
            {"folder": files / "ablation", "name": "beir", "rows": [row], "measure": "nDCG@10"},
        ),
        "read_expected": (read_expected, {"path": files / "empty.toml"}),
        "read_recipe": (read_recipe, {"path": files / "empty.toml"}),
        "train": (train, {"path": files / "empty.toml"}),
        "read_rows": (_consumed(read_rows), {"path": files / "docs.jsonl"}),
        "MiningOptions": (MiningOptions, {}),
        "mine": (_anew(mine, files / "mined.jsonl"), {"source": files / "pairs.jsonl", "encoder": encoder}),
        "teach": (
            _anew(teach, files / "taught.jsonl"),
            {"source": files / "candidates.jsonl", "teacher": teacher},
        ),
        "average": (
            _anew(average, files / "averaged"),
            {"before": files / "beir", "after": files / "beir"},
        ),
        "stretches": (stretches, {"path": index.path}),
        "audit": (_consumed(audit), {"index": index, "queries": stretches(index.path, count=1)}),
    }


def encoder_calls(folder: Path) -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    """The model itself, which takes long: its constructor and each of its methods."""
    encoder = Encoder()
    methods: dict[str, dict[str, Any]] = {
        "encode_query": {"texts": "tea"},
        "encode_document": {"texts": ["tea"]},
        "stream_queries": {"texts": ["tea"]},
        "stream_documents": {"texts": ["tea"]},
    }
    calls: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
        f"Encoder.{name}": (_consumed(getattr(encoder, name)), right) for name, right in methods.items()
    }
    return {
        **calls,
        "Encoder": (Encoder, {}),
        "Encoder.save": (_removed(encoder.save, "folder"), {"folder": folder / "saved"}),
    }


def _anew(call: Callable[..., Any], output: Path) -> Callable[..., Any]:
    """A call that writes to `output`, which is not there before."""

    def run(**given: Any) -> None:
        for path in (output, output.with_name(output.name + ".partial")):
            path.unlink(missing_ok=True)
        call(**{"output": output, **given})

    run.__signature__ = inspect.signature(call)  # type: ignore[attr-defined]
    return run


def _same(call: Callable[..., Any]) -> Callable[..., Any]:
    return call


def _removed(call: Callable[..., Any], argument: str = "path") -> Callable[..., Any]:
    """A call that makes a folder, which goes again."""

    def run(**given: Any) -> None:
        call(**given)
        shutil.rmtree(Path(given[argument]))

    run.__signature__ = inspect.signature(call)  # type: ignore[attr-defined]
    return run


def _create(**given: Any) -> None:
    Index.create(**given).close()
    shutil.rmtree(Path(given["path"]))


_create.__signature__ = inspect.signature(Index.create)  # type: ignore[attr-defined]


def _create_shards(**given: Any) -> None:
    Shards.create(**given).close()
    shutil.rmtree(Path(given["path"]))


_create_shards.__signature__ = inspect.signature(Shards.create)  # type: ignore[attr-defined]


def _open_shards(**given: Any) -> None:
    Shards.open(**given).close()


_open_shards.__signature__ = inspect.signature(Shards.open)  # type: ignore[attr-defined]


def _client(**given: Any) -> None:
    polyvec.Client(**given).close()


_client.__signature__ = inspect.signature(polyvec.Client)  # type: ignore[attr-defined]


def _open_or_create(**given: Any) -> None:
    Index.open_or_create(**given).close()
    shutil.rmtree(Path(given["path"]))


_open_or_create.__signature__ = inspect.signature(Index.open_or_create)  # type: ignore[attr-defined]


def _build(**given: Any) -> None:
    shutil.rmtree("built.polyvec", ignore_errors=True)  # of a call that ended in the middle
    index, _ = polyvec.build_index(**given)
    index.close()
    shutil.rmtree(index.path)


_build.__signature__ = inspect.signature(polyvec.build_index)  # type: ignore[attr-defined]


def _open(**given: Any) -> None:
    Index.open(**given).close()


_open.__signature__ = inspect.signature(Index.open)  # type: ignore[attr-defined]


def try_python(report: Report, name: str, call: Callable[..., Any], given: dict[str, Any], nasty: list[str]) -> None:
    report.calls[name] += 1
    shown = ", ".join(f"{key}={short(given[key])}" for key in nasty)
    try:
        with (
            np.errstate(all="ignore"),
            contextlib.redirect_stdout(io.StringIO()),
            given_stdin(b"tea"),
            in_time(120 if name.startswith("Encoder.") else 20),
        ):
            call(**given)
    except PolyvecError as error:
        if len(str(error).splitlines()) != 1:
            report.add(f"{name}({', '.join(nasty)})", "message of many lines or none", f"{shown}: {str(error)[:90]!r}")
    except OwnError:
        if refuses not in [given[key] for key in nasty if callable(given[key])]:
            raise
    except (Exception, Hangs) as error:
        report.add(f"{name}({', '.join(nasty)})", where(error), f"{shown}: {str(error)[:90]!r}")


Calls = dict[str, tuple[Callable[..., Any], dict[str, Any]]]


def fuzz_python(report: Report, rng: random.Random, calls: Calls, count: int) -> None:
    """Each argument of each call with nasty values one at a time, then random combinations, `count` calls at least."""
    singles = []
    for name, (call, right) in calls.items():
        given = right if name == "Document" else inspect.signature(call).parameters
        singles += [(name, parameter, i) for parameter in given for i in range(len(values(rng)))] or [(name, "", 0)]
    seen: set[tuple[str, str]] = set()
    rng.shuffle(singles)
    chosen = [one for one in singles if one[:2] not in seen and not seen.add(one[:2])]  # type: ignore[func-returns-value]
    rest = [one for one in singles if one not in set(chosen)]
    for name, parameter, i in chosen + rest[: max(0, count - len(chosen))]:
        call, right = calls[name]
        try_python(
            report,
            name,
            call,
            {**right, **({parameter: values(rng)[i]} if parameter else {})},
            [parameter] if parameter else [],
        )
    for _ in range(max(count // 4, count - len(singles))):
        name = rng.choice(list(calls))
        call, right = calls[name]
        parameters = list(right) if name == "Document" else list(inspect.signature(call).parameters)
        nasty = rng.sample(parameters, min(len(parameters), rng.randint(2, 4)))
        pool = values(rng)
        try_python(report, name, call, {**right, **{key: rng.choice(pool) for key in nasty}}, nasty)


def run(folder: Path, *, seed: int, python: int, per_option: int, combinations: int, model: bool = False) -> Report:
    """Both halves with one seed, in an empty folder. model: whether the default model is called too, not a stand-in alone."""
    report, rng = Report(), random.Random(seed)
    make_files(folder / "python")
    with (
        in_folder(folder / "python"),
        Index.create(folder / "api.polyvec", encoder=CheckedWords(DIM)) as index,
        Shards.create(folder / "api.shards", encoder=CheckedWords(DIM), shards=2) as shards,
    ):
        for one in (index, shards):
            one.add(ROWS)
        fuzz_python(report, rng, python_calls(index, shards, folder / "python"), python)
        if model:
            fuzz_python(report, rng, encoder_calls(folder / "python"), python // 10)
        problems = index.verify() + shards.verify()
        if problems:
            report.add("Index", f"verify: {problems}", "everything above")
    fuzz_commands(report, rng, folder / "commands", per_option, combinations)
    return report


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Nasty values for every public call and option.")
    parser.add_argument("--count", type=int, default=10_000, help="about how many calls in all")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found = run(
            Path(scratch),
            seed=asked.seed,
            python=asked.count // 2,
            per_option=max(1, asked.count // 360),
            combinations=asked.count // 200,
            model=True,
        )
    print(*(f"{number:6} {call}" for call, number in sorted(found.calls.items())), sep="\n")
    print(found)
    sys.exit(bool(found.findings))
