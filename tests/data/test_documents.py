"""Reading documents: every accepted kind gives the same documents, every refusal names the place."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from polyvec.data import Document, as_documents, read_documents
from polyvec.errors import InputError

ROWS = [{"id": "a", "text": "één", "title": "T", "year": 2021}, {"id": "b", "text": "字\u2028字 \N{GRINNING FACE}"}]
EXPECTED = [Document("a", "één", {"title": "T", "year": 2021}), Document("b", "字\u2028字 \N{GRINNING FACE}", {})]


def dumped(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("d.jsonl", dumped(ROWS)),
        ("d.jsonl", b"\xef\xbb\xbf" + dumped(ROWS)),
        ("d.jsonl", dumped(ROWS).replace(b"\n", b"\r\n\r\n")),
        ("d.jsonl.gz", gzip.compress(dumped(ROWS))),
        ("d.jsonl.zst", zstandard.compress(dumped(ROWS[:1])) + zstandard.compress(dumped(ROWS[1:]))),
    ],
    ids=["plain", "byte order mark", "CRLF and blank lines", "gzip", "zstandard in two frames"],
)
def test_json_lines(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    read: list[int] = []
    assert list(read_documents(tmp_path / name, progress=read.append)) == EXPECTED
    assert sum(read) > 0


def test_tables(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text('id,text,lang\n1,"two\nlines, quoted",de\n2,plain,\n', encoding="utf-8-sig")
    assert list(read_documents(tmp_path / "d.csv")) == [
        Document("1", "two\nlines, quoted", {"lang": "de"}),
        Document("2", "plain", {}),
    ]
    (tmp_path / "d.tsv").write_text("_id\ttext\nx\ta, b\n", encoding="utf-8")
    assert list(read_documents(tmp_path / "d.tsv")) == [Document("x", "a, b", {})]


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"id": [7, 8], "text": ["x", "y"], "lang": ["de", None]}), tmp_path / "d.parquet")
    assert list(read_documents(tmp_path / "d.parquet")) == [Document("7", "x", {"lang": "de"}), Document("8", "y", {})]


def test_folders(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.md").write_text("intro\n# Heading\ntext", encoding="utf-8")
    (tmp_path / "a.txt").write_text("plain", encoding="utf-8")
    (tmp_path / "other.pdf").write_bytes(b"no")
    found = list(read_documents(tmp_path))
    assert [(d.id, d.metadata["title"]) for d in found] == [("a.txt", "a"), ("sub/b.md", "Heading")]
    (tmp_path / "corpus.jsonl.gz").write_bytes(gzip.compress(dumped(ROWS)))
    assert list(read_documents(tmp_path)) == EXPECTED


def test_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(dumped(ROWS))))
    assert list(read_documents("-")) == EXPECTED


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("d.jsonl", b'{"id": "a"}', r"d\.jsonl:1: no text in document 'a'"),
        ("d.jsonl", b'{"id": "a", "text": 3}', "text of type int"),
        ("d.jsonl", b'{"id": "a", "text": " \\n"}', "text of document 'a' is empty"),
        ("d.jsonl", b'{"text": "a"}', r"d\.jsonl:1: no id"),
        ("d.jsonl", b'{"id": "", "text": "a"}', "id ''"),
        ("d.jsonl", b'{"id": true, "text": "a"}', "id True"),
        (
            "d.jsonl",
            b'{"id": "a", "text": "x"}\n\n{"id": "a", "text": "y"}',
            r"d\.jsonl:3: document id 'a' comes twice",
        ),
        ("d.jsonl", b'{"id": "a", "text": "\xff"}', r"d\.jsonl:1: broken UTF-8 at byte 21 of the line \(0xff\)"),
        ("d.jsonl", b'{"id": "a", "text": "\\ud800"}', "lone surrogate"),
        ("d.jsonl", b'{"id": "a", "text": "x", "n": NaN}', "not plain JSON"),
        ("d.jsonl", b'{"id": ', r"d\.jsonl:1: not valid JSON"),
        ("d.jsonl", b"[1]", "got a JSON list"),
        ("d.jsonl", b"\n", "no documents in it"),
        ("d.jsonl.gz", gzip.compress(dumped(ROWS))[:-9], "cannot be decompressed"),
        ("d.jsonl.zst", zstandard.compress(dumped(ROWS))[:-3], "cannot be decompressed"),
        ("d.jsonl.zst", b"not zstandard", "cannot be decompressed"),
        ("d.csv", b"name,text\na,b\n", r"d\.csv:1: columns name, text; expected a header with id and text"),
        ("d.csv", b"id,text\na,b,c\n", r"d\.csv:2: another number of fields"),
        ("d.csv", b"id,text\na,\xff\n", "broken UTF-8"),
        ("d.csv", b'id,text\na,"open\n', "not a valid table"),
        ("d.docx", b"", "unknown kind of file '.docx'"),
        ("d.parquet", b"PAR1", "not a readable parquet"),
    ],
)
def test_bad_files_name_the_place(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=message):
        list(read_documents(tmp_path / name))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        list(read_documents(tmp_path / "nowhere.jsonl"))


def test_encoded_text_has_the_title() -> None:
    assert Document("a", "x", {"title": "T"}).encoded_text == "T x"
    assert Document("a", "x", {"title": " "}).encoded_text == "x"
    assert Document("a", "x", {"title": 3}).encoded_text == "x"


@pytest.mark.parametrize("bad", ["text", {"id": "a", "text": "b"}, [3], [None]])
def test_what_is_no_list_of_documents(bad: Any) -> None:
    with pytest.raises(InputError, match="got"):
        list(as_documents(bad))


@given(
    st.lists(st.tuples(st.text(min_size=1), st.text(min_size=1), st.dictionaries(st.text(), st.integers())), max_size=5)
)
def test_what_is_accepted_comes_back_unchanged(rows: list[tuple[str, str, dict[str, int]]]) -> None:
    for identifier, text, metadata in rows:
        extra = {key: value for key, value in metadata.items() if key not in ("id", "_id", "text", "metadata")}
        try:
            (document,) = as_documents([{**extra, "id": identifier, "text": text}])
        except InputError:
            unfit = not identifier.strip() or not text.strip() or not (identifier + text + "".join(extra)).isprintable()
            assert unfit or any(not -(2**63) <= value < 2**63 for value in extra.values())
        else:
            assert (document.id, document.text, document.metadata) == (identifier, text, extra)
