"""Fusion is arithmetic on shares and ranks: a score follows from its document's own numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvec.search.fusion import RANK_DEPTH, by_rank, by_weight, ordered, share_of

SHARES = st.dictionaries(st.integers(0, 50), st.floats(0, 1), max_size=20)


@given(late=SHARES, keyword=SHARES, weight=st.floats(0, 1), kept=st.sets(st.integers(0, 50)))
def test_leaving_documents_out_changes_no_weighted_score(
    late: dict[int, float], keyword: dict[int, float], weight: float, kept: set[int]
) -> None:
    whole = by_weight(late, keyword, weight)
    assert whole.keys() == late.keys()
    part = by_weight({row: late[row] for row in late if row in kept}, keyword, weight)
    assert part == {row: score for row, score in whole.items() if row in kept}
    for row, score in whole.items():
        assert score == pytest.approx(weight * late[row] + (1 - weight) * keyword.get(row, 0.0))
        assert 0 <= score <= 1 + 1e-9


@given(SHARES, SHARES)
def test_the_weight_reaches_from_one_side_to_the_other(late: dict[int, float], keyword: dict[int, float]) -> None:
    assert by_weight(late, keyword, 1.0) == late
    assert by_weight(late, keyword, 0.0) == {row: keyword.get(row, 0.0) for row in late}


def test_ranks_are_counted_to_a_fixed_depth() -> None:
    scores = by_rank(range(500), range(499, -1, -1), 0.5)
    assert scores.keys() == {*range(RANK_DEPTH), *range(400, 500)}
    assert scores[0] == pytest.approx(1 / 61)
    assert scores == by_rank(range(RANK_DEPTH), range(499, 399, -1), 0.5)
    assert by_rank([7, 8], [8], 0.5) == pytest.approx({7: 1 / 61, 8: 1 / 62 + 1 / 61})
    assert by_rank([7], [8], 0.75) == pytest.approx({7: 1.5 / 61, 8: 0.5 / 61})


def test_order_and_ties() -> None:
    assert ordered({3: 0.5, 1: 0.5, 2: 0.9}) == [(2, 0.9), (1, 0.5), (3, 0.5)]
    assert ordered({}) == []


def test_shares() -> None:
    assert share_of(2.0, 4.0) == 0.5
    assert share_of(0.0, 0.0) == 0.0
    assert share_of(-1.0, 4.0) == -0.25
