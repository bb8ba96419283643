"""The settings of an index: stored as JSON, read back as they were, refused where no writer has stored them so."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvec import Index
from polyvec.errors import IndexCorruptError
from polyvec.index.catalog.catalog import CATALOG_FILE, Catalog
from polyvec.index.catalog.settings import CodecRecord, IndexSettings, MeasuredRecall, ModelRecord

_COUNTS = st.integers(0, 2**40)
_ERRORS = st.floats(0, 10)
_POINTS = st.builds(MeasuredRecall, _COUNTS, st.none() | _COUNTS, st.floats(0, 1))
_CODECS = st.builds(
    CodecRecord,
    file=st.text(max_size=9),
    checksum=st.text(max_size=9),
    size_bytes=_COUNTS,
    error=_ERRORS,
    tokens=_COUNTS,
    curve=st.none() | st.lists(_POINTS, max_size=3).map(tuple),
)
_GROWN = st.builds(
    lambda codec, n, error: replace(codec, added_tokens=n, added_error=error), _CODECS, _COUNTS.filter(bool), _ERRORS
)
_MODELS = st.builds(ModelRecord, st.text(max_size=9), st.fixed_dictionaries({"model": st.none() | st.text(max_size=5)}))
_SETTINGS = st.builds(
    IndexSettings,
    state=st.sampled_from(["ready", "building"]),
    source=st.none() | st.text(max_size=5),
    version=st.text(max_size=5),
    dim=_COUNTS,
    nbits=_COUNTS,
    model=st.none() | _MODELS,
    next_row=_COUNTS,
    next_segment=_COUNTS,
    codec=st.none() | _CODECS | _GROWN,
)


@given(_SETTINGS)
def test_what_is_stored_is_read_as_it_was(settings: IndexSettings) -> None:
    assert IndexSettings.from_json(json.loads(json.dumps(settings.to_json()))) == settings


def test_the_catalog_stores_the_names_that_the_format_has(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).standard_normal((40, 5, 8))
    with Index.create(tmp_path / "i", dim=8, nbits=4) as index:
        assert set(stored(tmp_path / "i")) == {
            "state", "source", "version", "dim", "nbits", "encoder", "next_row", "next_segment",
        }  # fmt: skip
        index.add_vectors([f"a{i}" for i in range(20)], rows[:20])
        index.compact()
        assert set(stored(tmp_path / "i")["codec"]) == {"file", "checksum", "size_bytes", "error", "tokens", "curve"}
        index.add_vectors([f"b{i}" for i in range(20)], rows[20:])
    codec = stored(tmp_path / "i")["codec"]
    assert set(codec["added"]) == {"tokens", "error"}
    assert (codec["tokens"], codec["added"]["tokens"]) == (100, 100)
    assert stored(tmp_path / "i")["next_row"] == 40


def test_a_change_leaves_the_other_settings_alone(tmp_path: Path) -> None:
    Index.create(tmp_path / "i", dim=8).close()
    catalog = Catalog.open(tmp_path / "i", write=True)
    before = catalog.settings()
    with catalog.transaction():
        catalog.set_settings(next_row=0, nbits=2)
    assert catalog.settings() == replace(before, nbits=2)
    catalog.close()


_CODEC = {"file": "c", "checksum": "0", "size_bytes": 1, "error": 1, "tokens": 1}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("dim", None), ("dim", "eight"), ("next_row", []), ("codec", {"file": "x"}), ("codec", 3), ("encoder", "m"),
        ("encoder", {"fingerprint": "x"}), ("codec", {**_CODEC, "curve": [{}]}), ("codec", {**_CODEC, "added": {}}),
    ],
)  # fmt: skip
def test_values_that_no_writer_stores_are_damage(key: str, value: Any, tmp_path: Path) -> None:
    Index.create(tmp_path / "i", dim=8).close()
    with sqlite3.connect(tmp_path / "i" / CATALOG_FILE) as connection:
        connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))
    connection.close()
    with pytest.raises(IndexCorruptError, match="a setting has a value that none can have"):
        Index.open(tmp_path / "i")


def test_a_setting_that_is_missing_is_damage(tmp_path: Path) -> None:
    Index.create(tmp_path / "i", dim=8).close()
    with sqlite3.connect(tmp_path / "i" / CATALOG_FILE) as connection:
        connection.execute("DELETE FROM meta WHERE key IN ('dim', 'state')")
    connection.close()
    with pytest.raises(IndexCorruptError, match="settings are missing: dim, state"):
        Index.open(tmp_path / "i")


def stored(path: Path) -> dict[str, Any]:
    connection = sqlite3.connect(path / CATALOG_FILE)
    try:
        return {key: json.loads(value) for key, value in connection.execute("SELECT key, value FROM meta")}
    finally:
        connection.close()
