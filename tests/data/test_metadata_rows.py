"""Files of ids and fields: every kind gives the same changes, and what is wrong is named with its place."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from polyvec.data.metadata_rows import read_metadata
from polyvec.errors import InputError


def test_every_kind_gives_changes_by_id(tmp_path: Path) -> None:
    files = {
        "m.jsonl": b'{"id": 7, "year": 1999, "text": "passed over"}\n{"_id": "b", "lang": null, "metadata": {"n": 1}}\n',
        "m.csv": b"id,year,lang\n7,1999,\nb,,de\n",
        "m.tsv": b"id\tyear\n7\t1999\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content))
        assert read_metadata(tmp_path / f"{name}.gz") == read_metadata(tmp_path / name)
    assert read_metadata(tmp_path / "m.jsonl") == {"7": {"year": 1999}, "b": {"lang": None, "n": 1}}
    assert read_metadata(tmp_path / "m.csv") == {"7": {"year": 1999}, "b": {"lang": "de"}}
    assert read_metadata(tmp_path / "m.csv", typed=False)["7"] == {"year": "1999"}


def test_a_null_in_parquet_says_nothing(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pa.table({"id": ["a", "b"], "n": [1, None]}), tmp_path / "m.parquet")
    assert read_metadata(tmp_path / "m.parquet") == {"a": {"n": 1}, "b": {}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"year": 1}\n', "m.jsonl:1: no id"),
        (b'{"id": "a"}\n{"id": "a"}\n', "m.jsonl:2: document id 'a' comes twice"),
        (b'{"id": "a"\n', "m.jsonl:1"),
        (b"\n", "no rows in it"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "m.jsonl").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_metadata(tmp_path / "m.jsonl")


def test_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.xlsx").write_bytes(b"x")
    with pytest.raises(InputError, match=r"m\.xlsx"):
        read_metadata(tmp_path / "m.xlsx")
