"""Whether shards and one index answer the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any

from polyvec import Index, Shards
from tests.shards.corpus import FILTERS, QUESTIONS

MODES: tuple[dict[str, Any], ...] = (
    {},
    {"exact": True},
    {"mode": "keyword"},
    {"mode": "hybrid"},
    {"mode": "hybrid", "fusion": "rank"},
    {"mode": "hybrid", "weight": 0.3, "min_score": 0.4},
)


def restrictions(ids: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Filters and subsets."""
    some = list(ids)[::3]
    yield {}
    yield {"subset": [*some, "no such id"]}
    for condition in FILTERS:
        yield {"filter": condition}
    yield {"filter": FILTERS[0], "subset": some}


def assert_same(shards: Shards, index: Index, questions: Iterable[str] = QUESTIONS, k: int = 12) -> int:
    """Every mode with every restriction: the same hits, scores to the bit, in the same order. Returns how many hits there were."""
    ids = [document.id for document in index.documents()]
    assert [document.id for document in shards.documents()] == ids
    assert len(shards) == len(ids)
    asked, count = list(questions), 0
    for mode, restriction in product(MODES, restrictions(ids)):
        found = shards.search(asked, k=k, **mode, **restriction)
        wanted = index.search(asked, k=k, **mode, **restriction)
        assert found == wanted, (mode, restriction)
        count += sum(map(len, wanted))
    return count
