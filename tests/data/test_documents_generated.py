"""Readers on generated files: what a plain writer wrote is read back, and damage ends in one line that names the file."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyvec.data import Document, Query, read_documents, read_qrels, read_queries, read_run
from polyvec.data.files import zstandard
from polyvec.errors import InputError
from polyvec.evaluation.reproduce import read_expected
from polyvec.training.recipe import read_recipe
from polyvec.training.rows import read_rows

LESS = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
WORDS = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=12)
FILLED = WORDS.filter(lambda text: bool(text.strip()))
PACKINGS: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".zst": zstandard().compress}
TYPED = st.one_of(st.integers(-(10**14), 10**14), st.booleans(), st.sampled_from([0.5, -2.25, 1999.0, 0.0]))


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str]]]:
    """Column names, and rows of texts; ids are unique."""
    others = draw(st.lists(st.sampled_from(["year", "place", "note"]), unique=True, max_size=3))
    columns = draw(st.permutations(["id", "text", *others]))
    rows = []
    for number in range(draw(st.integers(1, 4))):
        cells = {name: draw(FILLED.filter(lambda text: "\t" not in text)) for name in columns}
        cells["id"] = f"d{number}"
        rows.append([cells[name] for name in columns])
    return list(columns), rows


def as_csv(rows: Iterable[list[str]], end: str) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator=end).writerows(rows)
    return out.getvalue()


def expected(columns: list[str], rows: list[list[str]]) -> list[Document]:
    found = []
    for row in rows:
        cells = dict(zip(columns, row, strict=True))
        found.append(Document(cells.pop("id"), cells.pop("text"), cells))
    return found


@LESS
@given(tables(), st.sampled_from(["\n", "\r\n"]), st.sampled_from(sorted(PACKINGS)), st.booleans())
def test_tables_come_back_as_they_were_written(
    tmp_path: Path, table: tuple[list[str], list[list[str]]], end: str, packing: str, mark: bool
) -> None:
    columns, rows = table
    encoding = "utf-8-sig" if mark else "utf-8"
    commas = tmp_path / f"d.CSV{packing}"
    commas.write_bytes(PACKINGS[packing](as_csv([columns, *rows], end).encode(encoding)))
    assert list(read_documents(commas, typed=False)) == expected(columns, rows)
    tabs = tmp_path / f"d.tsv{packing}"
    lines = "".join("\t".join(row) + end for row in [columns, *rows])
    tabs.write_bytes(PACKINGS[packing](lines.encode(encoding)))
    assert list(read_documents(tabs, typed=False)) == expected(columns, rows)


@LESS
@given(st.lists(st.text('a",\n\t 1', max_size=20).filter(lambda text: bool(text.strip())), min_size=1, max_size=4))
def test_quoted_commas_quotes_and_line_ends_come_back(tmp_path: Path, texts: list[str]) -> None:
    path = tmp_path / "d.csv"
    rows = [[f"doc-{i}", text] for i, text in enumerate(texts)]
    path.write_text(as_csv([["id", "text"], *rows], "\n"), encoding="utf-8", newline="")
    assert [document.text for document in read_documents(path)] == texts


@LESS
@given(st.lists(TYPED, min_size=1, max_size=5))
def test_numbers_and_booleans_of_a_table_are_what_json_would_say(tmp_path: Path, values: list[Any]) -> None:
    path = tmp_path / "d.csv"
    rows = [[str(i), "x", json.dumps(value)] for i, value in enumerate(values)]
    path.write_text(as_csv([["id", "text", "value"], *rows], "\n"), encoding="utf-8")
    found = [document.metadata["value"] for document in read_documents(path)]
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]
    assert [d.metadata["value"] for d in read_documents(path, typed=False)] == [row[2] for row in rows]


@pytest.mark.parametrize(
    "text", ["007", "+1", "1e5", "1,000", "-0", "-0.0", "1.", ".5", "1234567890123456", "NaN", "True", "١", "1 "]
)
def test_other_digits_stay_text(tmp_path: Path, text: str) -> None:
    path = tmp_path / "d.csv"
    path.write_text(as_csv([["id", "text", "value", "lang"], ["1", "2", text, "3"]], "\n"), encoding="utf-8")
    (document,) = read_documents(path)
    assert document == Document("1", "2", {"value": text, "lang": "3"})


@LESS
@given(st.lists(st.tuples(FILLED, st.sampled_from(["de", None])), min_size=1, max_size=5), st.data())
def test_queries_of_every_kind_are_the_same_queries(
    tmp_path: Path, rows: list[tuple[str, str | None]], data: st.DataObject
) -> None:
    asked = [Query(f"q{i}", text.strip(), lang) for i, (text, lang) in enumerate(rows)]
    table = [["id", "text", "lang"], *([query.id, query.text, query.lang or ""] for query in asked)]
    objects = "".join(
        json.dumps({"_id": query.id, "text": query.text, **({"lang": query.lang} if query.lang else {})}) + "\n"
        for query in asked
    )
    written = {
        "q.jsonl": objects,
        "q.ndjson": objects,
        "q.csv": as_csv(table, "\r\n"),
        "q.tsv": "".join("\t".join(row) + "\n" for row in table),
    }
    name = data.draw(st.sampled_from(sorted(written)))
    packing = data.draw(st.sampled_from(sorted(PACKINGS)))
    path = tmp_path / (name.upper() if data.draw(st.booleans()) else name + packing)
    content = written[name].encode()
    path.write_bytes(content if path.name.isupper() else PACKINGS[packing](content))
    assert list(read_queries(path)) == asked
    plain = tmp_path / "q.txt"
    plain.write_text("".join(query.text + "\n" for query in asked), encoding="utf-8")
    assert [query.text for query in read_queries(plain)] == [query.text for query in asked]


IDS = FILLED.filter(lambda text: "\t" not in text and not text.startswith("\ufeff"))


@LESS
@given(st.dictionaries(IDS, st.dictionaries(IDS, st.integers(-9, 9), min_size=1, max_size=3), min_size=1, max_size=3))
def test_judgments_between_tabs_hold_any_ids(tmp_path: Path, qrels: dict[str, dict[str, int]]) -> None:
    lines = [f"{query}\t{document}\t{grade}\n" for query, row in qrels.items() for document, grade in row.items()]
    for name, header in (("a.tsv", "query-id\tcorpus-id\tscore\n"), ("b.tsv", ""), ("c.qrels", "")):
        (tmp_path / name).write_text(header + "".join(lines) + lines[0], encoding="utf-8", newline="")
        assert read_qrels(tmp_path / name) == qrels
    trec = [f"{query}\t0\t{document}\t{grade}.0\n" for query, row in qrels.items() for document, grade in row.items()]
    (tmp_path / "d.qrels").write_text("".join(trec), encoding="utf-8", newline="")
    assert read_qrels(tmp_path / "d.qrels") == qrels


GOOD = {
    "d.jsonl": b'{"_id": "a", "text": "x", "m": {"n": [1, 2.5, null]}}\n{"_id": "b", "text": "y"}\n',
    "d.csv": b'id,text,year\n1,"two\nlines",2004\n2,plain,\n',
    "d.tsv": b"id\ttext\n1\ta \"quoted\n2\tb\n",
    "q.tsv": b"1\thow far\n2\thow near\n",
    "q.txt": b"how far\nhow near\n",
    "q.qrels": b"q1 0 d1 1\nq2 0 d2 0\n",
    "q.run": b"q1 Q0 d1 1 2.5 t\nq1 Q0 d2 2 1.5 t\n",
    "r.toml": b'stage = "pairs"\noutput = "o"\n[[data]]\npath = "a"\nkind = "pairs"\n',
    "e.toml": b'[[result]]\nname = "a"\ncommand = "c"\ndataset = "d"\nmeasure = "m"\ntolerance = 0.1\n',
    "t.jsonl": b'{"query": "q", "documents": ["a", "b"], "scores": [1, 2]}\n',
}  # fmt: skip


def reader(name: str) -> Callable[[Path], Any]:
    """What reads a file of this name."""
    by_ending: dict[str, Callable[[Path], Any]] = {"qrels": read_qrels, "run": read_run}
    first, ending = name.split(".")[:2]
    if ending in by_ending:
        return by_ending[ending]
    rows: dict[str, Callable[[Path], Any]] = {"d": read_documents, "q": read_queries, "t": read_rows}
    return {"r": read_recipe, "e": read_expected}.get(first) or (lambda path: list(rows[first](path)))


def one_line(name: str, path: Path) -> None:
    """Read; only an InputError that names the file, in one line, may come out."""
    named(path, lambda: reader(name)(path))


def named(path: Path, read: Callable[[], Any]) -> None:
    """Whatever is refused is refused in one line with the file's name."""
    refused = path.name
    try:
        read()
    except InputError as error:
        refused = str(error)
    assert path.name in refused
    assert "\n" not in refused


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
def test_good_files_are_read(tmp_path: Path, name: str, packing: str) -> None:
    if name.endswith(".toml") and packing:
        return
    path = tmp_path / (name + packing)
    path.write_bytes(PACKINGS[packing](GOOD[name]))
    reader(name)(path)


@pytest.mark.parametrize("name", GOOD)
@LESS
@given(st.binary(max_size=80))
def test_any_bytes_end_in_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    for packing in ("",) if name.endswith(".toml") else ("", ".gz", ".zst"):
        path = tmp_path / (name + packing)
        path.write_bytes(content)
        one_line(name, path)


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
def test_damaged_files_end_in_one_line(tmp_path: Path, name: str, packing: str) -> None:
    if name.endswith(".toml") and packing:
        return
    whole = PACKINGS[packing](GOOD[name])
    chance = random.Random(f"{name}{packing}")
    path = tmp_path / (name + packing)
    nasty = [
        b"\x00",
        b"\xff",
        b'"',
        b"\t",
        b"\r",
        b"\n",
        b"[" * 3000,
        b"\xed\xa0\x80",
        b"NaN",
        b"1e999",
        b"\\ud800",
        b",",
    ]
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(data) + 1)
            data[at : at + chance.randint(0, 3)] = chance.choice(nasty)
        path.write_bytes(bytes(data[: chance.randrange(len(data) + 1)] if chance.random() < 0.3 else data))
        one_line(name, path)


def test_damaged_parquet_ends_in_one_line(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "d.parquet"
    parquet.write_table(pyarrow.table({"id": [1, 2], "text": ["x", "y"], "n": [1.5, None]}), path)
    whole = path.read_bytes()
    chance = random.Random(0)
    for _ in range(60):
        at = chance.randrange(len(whole))
        path.write_bytes(whole[:at] if chance.random() < 0.5 else whole[:at] + b"\xff" + whole[at + 1 :])
        for read in (read_documents, read_queries, read_rows):
            named(path, lambda read=read: list(read(path)))  # type: ignore[misc]
