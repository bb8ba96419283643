"""Which texts get Greek accents and which stay; that nothing else changes; that the default model does it."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvec.data.perturbations import perturbed
from polyvec.encoder import Encoder
from polyvec.encoder.greek import TABLE, accented, with_accents, with_question_marks, without_accents
from polyvec.encoder.locate import locate
from tests.encoder.toy_checkpoints import copy_saying

PROPER = "Όταν μαθαίνεις μια νέα γλώσσα, μπορείς να κάνεις περισσότερα πράγματα στη δουλειά σου."
LETTERS = "αβγδεζηθικλμνξοπρσςτυφχψω"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("ποια ειναι η πρωτευουσα της Ελλαδας;", "ποια είναι η πρωτεύουσα της Ελλάδας;"),
        ("Αθηνα", "Αθήνα"),
        ("το ΝΑΤΟ και το αυτοκινητο μου", "το ΝΑΤΟ και το αυτοκίνητο μου"),
        ("Ενας ανθρωπος", "Ένας άνθρωπος"),
        ("προυποθεση", "προϋπόθεση"),
    ],
)
def test_words_that_were_seen_get_their_accents(text: str, wanted: str) -> None:
    assert with_accents(text) == wanted


def test_a_word_never_seen_gets_the_accent_of_its_ending() -> None:
    known = TABLE.read_text(encoding="utf-8").split()
    assert "σκληραγωγημένος" not in known
    assert accented("σκληραγωγημενος") == "σκληραγωγημένος"


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "42", "Was ist das?", "что это", "光合作用", "the π of a circle", "μ", "ΝΑΤΟ", "αβ T cells", PROPER,
        "η Αθήνα ειναι μεγαλη", "ἐν ἀρχῇ ην ο λογος", "e\u0301 και α",
    ],
)  # fmt: skip
def test_other_texts_stay(text: str) -> None:
    assert with_accents(text) == text


def test_a_sentence_of_ordinary_writing_comes_back_without_its_accents() -> None:
    typed = perturbed(PROPER, "noaccents", lang="el", chance=Random(0)).text
    assert typed != PROPER
    right = [a == b for a, b in zip(with_accents(typed).split(), PROPER.split(), strict=True)]
    assert sum(right) > 0.8 * len(right)


@given(
    st.one_of(st.text(), st.text(alphabet=LETTERS + LETTERS.upper() + " ,;"), st.text(alphabet=LETTERS).map(str.title))
)
def test_accents_and_nothing_else_are_added(text: str) -> None:
    found = with_accents(text)
    assert len(found) == len(text)
    if found != text:
        assert without_accents(found) == without_accents(text)
        assert with_accents(found) == found


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Πού είναι η Αθήνα;", "Πού είναι η Αθήνα?"),
        ("ΠΟΙΟΣ ΕΙΝΑΙ;", "ΠΟΙΟΣ ΕΙΝΑΙ?"),
        ("Σε πόσες μπαλιές έκανε interception ο Josh Norman;", "Σε πόσες μπαλιές έκανε interception ο Josh Norman?"),
        ("«Γιατί;» ρώτησε. Τι είπε;;", "«Γιατί?» ρώτησε. Τι είπε;?"),
        ("one; two\u037e", "one; two?"),
    ],
)
def test_the_mark_of_a_greek_question_is_read_as_one(text: str, wanted: str) -> None:
    assert with_question_marks(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "",
        ";",
        "int x = 1; // one",
        "first; second",
        "что; это",
        "Αθήνα &amp; Πάτρα &#39; το",
        "αβγ and delta; more words",
        "α;β",
    ],
)
def test_other_semicolons_stay(text: str) -> None:
    assert with_question_marks(text) == text


@given(st.one_of(st.text(), st.text(alphabet=LETTERS + " ;\u037e?·ab")))
def test_question_marks_and_nothing_else_are_changed(text: str) -> None:
    found = with_question_marks(text)
    assert len(found) == len(text)
    assert all(a == b or (a in ";\u037e" and b == "?") for a, b in zip(text, found, strict=True))


def test_a_model_says_whether_it_reads_greek_question_marks(tmp_path: Path) -> None:
    vectors, prints = {}, set()
    for name, said in (("with", True), ("without", False)):
        encoder = Encoder(copy_saying(locate(None).folder, tmp_path / name, greek_question_mark=said), threads=1)
        assert encoder.layout.greek_question_mark is said
        prints.add(encoder.fingerprint)
        vectors[name] = [
            one.vectors for one in encoder.stream_queries(["Πού είναι η Αθήνα;", "Πού είναι η Αθήνα?", "Where; when"])
        ]
    assert len(prints) == 2
    np.testing.assert_allclose(vectors["with"][0], vectors["with"][1], atol=1e-3)
    assert not np.allclose(vectors["without"][0], vectors["without"][1], atol=1e-2)
    for one, other in zip(vectors["with"][1:], vectors["without"][1:], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)


def test_the_table_is_sound() -> None:
    words = TABLE.read_text(encoding="utf-8").split()
    assert len(words) > 10_000
    assert len({without_accents(word) for word in words}) == len(words)
    assert all(word == word.lower() and len(without_accents(word)) == len(word) for word in words)


def test_the_default_model_reads_greek_without_accents_and_in_capitals() -> None:
    encoder = Encoder(threads=1)
    (meant,) = encoder.stream_queries(["ποια είναι η πρωτεύουσα της ελλάδας;"])
    for typed in ("ποια ειναι η πρωτευουσα της ελλαδας;", "ΠΟΙΑ ΕΙΝΑΙ Η ΠΡΩΤΕΥΟΥΣΑ ΤΗΣ ΕΛΛΑΔΑΣ;"):
        (found,) = encoder.stream_queries([typed])
        np.testing.assert_array_equal(found.token_ids, meant.token_ids)
        np.testing.assert_array_equal(found.vectors, meant.vectors)
