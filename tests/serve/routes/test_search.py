"""POST /v1/search says what Index.search says."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import polyvec
from polyvec.errors import ShardsMissingError
from polyvec.search.missing import note_missing
from tests.conftest import WordEncoder
from tests.serve.conftest import Start
from tests.serve.running import Running

QUESTION = "how do bees show the way to flowers"


def test_one_and_several_questions(shared: Running) -> None:
    one = shared.search(QUESTION)
    both = shared.search([QUESTION, "bread oven"], k=2)
    assert [found["query"] for found in both] == [QUESTION, "bread oven"]
    assert [hit["id"] for hit in one[0]["hits"]][:1] == ["bees-en"]
    assert [hit["id"] for hit in both[0]["hits"]] == [hit["id"] for hit in one[0]["hits"]][:2]
    assert both[1]["hits"][0]["id"] == "bread"
    assert [hit["rank"] for hit in both[1]["hits"]] == [1, 2]


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"k": 2},
        {"mode": "keyword"},
        {"mode": "hybrid", "k": 3},
        {"mode": "hybrid", "options": {"fusion": "rank", "weight": 0.3}},
        {"filter": {"year": {"$gte": 2005}}},
        {"subset": ["bread", "bees-de", "unknown"]},
        {"min_score": 0.3},
        {"options": {"exact": True, "nprobe": 4}},
    ],
    ids=str,
)
def test_hits_are_those_of_the_index(shared: Running, asked: dict[str, Any]) -> None:
    more = dict(asked)
    keywords = {**more.pop("options", {}), **more}
    with polyvec.Index.open(shared.serving.collections.chosen(None).path, encoder=WordEncoder()) as index:
        expected = [hit.to_dict() for hit in index.search(QUESTION, **keywords)]
    assert shared.search(QUESTION, **asked)[0]["hits"] == expected


def test_answer_has_times_and_is_whole(shared: Running) -> None:
    answer = shared.post("/v1/search", {"query": QUESTION}).json()
    assert answer["partial"] is False
    assert all(answer[name] >= 0 for name in ("took_ms", "encode_ms", "search_ms"))
    assert answer["took_ms"] >= answer["search_ms"]


def test_explanations_and_highlights(shared: Running) -> None:
    (found,) = shared.search("bees flowers", k=2, explain=True, highlights=True)
    hit = next(hit for hit in found["hits"] if hit["id"] == "bees-en")
    assert sum(match["similarity"] for match in hit["explanation"]["matches"]) == pytest.approx(hit["score"], abs=1e-3)
    assert {"Bees", "flowers"} <= {hit["text"][one["start"] : one["end"]] for one in hit["highlights"]}
    assert all(0 < one["weight"] <= 1 for one in hit["highlights"])


def test_highlights_lie_in_the_text_though_the_model_reads_the_title_first(shared: Running) -> None:
    (found,) = shared.search("Bienen Blumen", k=1, highlights=True, filter={"lang": "de"})
    (hit,) = found["hits"]
    assert {hit["text"][one["start"] : one["end"]] for one in hit["highlights"]} >= {"Blumen"}


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"query": ""}, "query 0 is empty. Leave it out, or give it a text."),
        ({"query": [" a", "  "]}, "query 1 is empty. Leave it out, or give it a text."),
        ({"query": "a\ud800"}, "query 0 holds a lone surrogate at character 1, which is not Unicode text. Read the file with "
         "errors='replace', or repair it."),
        ({"query": 5}, "queries: got 5, expected a list of queries."),
        ({"query": {"a": 1}}, "queries: got one dict, expected a list of queries. Wrap a single one in a list."),
        ({"query": None}, "queries: got None, expected a list of queries."),
        ({"query": []}, "queries: got an empty list, expected at least one."),
        ({"query": ["a"] * 1001}, "query: got a list of 1,001, and at most 1,000 are taken at once. Ask in parts."),
        ({"query": "a", "k": 0}, "k=0: expected a whole number of hits, at least 1."),
        ({"query": "a", "k": "ten"}, "k='ten': expected a whole number of hits, at least 1."),
        ({"query": "a", "k": True}, "k=True: expected a whole number of hits, at least 1."),
        ({"query": "a", "k": 1.5}, "k=1.5: expected a whole number of hits, at least 1."),
        ({"query": "a", "k": 10_001}, "k=10001: expected a whole number of hits, at least 1, at most 10000."),
        ({"query": "a", "mode": "fuzzy"}, "mode='fuzzy': expected one of late, keyword, hybrid."),
        ({"query": "a", "filter": []}, "filter=[]: expected an object such as {'lang': 'de'}."),
        ({"query": "a", "filter": {"year": {"$near": 1}}}, "filter.year: unknown operator '$near'; expected one of $eq $ne $in "
         "$nin $exists $not $gt $gte $lt $lte."),
        ({"query": "a", "subset": "bread"}, "subset: got one str, expected a list of subset. Wrap a single one in a list."),
        ({"query": "a", "min_score": 2}, "min_score=2: expected a number from 0 to 1."),
        ({"query": "a", "explain": "yes"}, "explain='yes': expected True or False."),
        ({"query": "a", "highlights": 1}, "highlights=1: expected True or False."),
        ({"query": "a", "options": []}, "options=[]: expected an object such as {'exact': true}."),
        ({"query": "a", "k": 1, "options": {"k": 2}}, "k is given twice: beside `options` and in it. Give it once."),
        ({"query": "a", "options": {"probes": 2}}, "search options: unknown field 'probes'; expected some of k, mode, fusion, "
         "weight, min_score, exact, nprobe, candidates, recall, filter, subset, explain, on_missing."),
        ({"query": "a", "kk": 1}, "unknown field 'kk'; expected some of query, k, mode, filter, subset, min_score, options, "
         "explain, highlights, collection."),
        ({"k": 1}, "query is missing; the fields are query, k, mode, filter, subset, min_score, options, explain, highlights, "
         "collection."),
        ({"query": "a", "collection": 5}, "collection=5: expected the name of a collection."),
        (["a"], "The body is ['a'], expected an object."),
    ],
    ids=lambda value: str(value)[:40] if not isinstance(value, str) else "",
)  # fmt: skip
def test_values_that_cannot_be_used_are_said_as_in_python(shared: Running, body: Any, sentence: str) -> None:
    answer = shared.post("/v1/search", body)
    assert (answer.status_code, answer.json()["detail"]) == (422, sentence)


def test_the_largest_k_is_a_setting(start: Start) -> None:
    server = start(max_k=3)
    assert server.post("/v1/search", {"query": "a", "k": 4}).status_code == 422
    assert server.post("/v1/search", {"query": "a", "options": {"k": 4}}).status_code == 422
    assert server.post("/v1/search", {"query": "a", "k": 3}).status_code == 200
    assert server.post("/v1/search", {"query": "a"}).status_code == 200, "the default is no more than what is allowed"


def test_collections_are_told_apart(start: Start) -> None:
    server = start("one.polyvec", "two.polyvec")
    server.put([{"id": "x", "text": "zebra"}], collection="two")
    assert server.search("zebra", k=1, collection="two")[0]["hits"][0]["id"] == "x"
    assert server.search("zebra", k=1, collection="one.polyvec")[0]["hits"][0]["id"] != "x"
    missing = server.post("/v1/search", {"query": "zebra"})
    assert (missing.status_code, missing.json()["detail"]) == (
        422, "collection is missing: expected one of one.polyvec, two.polyvec.",
    )  # fmt: skip
    unknown = server.post("/v1/search", {"query": "zebra", "collection": "three"})
    assert (unknown.status_code, unknown.json()["detail"]) == (
        404, "collection='three': expected one of one.polyvec, two.polyvec.",
    )  # fmt: skip


def test_one_text_that_the_model_refuses_spoils_no_other(shared: Running) -> None:
    """Texts of several requests are encoded together."""

    with ThreadPoolExecutor(8) as pool:
        asked = ["bread oven" if n % 3 else "?!" for n in range(48)]
        answers = list(pool.map(lambda text: shared.post("/v1/search", {"query": text, "k": 1}), asked))
    for text, answer in zip(asked, answers, strict=True):
        if text == "?!":
            assert (answer.status_code, "empty text" in answer.text) == (422, True)
        else:
            assert answer.json()["results"][0]["hits"][0]["id"] == "bread"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["query", "k", "mode", "filter", "subset", "min_score", "options", "explain", "highlights", "collection", "other"]
)


@settings(max_examples=150, deadline=None)
@given(body=st.dictionaries(NAMES, JSON | st.just("bees"), max_size=5) | JSON)
def test_any_body_is_answered(shared: Running, body: Any) -> None:
    answer = shared.post("/v1/search", body)
    assert answer.status_code in (200, 404, 422), answer.text
    if answer.status_code != 200:
        problem = answer.json()
        assert answer.headers["content-type"] == "application/problem+json"
        assert problem["status"] == answer.status_code
        assert problem["detail"]
        assert "\n" not in problem["detail"]


def test_an_answer_says_which_shards_it_goes_without(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    running = start()
    index = running.serving.collections.chosen(None).index
    search, names = index.search, ["shard-002", "shard-001"]

    def partial(*arguments: Any, **keywords: Any) -> Any:
        note_missing(names)
        return search(*arguments, **keywords)

    monkeypatch.setattr(index, "search", partial)
    answer = running.post("/v1/search", {"query": [QUESTION, "bread"]}).json()
    assert (answer["partial"], answer["missing_shards"]) == (True, ["shard-001", "shard-002"])
    names.clear()
    answer = running.post("/v1/search", {"query": QUESTION}).json()
    assert (answer["partial"], "missing_shards" in answer) == (False, False)

    def refused(*arguments: Any, **keywords: Any) -> Any:
        raise ShardsMissingError("No machine answers for shard-001. Ask again later.", ("shard-001",))

    monkeypatch.setattr(index, "search", refused)
    failed = running.post("/v1/search", {"query": QUESTION, "options": {"on_missing": "error"}})
    assert (failed.status_code, failed.json()["type"]) == (503, "/docs#shards-missing")
    assert "shard-001" in failed.json()["detail"]
    assert running.post("/v1/search", {"query": QUESTION, "options": {"on_missing": "wait"}}).status_code == 422
