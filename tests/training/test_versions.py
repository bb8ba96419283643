from __future__ import annotations

import json
from collections import Counter
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest

from polyvec.errors import InputError
from polyvec.training.mixing import Mixture
from polyvec.training.recipe import Batches, Data, as_recipe
from polyvec.training.versions import as_versions, asked, asked_in_every
from tests.training.conftest import write_rows

CODES = ("de", "fr", "el", "th")


def rows(codes: tuple[str, ...] = CODES, documents: int = 6, paragraphs: int = 12) -> list[dict[str, Any]]:
    """Paragraphs of two sentences, the same English in every language; words of a language begin with its code."""
    made = []
    for code in codes:
        for document in range(documents):
            for i in range(paragraphs):
                parts = [
                    {
                        c: " ".join(f"{c}{word}{document}x{i}x{part}" for word in "abcdefg") + f" {c}common."
                        for c in (code, "en")
                    }
                    for part in range(2)
                ]
                en, text = (" ".join(part[c] for part in parts) for c in ("en", code))
                made.append({"lang": code, "en": en, "text": text, "page": f"page {document}"})
    return made


def stretches(found: list[dict[str, Any]] | None = None, wanted: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    return list(as_versions(found or rows(), 200, "page", "a.jsonl", set(wanted)))


def test_a_stretch_has_every_language_cut_alike() -> None:
    found = stretches()
    assert len({row["group"] for row in found}) == len(found) > 6
    for row in found:
        assert set(row["codes"]) == {*CODES, "en"}
        english = row["texts"][row["codes"].index("en")]
        for code, texts in zip(row["codes"], row["texts"], strict=True):
            assert [text.replace(code, "en") for text in texts] == english
    whole = [text for row in found for text in row["texts"][row["codes"].index("el")]]
    assert whole == [row["text"] for row in rows(("el",))]


def test_a_language_that_lacks_most_of_a_stretch_is_left_out_of_it() -> None:
    french = [row for i, row in enumerate(rows(("fr",))) if i % 12 < 3]  # a quarter of every page, at its head
    found = stretches(rows(("el",)) + french)
    having = [row for row in found if "fr" in row["codes"]]
    assert 0 < len(having) < len(found)
    assert all(row["group"].endswith("/0") for row in having)
    assert all("el" in row["codes"] for row in found)


def test_order_is_that_of_the_most_complete_language() -> None:
    late = rows(("fr",))[5:6]  # read first, and has one paragraph in the middle
    found = stretches(late + rows(("el",)))
    assert [text for row in found for text in row["texts"][row["codes"].index("el")] if text] == [
        row["text"] for row in rows(("el",))
    ]


def test_only_the_languages_asked_for() -> None:
    assert {code for row in stretches(wanted=("de", "el")) for code in row["codes"]} == {"de", "el"}
    assert {code for row in stretches(wanted=("de", "en")) for code in row["codes"]} == {"de", "en"}


def test_question_and_passage_take_languages_of_their_own() -> None:
    pairs: Counter[bool] = Counter()
    for seed in range(40):
        found = asked(stretches(), 2, ["between"], Random(seed))
        sides = [(row["query"][:2], row["document"][:2]) for row in found]
        assert len({code for side in sides for code in side}) <= 2
        assert all(row["lang"] == side[0] for row, side in zip(found, sides, strict=True))
        pairs.update(asking == answering for asking, answering in sides)
    assert 0.4 < pairs[True] / pairs.total() < 0.6  # language is no sign of an answer
    languages = {row["lang"] for seed in range(40) for row in asked(stretches(), 2, ["between"], Random(seed))}
    assert languages == {*CODES, "en"}


def test_a_sentence_asks_for_its_own_passage_which_lacks_it_at_times() -> None:
    number = {f"{row['group']}": row for row in stretches()}
    lacking: Counter[bool] = Counter()
    for seed in range(20):
        for row in asked(stretches(), 3, ["between"], Random(seed)):
            known = dict(zip(number[row["group"]]["codes"], number[row["group"]]["texts"], strict=True))
            assert row["query"] in " ".join(known[row["lang"]])
            answering = row["document"][:2]
            if answering == row["lang"]:
                lacking[row["query"] not in row["document"]] += 1
            else:
                assert row["document"] == " ".join(known[answering])
    assert 0.35 < lacking[True] / lacking.total() < 0.65


def test_keywords_are_words_of_the_passage_in_order_rare_ones_first() -> None:
    common = [f"common{i}" for i in range(60)]
    texts = [" ".join([*common, *(f"Rare{i}x{j}," for j in range(15))]) for i in range(6)]
    made = [{"group": str(i), "codes": ["de"], "texts": [[text]]} for i, text in enumerate(texts)]
    counts: Counter[str] = Counter()
    noisy = 0
    for seed in range(60):
        for row in asked(made, 1, ["keywords"], Random(seed)):
            words = row["query"].split()
            assert 3 <= len(words) <= 11  # eight, and up to three from elsewhere
            assert set(words) <= set(row["document"].replace(",", "").split())  # as written, without punctuation
            rare = [int(word.split("x")[1]) for word in words if word.startswith("Rare")]
            assert rare == sorted(rare)
            counts.update(word[:4] for word in words)
            noisy += len(words) > 8
    assert 0.35 < counts["Rare"] / counts.total() < 0.7  # a fifth of the words of a text
    assert noisy > 10


def test_keywords_of_scripts_without_spaces_are_short_spans() -> None:
    text = "植物把光变成糖并且它们每天都这样做所以我们才有空气可以呼吸"
    stretch = [{"group": str(i), "codes": ["zh"], "texts": [[text + str(i)]]} for i in range(4)]
    for row in asked(stretch, 1, ["keywords"], Random(3)):
        spans = row["query"].split()
        assert len(spans) >= 3
        assert all(len(span) <= 5 for span in spans)
        assert sum(span in row["document"] for span in spans) >= 3


def test_batches_repeat_resume_and_hold_few_languages(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", rows())
    data = Data(path=str(path), kind="versions", group_field="page", passage_tokens=200, together=2)
    mixture = Mixture((data,), Batches(rows=8, tokens=10_000), seed=2, cache=tmp_path / "c")
    assert set(mixture.sources[0].counts()) == {*CODES, "en"}
    batches = list(islice(mixture.batches(), 12))
    assert batches[7:] == list(islice(mixture.batches(7), 5))
    for batch in batches:
        assert 2 <= len({row["lang"] for row in batch.rows} | {row["document"][:2] for row in batch.rows}) <= 2
        assert len({row["group"] for row in batch.rows}) == len(batch.rows) > 2
    assert len({tuple(sorted({row["lang"] for row in batch.rows})) for batch in batches}) > 3


@pytest.mark.parametrize(("kind", "turn"), [("versions", "within"), ("passages", "keywords"), ("pairs", "between")])
def test_a_turn_that_the_kind_does_not_have(kind: str, turn: str) -> None:
    values = {"stage": "pairs", "output": "x", "data": [{"path": "a", "kind": kind, "turns": [turn]}]}
    with pytest.raises(InputError, match=f"kind '{kind}' has no turn '{turn}'"):
        as_recipe(values)


def test_every_language_of_a_batch_asks_and_answers() -> None:
    number = {row["group"]: dict(zip(row["codes"], row["texts"], strict=True)) for row in stretches()}
    lacking: Counter[bool] = Counter()
    for seed in range(10):
        found = asked_in_every(stretches(), 3, ["between"], Random(seed))
        assert len({tuple(row["codes"]) for row in found}) == 1  # all speak the batch's three languages
        for row in found:
            assert len(row["codes"]) == len(row["queries"]) == len(row["documents"]) == 3
            assert (row["query"], row["document"], row["lang"]) == (
                row["queries"][0],
                row["documents"][0],
                row["codes"][0],
            )
            for code, query, document in zip(row["codes"], row["queries"], row["documents"], strict=True):
                whole = " ".join(number[row["group"]][code])
                assert query in whole
                assert set(document.split()) <= set(whole.split())
                lacking[query not in document] += 1
    assert 0.35 < lacking[True] / lacking.total() < 0.65


def test_neighbors_come_together(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", rows(documents=8, paragraphs=24))
    data = Data(
        path=str(path), kind="versions", group_field="page", passage_tokens=60, together=2, every=True, neighbors=4
    )
    mixture = Mixture((data,), Batches(rows=8, tokens=10_000), seed=2, cache=tmp_path / "c")
    order = [row["group"] for row in stretches_of(path)]
    for batch in islice(mixture.batches(), 6):
        places = sorted(order.index(row["group"]) for row in batch.rows)
        assert len(places) == len(set(places)) <= 8
        runs = {place // 4 for place in places}
        assert len(runs) <= 2 or len(places) > 4 * len(runs) - 4
    assert list(islice(mixture.batches(3), 3)) == list(islice(mixture.batches(), 6))[3:]


def stretches_of(path: Path) -> list[dict[str, Any]]:
    return list(as_versions([json.loads(line) for line in path.read_text().splitlines()], 60, "page", "a.jsonl", set()))


def test_every_is_for_stage_robust_alone() -> None:
    one = {"path": "a.jsonl", "kind": "versions", "every": True}
    values = {"output": "b", "model": {"start": "c"}, "data": [one]}
    assert as_recipe({"stage": "robust", **values}).data[0].every
    with pytest.raises(InputError, match="every = true is for stage 'robust'"):
        as_recipe({"stage": "pairs", **values})
    with pytest.raises(InputError, match="neighbors"):
        as_recipe({"stage": "robust", **values, "data": [{**one, "neighbors": 0}]})
