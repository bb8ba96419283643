"""Reading documents: every accepted kind gives the same documents, every refusal names the place."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvec.data import Document, as_documents, read_documents
from polyvec.data.files import zstandard
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
        ("d.jsonl.zst", zstandard().compress(dumped(ROWS[:1])) + zstandard().compress(dumped(ROWS[1:]))),
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
        ("d.jsonl.zst", zstandard().compress(dumped(ROWS))[:-3], "cannot be decompressed"),
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


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("d.csv", b"id,text,text\n1,a,b\n", r"d\.csv:1: the column 'text' comes twice"),
        ("d.csv", b" id , id,text\n1,a,b\n", "'id' comes twice"),
        ("d.csv", b",id,text\n0,1,a\n", "column 1 has no name"),
        ("d.tsv", b"id\ttext\ttext\n1\ta\tb\n", "comes twice"),
        ("d.csv", b"id,text\n", "no documents in it"),
        ("d.csv", b"", "no documents in it"),
        ("d.csv", b'id,text\n7,x\n1,"open\n2,Venus\n3,last"\n4,y\n', r"d\.csv:3: .* its quote may not be closed"),
        ("d.csv", b'id,text\n1,x\n2,"open\n3,y\n', r"d\.csv:3: .* A quote is not closed"),
        ("d.csv", b'id,text\n1,"x" y\n', r"d\.csv:2: not a valid table"),
        ("d.csv", b"id,text\n1,a\0b\n", r"d\.csv:2: a NUL byte"),
        ("d.csv", b"id,text\r1,a\r", "not a valid table"),
        ("d.tsv", b"id\ttext\n1\ta\rb\n", "carriage return"),
        ("d.tsv", b"id\ttext\n1\ta\tb\n", r"d\.tsv:2: another number of fields"),
        ("d.jsonl", b'{"id": "1", "text": "a", "text": "b"}', "the key 'text' comes twice"),
        ("d.jsonl", b'{"id": "1", "text": "a", "n": Infinity}', "Infinity is not plain JSON"),
        ("d.jsonl", b'{"id": "1", "text": "a", "n": 1e999}', "too large"),
        ("d.jsonl", b'{"id": "1", "text": "a", "n": ' + b"9" * 5000 + b"}", r"d\.jsonl:1: not valid JSON"),
        ("d.jsonl", b'{"id": "1", "text": "a", "n": ' + b"[" * 101 + b"]" * 101 + b"}", "more than 100 deep"),
        ("d.jsonl", b'{"id": "1", "text": "a", "n": ' + b"[" * 5000 + b"]" * 5000 + b"}", "more than 100 deep"),
        ("d.jsonl", b'[{"id": "1", "text": "a"}]', "the start of an array"),
        ("d.jsonl", b"[\n", "the start of an array"),
        ("d.jsonl", '{"id": "1", "text": "a"}'.encode("utf-16"), "UTF-16"),
        ("d.jsonl", '{"id": "1", "text": "a"}'.encode("utf-16-be"), "NUL byte"),
        ("d.json", b'{"id": "1", "text": "a"}', r"name the file \.jsonl"),
        ("d.parquet.gz", b"", "unknown kind of file"),
        ("d", b"x", "unknown kind of file"),
        ("d.zip", b"x", "unknown kind of file"),
    ],
)
def test_what_a_file_does_not_say_is_never_guessed(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=message):
        list(read_documents(tmp_path / name))


def test_a_quote_in_tsv_is_a_character(tmp_path: Path) -> None:
    path = tmp_path / "d.tsv"
    path.write_text('id\ttext\n1\t"an open quote\n2\tVenus\n3\tthe last one"\n', encoding="utf-8")
    assert [d.text for d in read_documents(path)] == ['"an open quote', "Venus", 'the last one"']


def test_a_quoted_text_of_many_lines_is_one_document_up_to_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "d.csv"
    poem = "\n".join(f"line {i} of it, and more" for i in range(20))
    path.write_text(f'id,text\n1,"{poem}"\n', encoding="utf-8")
    assert [d.text for d in read_documents(path)] == [poem]
    monkeypatch.setattr("polyvec.data.tables.MAX_RECORD_LINES", 10)
    with pytest.raises(InputError, match=r"d\.csv:2: a quoted field that goes on"):
        list(read_documents(path))


def test_a_title_stands_for_a_missing_text_and_empty_documents_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "d.jsonl"
    rows = [
        {"_id": "a", "title": "Mars", "text": "red"},
        {"_id": "b", "title": "Venus", "text": "", "lang": "en"},
        {"_id": "c", "title": "", "text": " "},
        {"_id": "d", "text": None},
    ]
    path.write_bytes(dumped(rows))
    found = list(read_documents(path))
    assert found == [Document("a", "red", {"title": "Mars"}), Document("b", "Venus", {"lang": "en"})]
    assert [d.encoded_text for d in found] == ["Mars red", "Venus"]
    (record,) = caplog.records
    assert "2 of 4 documents have neither text nor title and are left out, 'c' first" in record.getMessage()
    caplog.clear()
    list(read_documents(path, warn=False))
    assert not caplog.records
    path.write_bytes(dumped([*rows, {"_id": "c", "text": ""}]))
    with pytest.raises(InputError, match="'c' comes twice"):
        list(read_documents(path))
    path.write_bytes(dumped([{"_id": "", "text": ""}]))
    with pytest.raises(InputError, match="id ''"):
        list(read_documents(path))


def test_folders_leave_out_what_is_hidden_and_what_is_empty(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in (".git/a.txt", ".venv/lib/b.md", "sub/.c.txt", "sub/D.MD", "e.TXT", "empty.txt", "image.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"" if name == "empty.txt" else b"\xef\xbb\xbf# one\r\ntwo\rthree")
    (tmp_path / "Cafe\u0301.txt").write_text("x", encoding="utf-8")
    (tmp_path / "loop").symlink_to(tmp_path)
    found = {document.id: document for document in read_documents(tmp_path)}
    assert set(found) == {"sub/D.MD", "e.TXT", "Café.txt"}
    assert found["sub/D.MD"].text == "# one\ntwo\nthree"
    assert found["sub/D.MD"].metadata["title"] == "one"
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    assert "not followed" in messages[0]
    assert "1 of 4 documents" in messages[1]
    (tmp_path / "bad.txt").write_bytes(b"\xff")
    with pytest.raises(InputError, match=r"bad\.txt: broken UTF-8"):
        list(read_documents(tmp_path))


@pytest.mark.parametrize("path", ["", " ", None, 3, b"x"])
def test_what_is_no_path(path: Any) -> None:
    with pytest.raises(InputError):
        read_documents(path)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes have names on POSIX")
def test_pipes_folders_and_closed_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "d.jsonl")
    with pytest.raises(InputError, match="a pipe or a device"):
        list(read_documents(tmp_path / "d.jsonl"))
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(InputError, match="stdin is closed"):
        list(read_documents("-"))
    (tmp_path / "e.jsonl").write_bytes(dumped(ROWS))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match=r"e\.jsonl: cannot be read \(Permission denied\)"):
        list(read_documents(tmp_path / "e.jsonl"))


def test_parquet_values_become_plain_or_are_named(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")

    def write(**columns: Any) -> Path:
        parquet.write_table(pyarrow.table({"id": ["a"], "text": ["x"], **columns}), tmp_path / "d.parquet")
        return tmp_path / "d.parquet"

    path = write(on=[date(2020, 2, 3)], price=[Decimal("2.50")], parts=[[1, 2]], of=[{"at": date(2020, 1, 1)}])
    (document,) = read_documents(path)
    assert document.metadata == {"on": "2020-02-03", "price": 2.5, "parts": [1, 2], "of": {"at": "2020-01-01"}}
    with pytest.raises(InputError, match=r"d\.parquet:row 1: column 'raw' holds a bytes"):
        list(read_documents(write(raw=[b"x"])))
    parquet.write_table(pyarrow.table({"name": ["a"], "text": ["x"]}), path)
    with pytest.raises(InputError, match="columns name, text; expected a header with id and text"):
        list(read_documents(path))
    parquet.write_table(pyarrow.Table.from_arrays([pyarrow.array(["a"])] * 3, names=["id", "text", "text"]), path)
    with pytest.raises(InputError, match="'text' comes twice"):
        list(read_documents(path))
