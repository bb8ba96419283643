"""Which texts in capitals are read in small letters; that offsets hold, in torch and on native kernels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvec.encoder import Encoder
from polyvec.encoder.capitals import without_capitals
from tests.encoder.toy_checkpoints import copy_saying, make_jina


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("WO LIEGT BERLIN?", "wo liegt berlin?"),
        ("WIE HEISST DER GRÖẞTE FLUSS?", "wie heisst der größte fluss?"),
        ("İLK IŞIK NEREDE?", "ilk ışık nerede?"),
        ("NGƯỜI ĐÀN ÔNG Ở ĐÀ NẴNG", "người đàn ông ở đà nẵng"),
        ("ΜΕΓΑΛΟΣ ΠΟΤΑΜΟΣ", "μεγαλος ποταμος"),
        ("КТО ЖИЛ ЗДЕСЬ В 1905?", "кто жил здесь в 1905?"),
        ("BERLIN", "berlin"),
        ("CHAPTER ONE: The boy", "chapter one: The boy"),
        ("Er rief: KOMMT ALLE HER! Dann ging er.", "Er rief: kommt alle her! Dann ging er."),
    ],
)
def test_texts_and_stretches_in_capitals(text: str, wanted: str) -> None:
    assert without_capitals(text) == wanted
    assert len(text) == len(wanted)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "42", "NATO", "USA", "Was macht die NATO heute?", "Die UNESCO und die UNICEF tagen.", "NHKの社長は誰ですか",
        "使用 IBM 计算机", "iPHONE XR", "ใครคือ WHO", "McDONALD", "A", "Der Typ B-52 fliegt.", "ǅ",
    ],
)  # fmt: skip
def test_abbreviations_and_ordinary_writing_stay(text: str) -> None:
    assert without_capitals(text) == text


@given(st.one_of(st.text(), st.text("ABCİIĞẞΣΟabc ß1,.\n中كخ", max_size=60)))
def test_no_text_changes_its_length_nor_twice(text: str) -> None:
    once = without_capitals(text)
    assert len(once) == len(text)
    assert without_capitals(once) == once
    assert [a.isspace() for a in once] == [b.isspace() for b in text]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model, and the same that reads capitals as small letters."""
    folder = tmp_path_factory.mktemp("models")
    make_jina(folder / "plain")
    return folder / "plain", copy_saying(folder / "plain", folder / "folding", fold_capitals=True)


@pytest.mark.parametrize("backend", ["native", "torch"])
def test_a_model_that_folds_reads_small_letters_at_the_same_places(folders: tuple[Path, Path], backend: str) -> None:
    plain, folding = (Encoder(folder, backend=backend) for folder in folders)  # type: ignore[arg-type]
    given, small = "HELLO  PLANTS, LIGHT!", "hello  plants, light!"
    (loud,), (quiet,) = folding.stream_documents([given]), plain.stream_documents([small])
    np.testing.assert_array_equal(loud.token_ids, quiet.token_ids)
    np.testing.assert_array_equal(loud.offsets, quiet.offsets)
    np.testing.assert_allclose(loud.vectors, quiet.vectors, atol=1e-6)
    (loud,), (quiet,) = folding.stream_queries([given]), plain.stream_queries([small])
    np.testing.assert_array_equal(loud.token_ids, quiet.token_ids)
    (as_given,) = plain.stream_documents([given])
    assert list(as_given.token_ids) != list(quiet.token_ids)


def test_special_tokens_in_capitals_are_characters(folders: tuple[Path, Path]) -> None:
    folding = Encoder(folders[1])
    special = set(folding._tokens._special)
    for text in ("HELLO <MASK> WORLD", "HELLO <S> </S> WORLD"):
        ((piece,),) = folding._tokens.documents([text])
        inside = piece.ids[piece.offsets[:, 1] > piece.offsets[:, 0]]
        unknown = folding._tokens.tokenizer.unk_token_id
        assert not (set(inside.tolist()) - {unknown}) & special
