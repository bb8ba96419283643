"""What is done to a text, that it says where its characters come from, and that a seed gives it again."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvec.data.perturbations import PERTURBATIONS, Perturbation, bare, common_words, perturbed, then

TEXTS = st.one_of(
    st.text(),
    st.text("aäßİIıĞçđŁøéẾ őœæΆάςσёйїЩאָّأखी்ไทย中かカ가 ?!,.\n", max_size=80),
)
LANGUAGES = st.sampled_from(["und", "de", "tr", "az", "el", "vi", "ru", "hi", "zh-Hant", "pt_BR"])


def changed(text: str, kind: Perturbation, lang: str = "und", seed: int = 0) -> str:
    return perturbed(text, kind, lang=lang, chance=Random(seed)).text


@given(text=TEXTS, kind=st.sampled_from(PERTURBATIONS), lang=LANGUAGES, seed=st.integers(0, 99))
def test_every_character_has_an_origin_and_a_seed_repeats_itself(
    text: str, kind: Perturbation, lang: str, seed: int
) -> None:
    found = perturbed(text, kind, lang=lang, chance=Random(seed))
    assert found == perturbed(text, kind, lang=lang, chance=Random(seed))
    assert len(found.text) == len(found.origins)
    assert all(0 <= place < len(text) for place in found.origins)
    assert bool(found.text.strip()) == bool(text.strip())
    if kind in ("upper", "lower", "noaccents", "nopunctuation", "latin"):
        assert list(found.origins) == sorted(found.origins)
        kept = [text[place] for place in found.origins]
        assert sum(a.isspace() != b.isspace() for a, b in zip(kept, found.text, strict=True)) == 0


@given(text=TEXTS, seed=st.integers(0, 99))
def test_two_changes_know_where_they_come_from(text: str, seed: int) -> None:
    first = perturbed(text, "typos", chance=Random(seed))
    second = perturbed(first.text, "noaccents", chance=Random(seed))
    both = then(first, second)
    assert both.text == second.text
    assert both.origins == tuple(first.origins[place] for place in second.origins)


@pytest.mark.parametrize(
    ("kind", "lang", "text", "wanted"),
    [
        ("upper", "de", "Größe, Straße", "GRÖSSE, STRASSE"),
        ("upper", "tr", "ilk ışık", "İLK IŞIK"),
        ("upper", "en", "ilk", "ILK"),
        ("upper", "el", "Ποιος είναι;", "ΠΟΙΟΣ ΕΙΝΑΙ;"),
        ("lower", "tr", "IŞIK İLE", "ışık ile"),
        ("lower", "en", "IBM İ", "ibm i"),
        ("noaccents", "vi", "Người đàn ông ở Đà Nẵng", "Nguoi dan ong o Da Nang"),
        ("noaccents", "pl", "Łódź, żółw", "Lodz, zolw"),
        ("noaccents", "tr", "ığdır", "igdir"),
        ("noaccents", "el", "είναι", "ειναι"),
        ("noaccents", "ar", "مَن أحمد", "من احمد"),
        ("noaccents", "hi", "मैं हूँ", "मैं हूँ"),  # vowels, not marks
        ("noaccents", "th", "ไทยที่", "ไทยที่"),
        ("noaccents", "ru", "ещё йод", "еще йод"),
        ("nopunctuation", "el", "Ποιος είναι;", "Ποιος είναι"),
        ("nopunctuation", "es", "¿Quién,  el  «rey»?", "Quién el rey"),
        ("nopunctuation", "en", "Is B-52 (a plane) - or not... ?", "Is B-52 a plane or not"),
        ("nopunctuation", "zh", "谁是毛泽东？", "谁是毛泽东"),
        ("nopunctuation", "en", "?!", "?!"),  # nothing else is there
        ("latin", "el", "Ποιος είναι", "Poios einai"),
        ("latin", "uk", "Київ", "Kiyiv"),
        ("latin", "de", "Köln", "Köln"),
        ("typos", "zh", "谁是毛泽东先生", "谁是毛泽东先生"),
    ],
)
def test_changes(kind: Perturbation, lang: str, text: str, wanted: str) -> None:
    assert changed(text, kind, lang) == wanted


def test_german_is_written_either_way_without_umlauts() -> None:
    assert {changed("Größe", "noaccents", "de", seed) for seed in range(20)} == {"Grosse", "Groesse"}


def test_slips_are_few_and_spare_words_and_spaces() -> None:
    text = "Photosynthese verwandelt Sonnenlicht und Wasser langsam"
    found = {changed(text, "typos", seed=seed) for seed in range(30)}
    assert len(found) > 20
    for one in found:
        assert "und" in one.split()  # too short to slip in
        assert len(one.split()) == len(text.split())
        assert abs(len(one) - len(text)) <= 4


def test_keywords_leave_out_common_words() -> None:
    texts = ["what is the name of the river", "what is the colour of the sky", "who is the king"]
    common = common_words(texts)
    assert {"what", "is", "the", "of"} == common
    found = perturbed("What is the name of the river?", "keywords", chance=Random(0), common=common)
    assert found.text == "name river"
    assert perturbed("What is?", "keywords", chance=Random(0), common=common).text == "What is"  # nothing else is there
    assert len(changed("one two three four five", "keywords").split()) == 3


def test_bare_words() -> None:
    assert [bare(word) for word in ("«Wer?»", "U.S.", "...", "B-52,")] == ["wer", "u.s", "", "b-52"]
