"""What every searcher has: an Index fits it, to the type checker and when it runs; keywords are those of the options."""

from __future__ import annotations

import dataclasses
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from polyvec import Index, SearchOptions
from polyvec.collection.searcher import Searcher, SearchKeywords, VectorSearchKeywords

PARTS = {name for name in Searcher.__dict__ if not name.startswith("_")} | {"__len__", "__contains__"}


def keywords(call: object) -> set[str]:
    parameters = inspect.signature(call).parameters.values()  # type: ignore[arg-type]
    return {one.name for one in parameters if one.kind is one.KEYWORD_ONLY}


def test_an_index_has_every_part() -> None:
    assert {"search", "scan", "update_metadata", "fields", "name"} <= PARTS
    assert {name for name in PARTS if not hasattr(Index, name)} == set()


@pytest.mark.parametrize("name", sorted(PARTS - {"search", "search_vectors", "name", "dim"}))
def test_an_index_takes_the_arguments_that_are_promised(name: str) -> None:
    promised = inspect.signature(getattr(Searcher, name)).parameters
    taken = inspect.signature(getattr(Index, name)).parameters
    for argument in promised.values():
        assert argument.name in taken
        assert (taken[argument.name].kind, taken[argument.name].default) == (argument.kind, argument.default)


def test_keywords_of_a_search_are_its_options() -> None:
    assert keywords(Index.search) == SearchKeywords.__annotations__.keys() | VectorSearchKeywords.__annotations__.keys()
    assert keywords(Index.search_vectors) == VectorSearchKeywords.__annotations__.keys()
    fields = {one.name for one in dataclasses.fields(SearchOptions)}
    fields -= {"explain"}  # in Python, hits are asked for it
    fields -= {"on_missing"}  # of a collection on a cluster; only `options` has it
    assert keywords(Index.search) == fields | {"options", "threads"}


def test_a_misspelt_keyword_is_an_error() -> None:
    with pytest.raises(TypeError, match="nprobes"):
        Index.search(object(), "text", nprobes=3)  # type: ignore[call-overload]


TYPED = """
import numpy as np
import numpy.typing as npt
from polyvec import Client, Hit, Index, Shards
from polyvec.collection.searcher import Searcher

def given(index: Index, array: npt.NDArray[np.float32]) -> None:
    searcher: Searcher = index
    one: list[Hit] = searcher.search("text", k=3)
    several: list[list[Hit]] = index.search(["text"], mode="late")
    one = index.search_vectors(array, k=3)
    several = searcher.search_vectors([array, array])

def far(client: Client) -> Searcher:
    return client

def several_as_one(shards: Shards) -> Searcher:
    return shards

def also(searcher: Searcher, index: Index, one: list[Hit], several: list[list[Hit]], array: npt.NDArray[np.float32]) -> None:
"""
WRONG = {
    "searcher.search('text', nprobes=3)": "nprobes",
    "index.search('text', modes='late')": "modes",
    "several = index.search('text')": "Incompatible types",
    "one = searcher.search(['text'])": "Incompatible types",
    "several = index.search_vectors(array)": "Incompatible types",
    "index.search_vectors(array, mode='late')": "mode",
}


@pytest.mark.timeout(900)  # the first time, when mypy has read nothing yet
def test_the_type_checker_agrees(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    pytest.importorskip("mypy")
    file = tmp_path / "typed.py"
    body = "".join(f"    {line}  # wrong\n" for line in WRONG)
    file.write_text(TYPED + body)
    assert pytestconfig.cache is not None
    cache = str(pytestconfig.cache.mkdir("mypy"))
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", cache, str(file)]
    said = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path).stdout
    first = TYPED.count("\n") + 1
    errors = [line for line in said.splitlines() if f"{file.name}:" in line and ": error:" in line]
    for number, (line, word) in enumerate(WRONG.items(), start=first):
        assert any(f":{number}:" in error and word in error for error in errors), f"{line}: {said}"
    assert all(int(error.split(":")[1]) >= first for error in errors), said
