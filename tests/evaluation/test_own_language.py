"""The share of the query's language among hits and judgments."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from polyvec.evaluation.own_language import own_language

DOCUMENTS = {"a": "de", "b": "de", "c": "en", "d": "fr"}


def test_shares_by_hand() -> None:
    qrels = {"q": {"a": 1, "c": 2, "d": 1, "b": 0}, "r": {"c": 1}, "s": {"a": 1}}
    run = {"q": {"a": 3.0, "b": 2.0, "c": 1.0, "x": 9.0}, "r": {"a": 1.0, "c": 2.0}, "s": {}}
    found = own_language(qrels, run, {"q": "de", "r": "en", "s": "de"}, DOCUMENTS)
    assert found["de"] == {"found": round(2 / 3, 6), "judged": round(1 / 3, 6)}
    assert found["en"] == {"found": 0.5, "judged": 1.0}
    assert found["all"] == {"found": round((2 / 3 + 1 / 2) / 2, 6), "judged": round((1 / 3 + 1) / 2, 6)}


def test_documents_of_one_language_have_none() -> None:
    assert own_language({"q": {"a": 1}}, {"q": {"a": 1.0}}, {"q": "de"}, {"a": "de", "b": "de"}) == {}
    assert own_language({}, {}, {}, DOCUMENTS) == {}


@given(st.dictionaries(st.sampled_from("abcdx"), st.floats(0, 1)), st.sampled_from(["de", "en", "fr", "it"]))
def test_shares_are_shares(hits: dict[str, float], lang: str) -> None:
    found = own_language({"q": {"a": 1}}, {"q": hits}, {"q": lang}, DOCUMENTS)
    for row in found.values():
        assert 0 <= row["found"] <= 1
        assert row["judged"] == (1.0 if lang == "de" else 0.0)


def test_only_the_first_ten_hits_count() -> None:
    documents = {f"d{i}": "de" if i < 20 else "en" for i in range(40)}
    run = {"q": {f"d{i}": float(i) for i in range(40)}}
    assert own_language({"q": {"d1": 1}}, run, {"q": "de"}, documents)["all"]["found"] == 0.0
