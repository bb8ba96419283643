"""Shards and one index with the same documents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from polyvec import Index, Shards
from tests.conftest import WordEncoder
from tests.shards.corpus import documents


class Both(NamedTuple):
    """The same documents, added in the same calls."""

    shards: Shards
    index: Index


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Both]:
    """120 documents in 4 shards, and in one index."""
    with (
        Shards.create(tmp_path / "shards", shards=4, encoder=WordEncoder()) as shards,
        Index.create(tmp_path / "index", encoder=WordEncoder()) as index,
    ):
        for one in (shards, index):
            one.add(documents(120))
        yield Both(shards, index)
