"""Queries, judgements and runs survive their files."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyvec.data import Query, read_qrels, read_queries, read_run, write_run
from polyvec.errors import InputError


def test_queries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "q.jsonl").write_text('{"_id": 3, "text": "wer?", "lang": "de", "topic": "x"}\n', encoding="utf-8")
    assert list(read_queries(tmp_path / "q.jsonl")) == [Query("3", "wer?", "de", {"topic": "x"})]
    (tmp_path / "q.tsv").write_text("q1\twho\tis\nq2\twhat\n", encoding="utf-8")
    assert list(read_queries(tmp_path / "q.tsv")) == [Query("q1", "who\tis"), Query("q2", "what")]
    (tmp_path / "q.txt").write_text("who\n\nwhat", encoding="utf-8")
    assert list(read_queries(tmp_path / "q.txt")) == [Query("1", "who"), Query("3", "what")]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("où\n".encode())))
    assert list(read_queries("-")) == [Query("1", "où")]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("q.tsv", "no tab", "expected an id, a tab"),
        ("q.tsv", "a\tx\na\ty", "'a' comes twice"),
        ("q.jsonl", '{"_id": "a"}', "needs a non-empty"),
        ("q.jsonl", "{", "not valid JSON"),
    ],
)
def test_bad_queries(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        list(read_queries(tmp_path / name))
    with pytest.raises(InputError, match="no such file"):
        list(read_queries(tmp_path / "nowhere"))


def test_qrels(tmp_path: Path) -> None:
    (tmp_path / "beir.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\n", encoding="utf-8")
    assert read_qrels(tmp_path / "beir.tsv") == {"q1": {"d1": 2, "d2": 0}}
    (tmp_path / "trec").write_text("q1 0 d1 1\nq2 0 d2 -1\n", encoding="utf-8")
    assert read_qrels(tmp_path / "trec") == {"q1": {"d1": 1}, "q2": {"d2": -1}}
    (tmp_path / "bad").write_text("q1 d1\n", encoding="utf-8")
    with pytest.raises(InputError, match="bad:1"):
        read_qrels(tmp_path / "bad")
    (tmp_path / "empty").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="no judgements"):
        read_qrels(tmp_path / "empty")


IDS = st.text(st.characters(exclude_categories=("Z", "C")), min_size=1, max_size=5).filter(
    lambda s: len(s.split()) == 1
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    st.dictionaries(IDS, st.dictionaries(IDS, st.floats(allow_nan=False, allow_infinity=False), min_size=1), max_size=3)
)
def test_a_run_comes_back_to_the_last_bit(tmp_path: Path, run: dict[str, dict[str, float]]) -> None:
    write_run(tmp_path / "r.trec", run, tag="t")
    again = read_run(tmp_path / "r.trec")
    assert again == run
    for scores in again.values():
        assert list(scores.values()) == sorted(scores.values(), reverse=True)


def test_what_a_run_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="white space"):
        write_run(tmp_path / "r", {"q": {"a b": 1.0}}, tag="t")
    (tmp_path / "bad").write_text("q Q0 d 1 x t\n", encoding="utf-8")
    with pytest.raises(InputError, match="bad:1: expected six fields"):
        read_run(tmp_path / "bad")
