"""Every public call and every option of the command line, with values that nobody should give.

Only polyvec's own errors may come out, in one line; the command prints one line and exits 1 or 2. Calls are taken from the public
names and their signatures, options from click's own commands, so that new ones are covered by themselves.

    python -m tests.nasty_values --count 20000 --seed 7
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import decimal
import inspect
import io
import json
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import click
import numpy as np

import polyvec
from polyvec import Hit, Index, SearchOptions
from polyvec.cli import cli, main
from polyvec.data import (
    Document,
    as_documents,
    read_documents,
    read_qrels,
    read_queries,
    read_run,
    write_run,
)
from polyvec.encoder import EncoderOptions
from polyvec.encoder.batches import checked
from polyvec.encoder.locate import locate
from polyvec.errors import ModelError, PolyvecError
from tests.conftest import WordEncoder

DIM = 16
ROWS = [
    {"_id": "tea", "text": "green and black tea", "title": 1984, "lang": "en", "year": 2001},
    {"_id": "a\u2028b", "text": "bread rises [red] \x1b[31m \u202e", "title": "[/nope] :smile:", "lang": ["de"]},
    {"_id": "moon", "text": "der Mond", "title": "Mond\x9b31m", "lang": "de", "tags": [{"a": None}]},
]


@dataclass
class Report:
    """What was called how often, and what came out that should not have."""

    calls: Counter[str] = field(default_factory=Counter)
    findings: dict[str, str] = field(default_factory=dict)

    def add(self, call: str, what: str, given: str) -> None:
        self.findings.setdefault(f"{call}: {what}", given)

    def __str__(self) -> str:
        lines = [f"{found}   given {given}" for found, given in sorted(self.findings.items())]
        return "\n".join([f"{sum(self.calls.values())} calls, {len(lines)} findings", *lines])


def _deep(levels: int = 5000) -> Any:
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


class _Text(str):
    __slots__ = ()


def values(rng: random.Random) -> list[Any]:
    """Fresh nasty values: iterators are used up by a call, and lists may be changed."""
    one = np.ones((2, DIM), np.float32)
    return [
        None, True, 0, -1, 1, 10**30, -(10**30), 1.5, -0.5, math.nan, math.inf, 1e-320, 2**31, 2**63,
        "", " ", "\0", "a\0b", "a\u2028b", "\ud800", "x" * 70_000, "[red]", "[/nope]", "\x1b[31m", "\u202e", "late", "nan", "-",
        "nowhere", "ไ", "\u0301", _Text("tea"), b"tea", b"\xff", bytearray(b"x"),
        [], [None], [[]], [""], ["tea", "tea"], ["\ud800"], ["x"] * 1000, [1], [b"x"], [{}], [math.nan], [one], [one,
        None], (), ("tea",),
        set(), {"tea"}, frozenset([1]), {}, {"a": {}}, {"$and": []}, {"": 1}, {1: 2}, {"\ud800": 1}, {"lang": {"$in": [[]]}},
        {"year": {"$gt": math.nan}}, {"a": _deep(400)}, {"id": "z"}, {"id": "z", "text": "z"}, [{"id": "z", "text": "\ud800"}],
        [{"id": "", "text": "z"}], [{"id": "z", "text": "z", "m": math.nan}], [{"id": "z", "text": "z", "m": {1, 2}}],
        [{"id": "z", "text": "z", "m": _deep()}], [{"id": "z", "text": "z", "metadata": {1: 2}}], [{"id": "\ud800",
        "text": "z"}],
        _deep(), iter([]), iter(["tea"]), (x for x in [None]), range(3), object(), int, len, lambda *_: None,
        NotImplemented, ...,
        np.float32(1), np.int64(3), np.bool_(True), np.str_("tea"), np.float64("nan"), np.datetime64("2020-01-01"),
        one, one[0], np.ones((0, DIM)), np.ones((2, 3)), np.full((2, DIM), np.nan), np.full((2, DIM), 1e38), np.zeros((2, DIM)),
        np.ones((1, 2, DIM)), np.array(1.0), np.array(["a"]), np.array([None]), np.ones((2, DIM), complex),
        np.ones((2, DIM), bool),
        np.ones((2, DIM), np.int64) * 2**62, [one, np.ones((2, 3))], [[1.0] * DIM], [["a"]], [[1], [1, 2]],
        datetime.date(2020, 1, 1), decimal.Decimal("NaN"), complex(1, 2), Path("nowhere"), Path("\ud800"), Path(), slice(1, 2),
        Document("z", "z", {}), [Document(1, "z", {})], [Document("z", None, {})], [Document("z", "z", None)],  # type: ignore[arg-type]
        SearchOptions(k=3), Hit("tea", 1.0, 1, "green and black tea"), Hit("nowhere", 1.0, 1, "t"), rng.random(),
        rng.randint(-9, 9),
    ]  # fmt: skip


# -- Python ------------------------------------------------------------------------------------------------------------


def _consumed(call: Callable[..., Any]) -> Callable[..., Any]:
    """A call whose iterator is read to its end, since that is when it checks."""

    def run(*args: Any, **kwargs: Any) -> list[Any]:
        return list(call(*args, **kwargs))

    run.__signature__ = inspect.signature(call)  # type: ignore[attr-defined]
    return run


def python_calls(index: Index, files: Path) -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    """Each public call with arguments that are right; those not named have their defaults."""
    encoder = index.encoder
    one = np.eye(2, DIM, dtype=np.float32)
    hit = index.search("tea", k=1)[0]
    right: dict[str, dict[str, Any]] = {
        "add": {"documents": []},
        "update": {"documents": []},
        "add_vectors": {"ids": ["v"], "vectors": [one], "existing": "replace"},
        "delete": {"ids": ["v"]},
        "get": {"ids": ["tea"]},
        "search": {"query": "tea"},
        "search_vectors": {"query": one},
        "explain": {"query": "tea", "hit": hit},
    }
    calls: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
        "maxsim": (polyvec.maxsim, {"query": one, "documents": [one]}),
        "rerank": (polyvec.rerank, {"query": "tea", "documents": ["tea", "bread"], "encoder": encoder}),
        "SearchOptions": (SearchOptions, {}),
        "EncoderOptions": (EncoderOptions, {}),
        "as_documents": (_consumed(as_documents), {"items": [{"id": "z", "text": "z"}]}),
        "Document": (lambda **given: list(as_documents([Document(**given)])), {"id": "z", "text": "z", "metadata": {}}),
        "read_documents": (_consumed(read_documents), {"path": files / "docs.jsonl"}),
        "read_queries": (_consumed(read_queries), {"path": files / "q.tsv"}),
        "read_qrels": (read_qrels, {"path": files / "qrels.tsv"}),
        "read_run": (read_run, {"path": files / "run.trec"}),
        "write_run": (write_run, {"path": files / "out.trec", "results": {"q": {"d": 1.0}}, "tag": "t"}),
        "Index.create": (_create, {"path": "new.polyvec", "dim": DIM}),
        "Index.open": (_open, {"path": index.path, "encoder": encoder}),
        "Index.__contains__": (lambda document_id: document_id in index, {"document_id": "tea"}),
    }
    for name, method in inspect.getmembers(index, callable):
        if not name.startswith("_") and name not in ("create", "open", "create_resumable", "close", "finish"):
            call = _consumed(method) if name == "documents" else method
            calls[f"Index.{name}"] = (call, right.get(name, {}))
    covered = {name.split(".")[0] for name in calls} | {"Explanation", "Hit", "PolyvecError", "Encoder", "__version__"}
    missing = set(polyvec.__all__) - covered
    assert not missing, f"say in this file how to call {sorted(missing)}"
    return calls


def _create(**given: Any) -> None:
    Index.create(**given).close()
    shutil.rmtree(Path(given["path"]))


_create.__signature__ = inspect.signature(Index.create)  # type: ignore[attr-defined]


def _open(**given: Any) -> None:
    Index.open(**given).close()


_open.__signature__ = inspect.signature(Index.open)  # type: ignore[attr-defined]


def try_python(report: Report, name: str, call: Callable[..., Any], given: dict[str, Any], nasty: list[str]) -> None:
    report.calls[name] += 1
    shown = ", ".join(f"{key}={_short(given[key])}" for key in nasty)
    try:
        with np.errstate(all="ignore"), contextlib.redirect_stdout(io.StringIO()), _stdin(b"tea"), _in_time():
            call(**given)
    except PolyvecError as error:
        if len(str(error).splitlines()) != 1:
            report.add(f"{name}({', '.join(nasty)})", "message of many lines or none", f"{shown}: {str(error)[:90]!r}")
    except (Exception, Hangs) as error:
        report.add(f"{name}({', '.join(nasty)})", _where(error), f"{shown}: {str(error)[:90]!r}")


def _where(error: BaseException) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "polyvec" in frame.filename]
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].name}" if frames else ""
    return f"{type(error).__name__}{place}"


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except RecursionError:
        text = "deep nesting"
    return text if len(text) < 60 else f"{text[:50]}... ({type(value).__name__})"


def fuzz_python(report: Report, rng: random.Random, index: Index, files: Path, count: int) -> None:
    """Each argument of each call with nasty values one at a time, then random combinations, `count` calls at least."""
    calls = python_calls(index, files)
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


# -- command line ------------------------------------------------------------------------------------------------------

WORDS = [
    "", " ", "-", "--", "nan", "inf", "-1", "0", "1", "2", "0.5", "1.5", "1e400", "1" * 31, "two", "é", "\udce9",
    "caf\udce9", "a\u2028b",
    "\x1b[31mred", "\u202eabc", "[red]", "[/nope]", "{}", "[]", "null", '{"lang": "de"}', '{"a":',
    '{"a": {"$gt": {}}}', '{"a": "\\ud800"}',
    '{"$or": 1}', "[" * 3000, '{"a":' * 2000 + "1" + "}" * 2000, "x" * 70_000, "a\0b", "nowhere", "nowhere.jsonl",
    "~", ".", "..", "/dev/null",
    "docs.jsonl", "q.tsv", "q.jsonl", "qrels.tsv", "run.trec", "broken.jsonl", "deep.jsonl", "binary.parquet",
    "empty.jsonl", "empty.toml",
    "beir", "index.polyvec", "folder", "surrogate.jsonl", "latin1.txt", "late", "32 64", "nDCG@10", "nDCG@x", "bm25",
    "dense:", "late:nowhere",
]  # fmt: skip

RIGHT = {  # values for arguments and required options; what is not named here gets a file that is not there
    "index index_path": "new.polyvec",
    "ablate dataset": "nowhere",  # the stand-in for the model has no weights to sweep over
    "docs": "docs.jsonl",
    "index_path": "index.polyvec",
    "query": "tea",
    "ids": "nothing",
    "arguments": "docs.jsonl",
    "dataset": "beir",
    "source": "docs.jsonl",
    "expected": "empty.toml",
    "data": "nowhere.jsonl",
}
EXTRA = {
    "bench": ["--audit", "index.polyvec"],
    "evaluate": ["--index", "index.polyvec"],
    "demo": ["--model", "nowhere"],
}
FIRST = {"rerank": ["tea"]}
STDIN = [
    b"",
    b"tea\n\nbread\r\n",
    b"caf\xe9\n",
    b'{"id": "n", "text": "new"}\n',
    b'{"id"',
    b"\x00\xff\n",
    b"[" * 5000 + b"\n",
]


class CheckedWords(WordEncoder):
    """Refuses what Encoder refuses."""

    def encode_queries(self, texts: Any, **settings: Any) -> Iterator[Any]:
        return super().encode_queries(checked(texts, "query"), **settings)

    def encode_documents(self, texts: Any, **settings: Any) -> Iterator[Any]:
        return super().encode_documents(checked(texts, "document"), **settings)


class StandInEncoder(CheckedWords):
    """Takes the arguments of Encoder; knows its default model only, and looks for others as Encoder does."""

    def __init__(self, model: Any = None, **options: Any) -> None:
        options_given = EncoderOptions(**{key: value for key, value in options.items() if key != "model"})
        if model is not None:
            raise PolyvecError(f"{locate(model).name}: not here.")
        super().__init__(options_given.dim or DIM)


def make_files(folder: Path) -> None:
    """Small inputs, right and wrong ones, as the commands read them."""
    folder.mkdir(exist_ok=True)
    docs = "".join(json.dumps(row) + "\n" for row in ROWS)
    (folder / "beir" / "qrels").mkdir(parents=True, exist_ok=True)
    (folder / "folder").mkdir(exist_ok=True)
    contents: dict[str, str | bytes] = {
        "docs.jsonl": docs,
        "beir/corpus.jsonl": docs,
        "beir/queries.jsonl": '{"_id": "q1", "text": "tea"}\n',
        "beir/qrels/test.tsv": "query-id\tcorpus-id\tscore\nq1\ttea\t1\n",
        "q.tsv": "q1\ttea\nq2\tMond [red]\n",
        "q.jsonl": '{"_id": "q1", "text": "a\x7f\\u001b[31m red"}\n',
        "qrels.tsv": "query-id\tcorpus-id\tscore\nq1\ttea\t1\n",
        "run.trec": "q1 Q0 tea 1 2.0 x\n",
        "broken.jsonl": '{"id": "a", "text": "x"\n',
        "deep.jsonl": '{"id": "a", "text": "x", "m": ' + "[" * 5000 + "]" * 5000 + "}\n",
        "binary.parquet": bytes(range(256)),
        "empty.jsonl": "",
        "empty.toml": "",
        "surrogate.jsonl": '{"_id": "1", "text": "a\\ud83d red"}\n',
        "latin1.txt": b"caf\xe9\n",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def command_lines(rng: random.Random, per_option: int, combinations: int) -> Iterator[tuple[str, list[str]]]:
    """(command, its arguments): each option and argument with nasty words one at a time, then several together."""
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        parameters = [p for p in command.params if isinstance(p, click.Argument) or "--help" not in p.opts]
        for parameter in parameters:
            for word in rng.sample(WORDS, min(len(WORDS), per_option)):
                yield name, _command_line(name, parameters, {parameter.name: word})
        for _ in range(combinations):
            some = rng.sample(parameters, min(len(parameters), rng.randint(2, 4)))
            yield name, _command_line(name, parameters, {p.name: rng.choice(WORDS) for p in some})


def _command_line(name: str, parameters: list[click.Parameter], nasty: dict[Any, str]) -> list[str]:
    line, arguments = list(EXTRA.get(name, [])), list(FIRST.get(name, []))  # of an option given twice, the last counts
    for parameter in parameters:
        if isinstance(parameter, click.Argument):
            default = RIGHT.get(f"{name} {parameter.name}", RIGHT.get(str(parameter.name), "nowhere"))
            arguments.append(nasty.get(parameter.name, default))
        elif isinstance(parameter, click.Option) and (parameter.name in nasty or parameter.required):
            flag = [] if parameter.is_flag else [nasty.get(parameter.name, "nowhere")]
            line += [parameter.opts[0], *flag]
    return [name, *line, "--", *arguments]


def try_command(report: Report, words: list[str], stdin: bytes) -> None:
    report.calls[f"polyvec {words[0]}"] += 1
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    shown = " ".join(_short(word) for word in words)
    try:
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            _stdin(stdin),
            _in_time(),
            np.errstate(all="ignore"),
        ):
            code = main(words)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        report.add(f"polyvec {words[0]}", _where(error), f"{shown}: {str(error)[:90]!r}")
        return
    said = [s for s in err.buffer.getvalue().decode("utf-8").splitlines() if not s.startswith("polyvec: WARNING")]  # type: ignore[attr-defined]
    printed = out.buffer.getvalue().decode("utf-8")  # type: ignore[attr-defined]
    if code not in (0, 1, 2):
        report.add(f"polyvec {words[0]}", f"exit code {code}", shown)
    elif "fault of polyvec itself" in "".join(said) or "Traceback" in "".join(said):
        report.add(f"polyvec {words[0]}", said[-1][:230], shown)
    elif code and not printed and (len(said) != 1 or not said[0].startswith("polyvec: ")):
        report.add(f"polyvec {words[0]}", f"exit {code} and not one line: {said!r:.150}", shown)
    elif any(char in printed + "".join(said) for char in "\x1b\x9b\u202e\u2028\ud800"):
        report.add(f"polyvec {words[0]}", "characters that act on a terminal", shown)


def fuzz_commands(report: Report, rng: random.Random, folder: Path, per_option: int, combinations: int) -> None:
    """Run the command lines in a folder of small files, on a tiny index, with a stand-in for the model."""
    make_files(folder)
    with _in_folder(folder), _without_models():
        with Index.create("index.polyvec", encoder=StandInEncoder()) as index:  # type: ignore[arg-type]
            index.add(ROWS)
        for _, words in command_lines(rng, per_option, combinations):
            try_command(report, words, rng.choice(STDIN))
            make_files(folder)
            for made in ("new.polyvec", "demo.polyvec"):
                shutil.rmtree(made, ignore_errors=True)
        problems = Index.open("index.polyvec").verify()
        if problems:
            report.add("index.polyvec", str(problems), "everything above")


@contextlib.contextmanager
def _without_models() -> Iterator[None]:
    """Nothing is downloaded, and no other library loads a model: that is slow, and theirs to test."""
    refused = {
        "polyvec.encoder.locate._from_hub": ModelError("no network in this test"),
        "polyvec.training.teaching.cross_encoder": ModelError("no cross-encoder in this test"),
        "polyvec.training.teaching.dense": ModelError("no dense model in this test"),
    }
    with contextlib.ExitStack() as stack:
        for name, error in refused.items():
            stack.enter_context(mock.patch(name, side_effect=error))
        stack.enter_context(mock.patch("polyvec.encoder.Encoder", StandInEncoder))
        yield


def _stdin(content: bytes) -> Any:
    return mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))


class Hangs(BaseException):
    """A call that does not come back; no Exception, so that nobody catches it on the way."""


@contextlib.contextmanager
def _in_time(seconds: float = 20.0) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise Hangs

    handler, (before, _) = signal.signal(signal.SIGALRM, stop), signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, before)  # pytest's own limit goes on
        signal.signal(signal.SIGALRM, handler)


@contextlib.contextmanager
def _in_folder(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def run(folder: Path, *, seed: int, python: int, per_option: int, combinations: int) -> Report:
    """Both halves with one seed, in an empty folder."""
    report, rng = Report(), random.Random(seed)
    make_files(folder / "python")
    with _in_folder(folder / "python"), Index.create(folder / "api.polyvec", encoder=CheckedWords(DIM)) as index:  # type: ignore[arg-type]
        index.add(ROWS)
        fuzz_python(report, rng, index, folder / "python", python)
        problems = index.verify()
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
        )
    print(*(f"{number:6} {call}" for call, number in sorted(found.calls.items())), sep="\n")
    print(found)
    sys.exit(bool(found.findings))
