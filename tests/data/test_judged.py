"""Queries, judgments and runs survive their files."""

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
    with pytest.raises(InputError, match="no judgments"):
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


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.tsv", "query-id\tcorpus-id\tscore\nq one\tMars (planet)\t1\n", {"q one": {"Mars (planet)": 1}}),
        (
            "a.tsv",
            "q\tdoc\u00a0one\t1.0\r\nq\t東京\u3000大阪\t-2\r\n",
            {"q": {"doc\u00a0one": 1, "東京\u3000大阪": -2}},
        ),
        ("a.tsv", "\ufeffq\td\t1\nq\td\t1\n", {"q": {"d": 1}}),
        ("a.qrels", "q 0  d\u00a0e\t1\n", {"q": {"d\u00a0e": 1}}),
        ("a.txt", "q\t0\td e\t1\n", {"q": {"d e": 1}}),
    ],
)
def test_judgments_are_split_where_their_file_says(
    tmp_path: Path, name: str, text: str, expected: dict[str, dict[str, int]]
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    assert read_qrels(tmp_path / name) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q\td\t1\nq\td\t2\n", ":2: document 'd' of query 'q' has grade 2 here and 1 before"),
        ("q\td\tx\n", ":1: .* expected `query document grade`"),
        ("q\td\t0.5\n", ":1: "),
        ("q\td\tnan\n", ":1: "),
        ("q\td\t²\n", ":1: "),
        ("q\td\t1\nquery-id\tcorpus-id\tscore\n", ":2: "),
        ("q\td\t1\nq\t0\te\t1\n", ":2: .* alike in all"),
        ("q 0 d 1\n", ":1: "),
        ("\td\t1\n", "an empty id"),
        ("query-id\tcorpus-id\tscore\n", "no judgments"),
        ("q\td\t1\x00\n", ":1: a NUL byte"),
    ],
)
def test_judgments_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.tsv").write_text(text, encoding="utf-8", newline="")
    with pytest.raises(InputError, match=message):
        read_qrels(tmp_path / "a.tsv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q Q0 d 1 nan t\n", ":1: .* a finite number as score"),
        ("q Q0 d 1 1e999 t\n", ":1: "),
        ("q Q0 d 1 1_0 t\n", ":1: "),
        ("q Q0 d 1.5 2 t\n", ":1: .* a whole number as rank"),
        ("q Q0 d 1 2 t\nq Q0 d 2 1 t\n", ":2: document 'd' comes twice"),
        ("q Q0 d 1 2\n", "5 fields, expected six"),
        ("q Q0 d 1 2 my tag\n", "7 fields, expected six"),
    ],
)
def test_runs_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.run").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_run(tmp_path / "a.run")


def test_a_run_between_tabs(tmp_path: Path) -> None:
    (tmp_path / "a.run").write_text("q one\tQ0\td one\t1\t.5\tmy tag\n", encoding="utf-8")
    assert read_run(tmp_path / "a.run") == {"q one": {"d one": 0.5}}


WORD = st.text(min_size=1, max_size=4)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(WORD, st.lists(st.tuples(WORD, st.floats()), max_size=3)), max_size=3),
    st.one_of(st.just("t"), st.text(max_size=3)),
)
def test_a_run_is_either_refused_or_read_back(
    tmp_path: Path, results: list[tuple[str, list[tuple[str, float]]]], tag: str
) -> None:
    path = tmp_path / "r.run"
    path.write_text("before", encoding="utf-8")
    try:
        write_run(path, results, tag=tag)
    except InputError:
        assert path.read_text(encoding="utf-8") == "before"
    else:
        assert read_run(path) == {query: dict(ranked) for query, ranked in results if ranked}
    assert [one.name for one in tmp_path.iterdir()] == ["r.run"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("q.csv", "7,red soil\n", "expected a header with id and text"),
        ("q.tsv", "qid\tquestion\n7\tred soil\n", "a header of columns qid, question"),
        ("q.json", '[{"_id": "7", "text": "red soil"}]', "unknown kind of file"),
        ("q.rst", "red soil", "unknown kind of file"),
        ("q", "red soil", "unknown kind of file"),
        ("q.txt", '{"_id": "7", "text": "red soil"}\n', "an object of JSON"),
        ("q.jsonl", '{"_id": "7", "text": "x", "lang": 3}', "lang '3'"),
    ],
)
def test_queries_are_never_read_as_something_else(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        list(read_queries(tmp_path / name))
