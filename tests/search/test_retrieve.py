"""Scores people can use: a share of what the query could get, the same whoever else is found; fusion that says what it did."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyvec import Index, SearchOptions, rerank
from polyvec.errors import InputError
from polyvec.search.retrieve import highest_score, normalized_score
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
    index = Index.create(tmp_path / "s.polyvec", encoder=encoder)
    index.add([{"id": name, "text": text} for name, text in TEXTS.items()])
    return index


def test_a_perfect_match_is_one_whatever_the_length_of_the_query(index: Index) -> None:
    for query in ("red", "red green", "red green blue"):
        best = index.search(query, k=1)[0]
        assert best.normalized_score == pytest.approx(1.0, abs=2e-3)
        assert best.score == pytest.approx(len(query.split()), abs=5e-3)


def test_the_score_of_a_document_does_not_depend_on_the_others(index: Index) -> None:
    whole = {hit.id: hit.normalized_score for hit in index.search("red green blue", k=5)}
    alone = {name: index.search("red green blue", subset=[name])[0].normalized_score for name in TEXTS}
    assert whole == alone
    index.add([{"id": f"more{i}", "text": f"red green blue number{i}"} for i in range(50)])
    index.delete(["all"])
    later = {hit.id: hit.normalized_score for hit in index.search("red green blue", k=60)}
    for name in ("two", "one", "none"):
        assert later[name] == whole[name]
    hybrid = {hit.id: hit.normalized_score for hit in index.search("red green blue", k=60, mode="hybrid")}
    assert hybrid == {name: later[name] for name in hybrid}
    assert rerank("red green blue", [TEXTS["two"]], encoder=WordEncoder())[0].normalized_score == pytest.approx(
        whole["two"], abs=2e-3
    )


@pytest.mark.parametrize("mode", ["late", "hybrid"])
def test_min_score_leaves_out_what_is_below(index: Index, mode: str) -> None:
    every = index.search("red green blue", k=5, mode=mode)  # type: ignore[call-overload]
    for least in (0.0, 0.5, 0.9, 1.0):
        kept = index.search("red green blue", k=5, mode=mode, min_score=least)  # type: ignore[call-overload]
        assert [(hit.id, hit.score) for hit in kept] == [(h.id, h.score) for h in every if h.normalized_score >= least]
        assert [hit.rank for hit in kept] == list(range(1, len(kept) + 1))
    assert len(index.search("red green blue", min_score=0.9)) == 1
    assert index.search("red green blue", options=SearchOptions(min_score=0.9)) == index.search(
        "red green blue", min_score=0.9
    )


def test_min_score_of_vectors(index: Index) -> None:
    rows = np.stack([WordEncoder()._vector(word) for word in ("red", "green", "blue")])
    assert [hit.id for hit in index.search_vectors(rows, min_score=0.9)] == ["all"]


def test_normalized_scores_stay_in_bounds() -> None:
    rows = np.eye(4, dtype=np.float32)
    highest = highest_score(rows)
    assert normalized_score(4.0, highest) == 1.0
    assert normalized_score(4.00001, highest) == 1.0
    assert normalized_score(1.0, highest) == 0.25
    assert normalized_score(-0.3, highest) == 0.0
    assert normalized_score(4.0, highest_score(2 * rows)) == 0.5
    assert normalized_score(0.0, highest_score(np.zeros((2, 4), np.float32))) == 0.0


def test_keywords_have_no_highest_score(index: Index) -> None:
    assert index.search("red", mode="keyword", k=1)[0].normalized_score is None
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
    with Index.create(tmp_path / "k.polyvec", encoder=encoder, nbits=16) as index:
        index.add([{"id": f"near{i}", "text": "star"} for i in range(150)])
        index.add([{"id": "far", "text": " ".join(f"x{i}" for i in range(64)) + " stellar"}])
        options = SearchOptions(mode="hybrid", fusion="rank", k=100)
        (hit,) = [hit for hit in index.search("star stellar", options=options) if hit.id == "far"]
        assert hit.ranks == {"keyword": 1}
        assert hit.parts["late"] == index.search("star stellar", subset=["far"])[0].score
        assert hit.normalized_score == index.search("star stellar", subset=["far"])[0].normalized_score


@pytest.mark.parametrize("fusion", ["rank", "weight"])
def test_the_weight_moves_from_keywords_to_maxsim(index: Index, fusion: str) -> None:
    def order(weight: float) -> list[str]:
        options = SearchOptions(mode="hybrid", fusion=fusion, weight=weight, k=5)  # type: ignore[arg-type]
        return [hit.id for hit in index.search("red tree", options=options)]

    keyword = [hit.id for hit in index.search("red tree", k=5, mode="keyword")]
    assert order(0.0)[: len(keyword)] == keyword
    assert order(1.0) == [hit.id for hit in index.search("red tree", k=5)]


def test_weighted_scores_are_the_stated_sum_and_the_default(index: Index) -> None:
    hits = index.search("red green", mode="hybrid", k=5)
    assert len(hits) == 5
    count = len(TEXTS)
    having = {"red": 4, "green": 2}
    bound = sum(2.2 * max(np.log((count - n + 0.5) / (n + 0.5)), 1e-6) for n in having.values())
    for hit in hits:
        share = hit.parts["late"] / highest_score(np.stack([WordEncoder()._vector(word) for word in ("red", "green")]))
        assert hit.score == pytest.approx(0.8 * share + 0.2 * hit.parts.get("keyword", 0.0) / bound, abs=1e-5)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert ["keyword" in hit.parts for hit in hits] == [hit.id != "none" for hit in hits]


WORDS = st.sampled_from(["red", "green", "blue", "sea", "tree", "猫", "水", "猫水", "zug"])
TEXT = st.lists(WORDS, min_size=1, max_size=8).map(" ".join)


@settings(max_examples=25, deadline=None)
@given(texts=st.lists(TEXT, min_size=1, max_size=30), query=TEXT, weight=st.floats(0, 1), data=st.data())
def test_a_hybrid_score_does_not_depend_on_k_filter_subset_or_probing(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], query: str, weight: float, data: st.DataObject
) -> None:
    with Index.create(tmp_path_factory.mktemp("h") / "i", encoder=WordEncoder()) as index:
        index.add([{"id": str(i), "text": text, "even": i % 2 == 0} for i, text in enumerate(texts)])
        options = SearchOptions(mode="hybrid", weight=weight, k=500)
        whole = {hit.id: (hit.score, hit.parts) for hit in index.search(query, options=options)}
        assert len(whole) == len(texts)
        words = {hit.id: hit.score for hit in index.search(query, mode="keyword", k=500)}
        assert {name: parts["keyword"] for name, (_, parts) in whole.items() if "keyword" in parts} == words
        subset = data.draw(st.lists(st.sampled_from(sorted(whole)), max_size=5))
        for settings_ in (
            {"k": 1},
            {"k": 3},
            {"filter": {"even": True}},
            {"subset": subset},
            {"options": replace(options, nprobe=1, candidates=500)},
            {"options": replace(options, exact=True)},
            {"min_score": 0.5},
        ):
            for hit in index.search(query, **{"options": options, **settings_}):  # type: ignore[call-overload]
                assert (hit.score, hit.parts) == whole[hit.id], settings_
        ranked = [hit.id for hit in index.search(query, options=options)]
        assert [hit.id for hit in index.search(query, options=options, k=3)] == ranked[:3]


def test_a_hybrid_score_is_the_same_however_many_are_found(tmp_path: Path, encoder: WordEncoder) -> None:
    with Index.create(tmp_path / "m", encoder=encoder) as index:
        index.add([{"id": f"d{i}", "text": f"red w{i % 40} green x{i % 7}", "part": i % 10} for i in range(400)])
        query = "red w3 x5 nowhere"
        options = SearchOptions(mode="hybrid", k=400)
        whole = {hit.id: hit.score for hit in index.search(query, options=options)}
        for k in (1, 10, 99, 101, 250):
            hits = index.search(query, options=options, k=k)
            assert [hit.score for hit in hits] == [whole[hit.id] for hit in hits]
        for part in range(10):
            hits = index.search(query, options=options, filter={"part": part})
            assert len(hits) == 40
            assert [hit.score for hit in hits] == [whole[hit.id] for hit in hits]


def test_a_hybrid_score_is_the_same_through_codes(tmp_path: Path, encoder: WordEncoder) -> None:
    with Index.create(tmp_path / "c", encoder=encoder, nbits=4) as index:
        index.add([{"id": f"d{i}", "text": f"red w{i} green x{i % 7} y{i % 90}", "part": i % 10} for i in range(4000)])
        index.compact(retrain=True)
        assert index.info()["coded_segments"] == 1
        query = "red w3 x5 y77 nowhere"
        options = SearchOptions(mode="hybrid", k=4000, exact=True)
        whole = {hit.id: hit.score for hit in index.search(query, options=options)}
        for changed in (
            {"k": 5, "exact": False},
            {"k": 5, "exact": False, "nprobe": 1, "candidates": 5},
            {"k": 300, "exact": False, "nprobe": 2, "candidates": 300},
        ):
            for condition in (None, {"part": 3}):
                hits = index.search(query, options=replace(options, **changed), filter=condition)  # type: ignore[arg-type]
                assert hits
                assert [hit.score for hit in hits] == pytest.approx([whole[hit.id] for hit in hits], abs=1e-6)


def test_rank_fusion_counts_a_hundred_places_whatever_k(tmp_path: Path, encoder: WordEncoder) -> None:
    with Index.create(tmp_path / "r", encoder=encoder) as index:
        index.add([{"id": f"d{i}", "text": f"red w{i} green x{i % 7}"} for i in range(300)])
        options = SearchOptions(mode="hybrid", fusion="rank", k=300)
        whole = [(hit.id, hit.score) for hit in index.search("red w3 x5", options=options)]
        assert 100 <= len(whole) <= 200
        for k in (1, 10, 99, 101, 150):
            assert [(hit.id, hit.score) for hit in index.search("red w3 x5", options=options, k=k)] == whole[:k]


def test_bm25_never_exceeds_its_bound(index: Index) -> None:
    with index._current() as view:
        for query in ("red", "red green blue", "red nowhere", "nowhere", "quiet old music", "?"):
            bound = view.catalog.keyword_bound(query)
            rows, scores = view.catalog.search_keywords(query, 10)
            assert bound >= max(scores, default=0.0)
            every, same = view.catalog.search_keywords(query, 1, scored=range(100))
            assert every.tolist() == rows.tolist()
            assert same.tolist() == scores.tolist()
            assert len(view.catalog.search_keywords(query, 1)[0]) == min(1, len(rows))
    assert bound == 0.0


def test_the_bound_follows_what_is_added_and_deleted(tmp_path: Path) -> None:
    def bound() -> float:
        with index._current() as view:
            return view.catalog.keyword_bound("red green")

    with Index.create(tmp_path / "index", encoder=WordEncoder()) as index:
        index.add([{"id": f"r{i}", "text": f"red {i}"} for i in range(150)])
        index.add([{"id": f"g{i}", "text": f"green {i}"} for i in range(400)])
        before = bound()
        assert bound() == before
        index.delete([f"g{i}" for i in range(300)])
        after = bound()
        assert after != before
    with Index.open(tmp_path / "index", encoder=WordEncoder()) as index:
        assert bound() == after


@pytest.mark.parametrize("mode", ["late", "keyword", "hybrid"])
@pytest.mark.parametrize("restricted", [{}, {"filter": {"even": True}}, {"subset": [f"d{i}" for i in range(0, 60, 5)]}])
@pytest.mark.parametrize("nbits", [4, 16])
def test_a_batch_finds_what_each_question_finds_alone(
    tmp_path: Path, encoder: WordEncoder, mode: str, restricted: dict[str, object], nbits: int
) -> None:
    words = ["red", "green", "blue", "tall", "tree", "quiet", "old", "music", "star", "house", "sea"]
    rng = np.random.default_rng(7)
    asked = [" ".join(rng.choice(words, rng.integers(1, 5))) for _ in range(21)]
    with Index.create(tmp_path / "b.polyvec", encoder=encoder, nbits=nbits) as index:
        index.add(
            {"id": f"d{i}", "text": " ".join(rng.choice(words, 6)), "metadata": {"even": i % 2 == 0}} for i in range(60)
        )
        index.compact()
        index.delete(["d0", "d5", "d11"])
        keywords = {"k": 7, "mode": mode, **restricted}
        alone = [index.search(query, threads=1, **keywords) for query in asked]  # type: ignore[call-overload]
        assert any(alone)
        assert not {"d0", "d5", "d11"} & {hit.id for hits in alone for hit in hits}
        for threads in (1, 2, 5, 40):
            assert index.search(asked, threads=threads, **keywords) == alone  # type: ignore[call-overload]


def test_no_two_hits_share_their_metadata(tmp_path: Path, encoder: WordEncoder) -> None:
    with Index.create(tmp_path / "m.polyvec", encoder=encoder) as index:
        index.add([{"id": "a", "text": "red", "metadata": {"tags": ["x"]}}])
        (one,), (other,) = index.search(["red", "red"])
        one.metadata["tags"].append("y")
        assert other.metadata == {"tags": ["x"]}
