"""Which files a build is made of, and how they are named when something is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from polyvec.cluster.building.inputs import documents_of, inputs_at, local_file
from polyvec.errors import InputError
from tests.cluster.builds import rows, write_lines


def names(docs: Path | str) -> list[str]:
    return [one.name for one in inputs_at(str(docs))]


def test_files_are_numbered_by_name(tmp_path: Path) -> None:
    for name in (
        "b.jsonl",
        "a.parquet",
        "c/d.csv.gz",
        "c/.hidden.jsonl",
        ".git/x.jsonl",
        "notes.txt",
        "e.JSONL.ZST",
        "f.json",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert names(tmp_path) == ["a.parquet", "b.jsonl", "c/d.csv.gz", "e.JSONL.ZST"]
    assert names(tmp_path.as_uri()) == names(tmp_path)
    assert names(tmp_path / "b.jsonl") == ["b.jsonl"]
    (tmp_path / "corpus.jsonl").touch()
    assert names(tmp_path) == ["corpus.jsonl"]


def test_a_file_that_has_changed_is_another(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "docs.jsonl", rows(2))
    before = inputs_at(str(path))
    assert inputs_at(str(path)) == before
    write_lines(path, rows(3))
    assert inputs_at(str(path)) != before


def test_places_are_named_as_the_user_did(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "docs.jsonl", [*rows(2), {"id": "x"}])
    (one,) = inputs_at(str(path))
    with local_file(one) as here:
        stream = documents_of(one, here)
        assert next(stream)[1] == f"{path}:1"
        with pytest.raises(InputError, match=f"{path}:3"):
            list(stream)


@pytest.mark.parametrize("docs", ["-", "ftp://host/docs", "s3://", "nowhere", "s3://user:secret@bucket/docs"])
def test_what_is_no_place_of_documents(docs: str) -> None:
    with pytest.raises(InputError) as raised:
        inputs_at(docs)
    assert "secret" not in str(raised.value)
