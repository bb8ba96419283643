"""A shard that was put back from an older copy, or written alone, is noticed; whole shards never are."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyvec import Index, Shards
from polyvec.index.catalog.catalog import Catalog
from polyvec.shards.routing import shard_of
from tests.conftest import WordEncoder
from tests.shards.corpus import document, documents

ENCODER = WordEncoder()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three shards of 40 documents, closed."""
    with Shards.create(tmp_path / "s", shards=3, encoder=ENCODER) as shards:
        shards.add(documents(40))
    return tmp_path / "s"


def put_back(folder: Path, copy: Path, number: int) -> None:
    name = f"shard-{number:03d}"
    shutil.rmtree(folder / name)
    shutil.copytree(copy / name, folder / name)


CALLS = st.lists(
    st.one_of(
        st.tuples(st.just("update"), st.lists(st.integers(0, 60), min_size=1, max_size=4, unique=True)),
        st.tuples(st.just("delete"), st.lists(st.integers(0, 39), min_size=1, max_size=4)),
        st.tuples(st.just("fields"), st.lists(st.integers(0, 2), min_size=1, max_size=2)),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(before=CALLS, after=CALLS, number=st.integers(0, 2))
def test_an_older_shard_is_noticed(
    tmp_path_factory: pytest.TempPathFactory,
    before: list[tuple[str, list[int]]],
    after: list[tuple[str, list[int]]],
    number: int,
) -> None:
    folder = tmp_path_factory.mktemp("calls") / "s"
    touched = False
    with Shards.create(folder, shards=3, encoder=ENCODER) as shards:
        shards.add(documents(40))
        for call, numbers in before:
            _do(shards, call, numbers)
        shards.copy(folder.parent / "older")
        assert shards.verify() == []
        for call, numbers in after:
            touched |= number in _do(shards, call, numbers)
        assert shards.verify() == []
    put_back(folder, folder.parent / "older", number)
    with Shards.open(folder, encoder=ENCODER) as shards:
        problems = shards.verify()
        assert len(problems) == touched
        if touched:
            assert f"shard-{number:03d} has seen" in problems[0]


def _do(shards: Shards, call: str, numbers: list[int]) -> set[int]:
    """Make a call. Returns the shards that it changed."""
    there = [d.id for d in shards.get([f"d{n}" for n in numbers]) if d is not None]
    if call == "update":
        shards.update([document(n, seed=7) for n in numbers])
        return {shard_of(f"d{n}", 3) for n in numbers}
    if call == "delete":
        shards.delete(there)
    else:
        changes = [d for d in shards.get(there) if d is not None]
        shards.update_metadata({d.id: {"n": d.metadata["n"] + 1} for d in changes})
    return {shard_of(one, 3) for one in there}


def test_an_older_shard_stays_noticed_until_it_is_put_right(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(folder, tmp_path / "older")
    with Shards.open(folder, encoder=ENCODER) as shards:
        for first in (100, 110):
            shards.add(documents(10, first=first))
        shards.copy(tmp_path / "newer")
        whole = len(shards)
    put_back(folder, tmp_path / "older", 1)
    with Shards.open(folder, encoder=ENCODER) as shards:
        assert [record.message for record in caplog.records] == shards.verify()
        assert len(shards) < whole
        shards.add(documents(10, first=200))
        (problem,) = shards.verify()
        assert "shard-001 has seen 2 of the 4 writing calls" in problem
        assert "\n" not in problem
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "newer", folder)
    with Shards.open(folder, encoder=ENCODER) as shards:
        assert shards.verify() == []


def test_a_shard_that_was_written_alone_is_noticed(folder: Path) -> None:
    with Index.open(folder / "shard-001", encoder=ENCODER) as alone:
        alone.delete([next(alone.documents()).id])
    with Shards.open(folder, encoder=ENCODER) as shards:
        (problem,) = shards.verify()
        assert "shard-001" in problem
        assert "was written alone" in problem
        shards.delete(["d1"])
        assert len(shards.verify()) == 1


@pytest.mark.parametrize("stored", [None, 3, [], {"calls": 1}, {"calls": [1], "documents": 2}, {"calls": ["a"] * 3}])
def test_counts_that_make_no_sense_are_none(folder: Path, stored: object) -> None:
    with contextlib.closing(Catalog.open(folder / "shard-000", write=True)) as catalog, catalog.transaction():
        catalog.set_meta({"shard_calls": stored})
    with Shards.open(folder, encoder=ENCODER) as shards:
        assert ["shard-000 has seen 0 of" in problem for problem in shards.verify()] == [True]
        shards.add(documents(12, first=100))
        assert shards.verify() == []


def test_one_shard_counts_too(tmp_path: Path) -> None:
    with Shards.create(tmp_path / "s", shards=1, encoder=ENCODER) as shards:
        shards.add(documents(3))
        shards.delete(["d1"])
        assert shards.verify() == []
