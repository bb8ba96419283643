"""An index says which model it needs."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from polyvec import Encoder, Index
from polyvec.errors import ModelMismatchError
from polyvec.index.catalog.catalog import CATALOG_FILE
from tests.conftest import WordEncoder

ROWS = [{"id": "a", "text": "green tea"}, {"id": "b", "text": "red wine"}]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("default") / "i"
    with Index.create(path, encoder=Encoder()) as index:
        index.add(ROWS)
    return path


def test_an_index_names_the_default_model_and_its_version(made: Path) -> None:
    assert _stored(made)["settings"] == {"model": "polyvec-mini-1"}
    with Index.open(made) as index:
        assert index.info()["model"] == "polyvec-mini-1"
        assert index.search("tea")[0].id == "a"


def test_an_index_of_another_version_says_which_one_it_needs(made: Path, tmp_path: Path) -> None:
    with Index.open(made) as index:
        index.copy(tmp_path / "i")
    _store(tmp_path / "i", {"fingerprint": "0123456789abcdef", "settings": {"model": "polyvec-mini-2"}})
    with Index.open(tmp_path / "i") as index:
        assert index.info()["model"] == "polyvec-mini-2"
        assert index.search("tea", mode="keyword")[0].id == "a"
        for call in (lambda: index.search("tea"), lambda: index.add([{"id": "c", "text": "c"}])):
            with pytest.raises(
                ModelMismatchError, match="needs the model polyvec-mini-2, and this polyvec has polyvec-mini-1"
            ):
                call()
    with pytest.raises(ModelMismatchError, match=r"made by model polyvec-mini-2 .*, not by polyvec-mini-1 "):
        Index.open(tmp_path / "i", encoder=Encoder())


def test_an_index_that_names_no_version_takes_the_default_model(made: Path, tmp_path: Path) -> None:
    with Index.open(made) as index:
        index.copy(tmp_path / "i")
    _store(tmp_path / "i", {**_stored(made), "settings": {"model": None}})
    with Index.open(tmp_path / "i") as index:
        assert index.info()["model"] == "default"
        assert index.search("tea")[0].id == "a"


def test_an_index_of_another_model_names_both(encoder: WordEncoder, tmp_path: Path) -> None:
    Index.create(tmp_path / "i", encoder=encoder).close()
    with pytest.raises(ModelMismatchError, match=r"made by model words \(words-16\), not by others \(others-16\)"):
        Index.open(tmp_path / "i", encoder=WordEncoder(name="others"))


def _stored(path: Path) -> dict[str, Any]:
    connection = sqlite3.connect(path / CATALOG_FILE)
    try:
        [(value,)] = connection.execute("SELECT value FROM meta WHERE key = 'encoder'")
    finally:
        connection.close()
    found: dict[str, Any] = json.loads(value)
    return found


def _store(path: Path, model: dict[str, Any]) -> None:
    connection = sqlite3.connect(path / CATALOG_FILE)
    try:
        with connection:
            connection.execute("UPDATE meta SET value = ? WHERE key = 'encoder'", [json.dumps(model)])
    finally:
        connection.close()
