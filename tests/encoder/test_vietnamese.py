"""Which texts get Vietnamese marks and which stay; that offsets hold, in torch and on native kernels."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvec.data.perturbations import perturbed
from polyvec.encoder import Encoder
from polyvec.encoder.vietnamese import forms, is_vietnamese, syllables, table_name, with_marks
from tests.encoder.toy_checkpoints import copy_saying, make_jina


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("toi muon hoc tieng anh", "tôi muốn học tiếng anh"),
        ("Nguoi dung co the lam gi?", "Người dùng có thể làm gì?"),
        ("thoi tiet hom nay the nao", "thời tiết hôm nay thế nào"),
        ("Ai la chu tich nuoc cua Viet Nam trong nam 1945?", "Ai là chủ tịch nước của Việt Nam trong năm 1945?"),
    ],
)
def test_vietnamese_gets_the_marks_that_fit_the_words_beside_it(text: str, wanted: str) -> None:
    assert with_marks(text) == wanted


def test_the_same_word_gets_other_marks_beside_other_words() -> None:
    assert "có thể" in with_marks("nguoi dung co the lam nhieu viec")
    assert "thế giới" in with_marks("nguoi giau nhat the gioi la ai")


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "42", "Can you do this in an hour?", "The man can do it", "Hanoi", "Ho Chi Minh City", "Nguyen Van Thieu",
        "toi muốn hoc tieng anh", "An interesting man", "Was macht die NATO heute?", "apa yang bisa kami lakukan di sini",
        "wo ai ni ma", "je ne sais quoi", "C'est la vie", "что это", "光合作用", "print(x) in a loop to do",
    ],
)  # fmt: skip
def test_other_languages_names_and_texts_with_marks_stay(text: str) -> None:
    assert with_marks(text) == text


def test_a_sentence_of_ordinary_writing_stays_and_comes_back_without_its_marks() -> None:
    proper = "Khi bạn học một ngôn ngữ mới, bạn có thể làm được nhiều việc hơn."
    assert with_marks(proper) == proper
    typed = perturbed(proper, "noaccents", lang="vi", chance=Random(0)).text
    assert typed.isascii()
    right = [a == b for a, b in zip(with_marks(typed).split(), proper.split(), strict=True)]
    assert sum(right) > 0.7 * len(right)


@given(st.one_of(st.text(), st.lists(st.sampled_from(sorted(syllables())), max_size=30).map(" ".join)))
def test_marks_and_nothing_else_are_added(text: str) -> None:
    found = with_marks(text)
    assert len(found) == len(text)
    if found != text:
        bare = unicodedata.normalize("NFD", found.replace("đ", "d").replace("Đ", "D"))
        assert "".join(c for c in bare if not unicodedata.combining(c)) == unicodedata.normalize("NFC", text)
        assert with_marks(found) == found or found.isascii()


def test_the_table_is_sound() -> None:
    assert len(syllables()) > 1000
    for plain, said in syllables().items():
        assert -4 <= float(said.split(" ")[0]) <= 4
        for form, count in forms(plain).items():
            assert len(form) == len(plain)
            assert form == unicodedata.normalize("NFC", form)
            assert count > 0
    assert len(table_name()) == 16
    assert forms("zzz") == {"zzz": 0}


def test_two_syllables_in_small_letters_are_needed() -> None:
    assert is_vietnamese(["nguoi", "dung"])
    assert not is_vietnamese(["nguoi"])
    assert not is_vietnamese(["Nguoi", "Dung"])
    assert not is_vietnamese([])


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model, and the same that reads capitals as small letters and Vietnamese with its marks."""
    folder = tmp_path_factory.mktemp("models")
    make_jina(folder / "plain")
    return folder / "plain", copy_saying(folder / "plain", folder / "marking", fold_capitals=True, restore_marks=True)


@pytest.mark.parametrize("backend", ["native", "torch"])
def test_a_model_that_restores_marks_reads_them_at_the_same_places(folders: tuple[Path, Path], backend: str) -> None:
    plain, marking = (Encoder(folder, backend=backend) for folder in folders)  # type: ignore[arg-type]
    for typed, meant in (("toi muon hoc", "tôi muốn học"), ("TOI MUON HOC", "tôi muốn học")):
        (mine,), (theirs,) = marking.stream_documents([typed]), plain.stream_documents([meant])
        np.testing.assert_array_equal(mine.token_ids, theirs.token_ids)
        np.testing.assert_array_equal(mine.offsets, theirs.offsets)
        np.testing.assert_allclose(mine.vectors, theirs.vectors, atol=1e-6)
        (mine,), (theirs,) = marking.stream_queries([typed]), plain.stream_queries([meant])
        np.testing.assert_array_equal(mine.token_ids, theirs.token_ids)
