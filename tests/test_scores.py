"""Scores people can use: a share of what the query could get, the same whoever else is found; fusion that says what it did."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from polyvec import Index, SearchOptions, rerank
from polyvec.errors import InputError
from polyvec.search import highest_score, normalised_score
from tests.conftest import WordEncoder

TEXTS = {
    "all": "red green blue",
    "two": "red green sea",
    "one": "red tall tree and house",
    "none": "quiet old music",
    "again": "red red red red",
}


@pytest.fixture
def index(tmp_path: Path, encoder: WordEncoder) -> Index:
    index = Index.create(tmp_path / "s.polyvec", encoder=encoder)  # type: ignore[arg-type]
    index.add([{"id": name, "text": text} for name, text in TEXTS.items()])
    return index


def test_a_perfect_match_is_one_whatever_the_length_of_the_query(index: Index) -> None:
    for query in ("red", "red green", "red green blue"):
        best = index.search(query, k=1)[0]
        assert best.normalised_score == pytest.approx(1.0, abs=2e-3)
        assert best.score == pytest.approx(len(query.split()), abs=5e-3)


def test_the_score_of_a_document_does_not_depend_on_the_others(index: Index) -> None:
    whole = {hit.id: hit.normalised_score for hit in index.search("red green blue", k=5)}
    alone = {name: index.search("red green blue", subset=[name])[0].normalised_score for name in TEXTS}
    assert whole == alone
    index.add([{"id": f"more{i}", "text": f"red green blue number{i}"} for i in range(50)])
    index.delete(["all"])
    later = {hit.id: hit.normalised_score for hit in index.search("red green blue", k=60)}
    for name in ("two", "one", "none"):
        assert later[name] == whole[name]
    hybrid = {hit.id: hit.normalised_score for hit in index.search("red green blue", k=60, mode="hybrid")}
    assert hybrid == {name: later[name] for name in hybrid}
    assert rerank("red green blue", [TEXTS["two"]], encoder=WordEncoder())[0].normalised_score == pytest.approx(  # type: ignore[arg-type]
        whole["two"], abs=2e-3
    )


@pytest.mark.parametrize("mode", ["late", "hybrid"])
def test_min_score_leaves_out_what_is_below(index: Index, mode: str) -> None:
    every = index.search("red green blue", k=5, mode=mode)  # type: ignore[call-overload]
    for least in (0.0, 0.5, 0.9, 1.0):
        kept = index.search("red green blue", k=5, mode=mode, min_score=least)  # type: ignore[call-overload]
        assert [(hit.id, hit.score) for hit in kept] == [(h.id, h.score) for h in every if h.normalised_score >= least]
        assert [hit.rank for hit in kept] == list(range(1, len(kept) + 1))
    assert len(index.search("red green blue", min_score=0.9)) == 1
    assert index.search("red green blue", options=SearchOptions(min_score=0.9)) == index.search(
        "red green blue", min_score=0.9
    )


def test_min_score_of_vectors(index: Index) -> None:
    rows = np.stack([WordEncoder()._vector(word) for word in ("red", "green", "blue")])
    assert [hit.id for hit in index.search_vectors(rows, min_score=0.9)] == ["all"]


def test_normalised_scores_stay_in_bounds() -> None:
    rows = np.eye(4, dtype=np.float32)
    highest = highest_score(rows)
    assert normalised_score(4.0, highest) == 1.0
    assert normalised_score(4.00001, highest) == 1.0
    assert normalised_score(1.0, highest) == 0.25
    assert normalised_score(-0.3, highest) == 0.0
    assert normalised_score(4.0, highest_score(2 * rows)) == 0.5
    assert normalised_score(0.0, highest_score(np.zeros((2, 4), np.float32))) == 0.0


def test_keywords_have_no_highest_score(index: Index) -> None:
    assert index.search("red", mode="keyword", k=1)[0].normalised_score is None
    with pytest.raises(InputError, match="BM25 has no upper bound"):
        index.search("red", mode="keyword", min_score=0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_score": 1.5}, "min_score=1.5: expected a number from 0 to 1"),
        ({"min_score": "high"}, "min_score='high'"),
        ({"weight": -0.1}, "weight=-0.1"),
        ({"weight": True}, "weight=True"),
        ({"fusion": "sum"}, "fusion='sum': expected one of rank, weight"),
    ],
)
def test_options_are_checked(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SearchOptions(**options)  # type: ignore[arg-type]


def test_hybrid_says_which_rank_in_which_list(index: Index) -> None:
    query = "red tree"
    hits = index.search(query, options=SearchOptions(k=5, mode="hybrid", fusion="rank"))
    places = {
        "late": {hit.id: hit.rank for hit in index.search(query, k=100)},
        "keyword": {hit.id: hit.rank for hit in index.search(query, k=100, mode="keyword")},
    }
    for hit in hits:
        assert hit.ranks == {name: ranks[hit.id] for name, ranks in places.items() if hit.id in ranks}
        assert hit.score == pytest.approx(sum(1 / (60 + rank) for rank in hit.ranks.values()))
        assert hit.to_dict()["ranks"] == hit.ranks
    assert hits[0].id == "one"
    assert index.search(query, k=1)[0].ranks == {}


def test_what_only_keywords_found_has_a_late_score_too(tmp_path: Path, encoder: WordEncoder) -> None:
    with Index.create(tmp_path / "k.polyvec", encoder=encoder, nbits=16) as index:  # type: ignore[arg-type]
        index.add([{"id": f"near{i}", "text": "star"} for i in range(150)])
        index.add([{"id": "far", "text": " ".join(f"x{i}" for i in range(64)) + " stellar"}])
        options = SearchOptions(mode="hybrid", fusion="rank", k=100)
        (hit,) = [hit for hit in index.search("star stellar", options=options) if hit.id == "far"]
        assert hit.ranks == {"keyword": 1}
        assert hit.parts["late"] == index.search("star stellar", subset=["far"])[0].score
        assert hit.normalised_score == index.search("star stellar", subset=["far"])[0].normalised_score


@pytest.mark.parametrize("fusion", ["rank", "weight"])
def test_the_weight_moves_from_keywords_to_maxsim(index: Index, fusion: str) -> None:
    def order(weight: float) -> list[str]:
        options = SearchOptions(mode="hybrid", fusion=fusion, weight=weight, k=5)  # type: ignore[arg-type]
        return [hit.id for hit in index.search("red tree", options=options)]

    keyword = [hit.id for hit in index.search("red tree", k=5, mode="keyword")]
    assert order(0.0)[: len(keyword)] == keyword
    assert order(1.0) == [hit.id for hit in index.search("red tree", k=5)]


def test_weighted_scores_are_the_stated_sum_and_the_default(index: Index) -> None:
    options = SearchOptions(mode="hybrid", k=5)
    hits = index.search("red green", options=options)
    late = [hit.parts["late"] for hit in hits]
    best = max(hit.parts.get("keyword", 0.0) for hit in hits)
    for hit in hits:
        met = (hit.parts["late"] - min(late)) / (max(late) - min(late))
        assert hit.score == pytest.approx(0.7 * met + 0.3 * hit.parts.get("keyword", 0.0) / best)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
