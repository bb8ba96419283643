from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from polyvec.errors import InputError
from polyvec.training.mixing import Mixture
from polyvec.training.passages import as_joined, as_passages, sentences
from polyvec.training.recipe import Batches, Data
from tests.training.conftest import write_rows

TURNS = ("to_english", "from_english", "within")


def rows(code: str, documents: int = 3, paragraphs: int = 12) -> list[dict[str, object]]:
    """Paragraphs of two sentences, the same English in every language."""
    made: list[dict[str, object]] = []
    for document in range(documents):
        for i in range(paragraphs):
            en = f"English sentence {document} {i} of many words. Another English one {document} {i}."
            text = f"{code} sentence {document} {i} of many words. Another {code} one {document} {i}."
            made.append({"lang": code, "en": en, "text": text, "page": f"page {document}"})
    return made


def test_joined_rows_keep_every_paragraph_once_and_in_order() -> None:
    found = list(as_joined(rows("de"), 60, "page", "a.jsonl"))
    assert 3 < len(found) < 36
    for side in ("en", "text"):
        assert " ".join(row[side] for row in found) == " ".join(str(row[side]) for row in rows("de"))
    assert all(row["lang"] == "de" and row["group"].startswith("page ") for row in found)
    inside = [row for row in found if row["group"].split("/")[0] == "page 0"]
    assert "page 1" not in str(inside)
    assert all("Another de one 1" not in row["text"] for row in inside)  # never over the end of a document
    assert all(len(row["en"]) // 4 < 60 + 25 for row in found)  # the paragraph that fills it may run over


def test_documents_are_cut_alike_in_every_language() -> None:
    german, french = (list(as_joined(rows(code), 60, "page", "a")) for code in ("de", "fr"))
    assert [(row["en"], row["group"]) for row in german] == [(row["en"], row["group"]) for row in french]
    assert len({row["group"] for row in german}) == len(german)
    asked = [{row["group"] for row in as_passages(rows(code), 60, "page", "a", TURNS)} for code in ("de", "fr")]
    assert asked[0] == asked[1]


def test_stretches_that_say_the_same_never_meet_in_a_batch(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", [row for code in ("de", "fr", "es") for row in rows(code)])
    for kind in ("joined", "passages"):
        data = Data(path=str(path), kind=kind, group_field="page", passage_tokens=60)  # type: ignore[arg-type]
        mixture = Mixture((data,), Batches(rows=12, tokens=10_000), seed=0, cache=tmp_path / "c")
        for batch in islice(mixture.batches(), 10):
            groups = [row["group"] for row in batch.rows]
            assert len(set(groups)) == len(groups)


@pytest.mark.parametrize(
    ("turn", "asks", "answers"),
    [("to_english", "de", "English"), ("from_english", "English", "de"), ("within", "de", "de")],
)
def test_turns_say_which_side_asks(turn: Any, asks: str, answers: str) -> None:
    found = list(as_passages(rows("de"), 60, "page", "a", [turn]))
    assert found
    for row in found:
        assert asks in row["query"]
        assert answers in row["document"]
        assert (asks == answers) or asks not in row["document"]
    assert {row["document"].count("sentence") for row in found} != {1}  # passages of several paragraphs


def test_turns_follow_each_other_and_half_of_the_sentences_are_taken_out() -> None:
    found = list(as_passages(rows("de", 20), 60, "page", "a", TURNS))
    sides = {("English" in row["query"], "English" in row["document"]) for row in found}
    assert sides == {(False, True), (True, False), (False, False)}
    within = list(as_passages(rows("de", 20), 60, "page", "a", ["within"]))
    missing = sum(row["query"] not in row["document"] for row in within)
    assert 0.3 < missing / len(within) < 0.7
    assert found == list(as_passages(rows("de", 20), 60, "page", "a", TURNS))


def test_sentences_of_any_script_long_enough_to_mean_something() -> None:
    assert sentences("Plants turn light into sugar. Yes. They do it every day!") == [
        "Plants turn light into sugar.",
        "They do it every day!",
    ]
    assert sentences("植物把光变成糖。是的。它们每天都这样做。") == ["植物把光变成糖。", "它们每天都这样做。"]
    assert len(sentences("पौधे प्रकाश को चीनी में बदलते हैं। वे हर दिन ऐसा करते हैं।")) == 2


def test_a_row_without_a_side_is_named() -> None:
    with pytest.raises(InputError, match=r"a\.jsonl, row 2: text is missing"):
        list(as_joined([*rows("de")[:1], {"lang": "de", "en": "x"}], 60, "page", "a.jsonl"))
