"""Every option and argument of every command, with words that nobody should give; taken from click's own commands."""

from __future__ import annotations

import contextlib
import io
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import click
import numpy as np

from polyvec import Index
from polyvec.cli import main
from polyvec.encoder import EncoderOptions
from polyvec.encoder.locate import locate
from polyvec.errors import ModelError, PolyvecError
from tests.cli.reference import commands
from tests.nasty_report import (
    DIM,
    ROWS,
    CheckedWords,
    Report,
    given_stdin,
    in_folder,
    in_time,
    make_files,
    short,
    where,
)

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
    "demo index_path": "demo.polyvec",
    "ablate dataset": "nowhere",  # the stand-in for the model has no weights to sweep over
    "docs": "docs.jsonl",
    "index_path": "index.polyvec",
    "query": "tea",
    "ids": "nothing",
    "url": "published",
    "target": "new-shards",
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


class StandInEncoder(CheckedWords):
    """Takes the arguments of Encoder; knows its default model only, and looks for others as Encoder does."""

    def __init__(self, model: Any = None, **options: Any) -> None:
        options_given = EncoderOptions(**{key: value for key, value in options.items() if key != "model"})
        if model is not None:
            raise PolyvecError(f"{locate(model).name}: not here.")
        super().__init__(options_given.dim or DIM)


def command_lines(rng: random.Random, per_option: int, combinations: int) -> Iterator[tuple[str, list[str]]]:
    """(command, its arguments): each option and argument with nasty words one at a time, then several together."""
    for name, command in commands():
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
        if name == "delete" and parameter.name == "ids" and "condition" in nasty and "ids" not in nasty:
            continue  # ids and a filter together are refused
        if isinstance(parameter, click.Argument):
            default = RIGHT.get(f"{name} {parameter.name}", RIGHT.get(str(parameter.name), "nowhere"))
            arguments.append(nasty.get(parameter.name, default))
        elif isinstance(parameter, click.Option) and (parameter.name in nasty or parameter.required):
            flag = [] if parameter.is_flag else [nasty.get(parameter.name, "nowhere")]
            line += [parameter.opts[0], *flag]
    return [*name.split(), *line, "--", *arguments]


def try_command(report: Report, words: list[str], stdin: bytes) -> None:
    report.calls[f"polyvec {words[0]}"] += 1
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    shown = " ".join(short(word) for word in words)
    try:
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            given_stdin(stdin),
            in_time(),
            np.errstate(all="ignore"),
        ):
            code = main(words)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        report.add(f"polyvec {words[0]}", where(error), f"{shown}: {str(error)[:90]!r}")
        return
    said = [s for s in err.buffer.getvalue().decode("utf-8").splitlines() if not s.startswith("polyvec: WARNING")]
    printed = out.buffer.getvalue().decode("utf-8")
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
    with in_folder(folder), _without_models():
        with Index.create("index.polyvec", encoder=StandInEncoder()) as index:
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
        "polyvec.cluster.ray_session.need_ray": PolyvecError("no cluster in this test"),
    }
    with contextlib.ExitStack() as stack:
        for name, error in refused.items():
            stack.enter_context(mock.patch(name, side_effect=error))
        stack.enter_context(mock.patch("polyvec.encoder.Encoder", StandInEncoder))
        stack.enter_context(mock.patch("polyvec.publish.Follower.run"))  # would follow for ever
        yield
