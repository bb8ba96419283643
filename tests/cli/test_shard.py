"""Commands on shards: made of an index, and then used as one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from polyvec.cli import main

Run = Callable[..., Any]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command that has to succeed; gives what it prints as JSON, one object a line."""

    def ran(*words: str | Path) -> Any:
        assert main(list(map(str, words))) == 0, capsys.readouterr().err
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return lines[0] if len(lines) == 1 else lines

    return ran


def _hits(answer: Any) -> list[tuple[str, float]]:
    return [(hit["id"], hit["score"]) for hit in answer["hits"]]


def test_every_command_takes_shards(tmp_path: Path, run: Run) -> None:
    index, shards, docs = tmp_path / "i", tmp_path / "s", tmp_path / "docs.jsonl"
    rows = [{"id": str(n), "text": f"Tea number {n} of {n % 3} leaves.", "lang": "de"} for n in range(30)]
    docs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run("index", docs, index, "--dim", "32", "--json")
    made = run("shard", index, shards, "--shards", "3", "--json")
    assert (made["shards"], made["documents"]) == (3, 30)
    more = tmp_path / "more.jsonl"
    more.write_text('{"id": "new", "text": "Water."}\n{"id": "3", "text": "Coffee."}\n')
    fields = tmp_path / "fields.jsonl"
    fields.write_text('{"id": "5", "year": 1999}\n')
    for place in (index, shards):
        assert run("update", place, more, "--json")["replaced"] == 1
        assert run("update", place, fields, "--metadata-only", "--json")["changed"] == 1
        assert run("delete", place, "7", "no", "--json") == {"deleted": 1, "unknown": 1}
        assert run("compact", place, "--json")["size_bytes"] > 0
        assert run("verify", place, "--json")["ok"]
        assert run("info", place, "--json")["documents"] == 30
    assert run("scan", shards) == run("scan", index)
    for mode in ("late", "keyword", "hybrid"):
        question = ("tea number 4", "--mode", mode, "--json", "-k", "20")
        assert _hits(run("search", shards, *question)) == _hits(run("search", index, *question))
    run("copy", shards, tmp_path / "copy", "--json")
    assert run("info", tmp_path / "copy", "--json")["shards"] == 3


def test_mistakes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "shards.json").write_text("{")
    for words in (["search", tmp_path, "tea"], ["shard", tmp_path, tmp_path / "out"], ["verify", tmp_path]):
        assert main(list(map(str, words))) == 1
        assert capsys.readouterr().err.count("\n") == 1
