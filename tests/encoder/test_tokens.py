"""What happens to texts between the caller and the model: windows, padding of queries, offsets in any script,
pooling."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyvec.encoder import Encoder
from polyvec.encoder.batches import token_batches
from polyvec.encoder.tokens import _Raw
from polyvec.errors import InputError
from tests.encoder.toy_checkpoints import make_jina, make_stanford


@pytest.fixture(scope="module")
def jina(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("jina") / "m"
    make_jina(folder)
    return folder


@pytest.fixture(scope="module")
def whole(jina: Path) -> Encoder:
    return Encoder(jina, skiplist="none", document_length=8192)


LONG = " ".join(f"{word} light" for word in ("hello", "world", "plants", "sugar") * 40)


@pytest.mark.parametrize(("length", "overlap"), [(64, 16), (64, 0), (20, 9), (8, 32), (300, 32)])
def test_windows_keep_every_token_once(jina: Path, whole: Encoder, length: int, overlap: int) -> None:
    windowed = Encoder(jina, skiplist="none", document_length=length, long_documents="window", window_overlap=overlap)
    (mine,), (theirs,) = windowed.stream_documents([LONG]), whole.stream_documents([LONG])
    np.testing.assert_array_equal(mine.token_ids, theirs.token_ids)
    np.testing.assert_array_equal(mine.offsets, theirs.offsets)
    assert not mine.truncated


def test_a_short_document_has_one_window(jina: Path, whole: Encoder) -> None:
    windowed = Encoder(jina, skiplist="none", document_length=64, long_documents="window")
    np.testing.assert_allclose(windowed.encode_document("hello"), whole.encode_document("hello"), atol=1e-6)


def test_8192_tokens_in_one_piece(whole: Encoder) -> None:
    assert whole.encode_document("hello " * 9000).shape[0] == 8192


@settings(max_examples=40, deadline=None)
@given(
    words=st.lists(
        st.sampled_from(["hello", "light", "  ", "\n", "e\u0301", "光合作用", "plants,", "x" * 30]), min_size=60
    ),
    repeats=st.integers(1, 12),
    gap=st.sampled_from([" ", "\n\n", ""]),
)
def test_the_front_of_a_long_document_has_the_tokens_of_the_whole(
    cutting: Encoder, words: list[str], repeats: int, gap: str
) -> None:
    text = gap.join(words * repeats) + "."
    tokens, limit = cutting._tokens, cutting.document_length
    ((piece,),) = tokens.documents([text])
    (raw,) = tokens._encode([text], tokens.layout.document_prompt)
    cut = raw.cut(limit) if len(raw.ids) > limit else raw
    np.testing.assert_array_equal(piece.ids, cut.ids)
    np.testing.assert_array_equal(piece.offsets, cut.offsets)
    assert piece.truncated == (len(raw.ids) > limit)


@pytest.fixture(scope="module", params=["jina", "stanford", "default"])
def cutting(request: pytest.FixtureRequest, jina: Path, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    if request.param == "default":
        return Encoder(document_length=12, backend="native")
    folder = jina
    if request.param == "stanford":
        folder = tmp_path_factory.mktemp("stanford") / "m"
        make_stanford(folder)
    return Encoder(folder, document_length=12, backend="native")


def test_the_end_of_a_long_document_is_not_tokenized(cutting: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    encode = cutting._tokens._encode

    def noting(texts: Sequence[str], prompt: str) -> list[_Raw]:
        seen.extend(len(text) for text in texts)
        return encode(texts, prompt)

    monkeypatch.setattr(cutting._tokens, "_encode", noting)
    cutting._tokens.documents(["hello light " * 80_000])
    assert max(seen) < 1000


def test_cutting_keeps_the_closing_token(jina: Path, whole: Encoder, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="polyvec"):
        (cut,) = Encoder(jina, skiplist="none", document_length=16).stream_documents([LONG])
    (all_of_it,) = whole.stream_documents([LONG])
    assert cut.truncated
    assert cut.token_ids.tolist() == [*all_of_it.token_ids[:15], all_of_it.token_ids[-1]]


@pytest.mark.parametrize(
    ("options", "vectors"),
    [
        ({}, 32),
        ({"query_length": 8}, 8),
        ({"query_augmentation": "none"}, 5),
        ({"query_augmentation": "min", "query_length": 12}, 12),
        ({"query_length": 3}, 5),
    ],
    ids=str,
)
def test_query_augmentation(jina: Path, options: dict[str, object], vectors: int) -> None:
    assert len(Encoder(jina, **options).encode_query("hello world")) == vectors  # type: ignore[arg-type]


def test_mask_tokens_that_are_not_attended_to_change_nothing_else(tmp_path: Path) -> None:
    make_stanford(tmp_path / "m")
    padded = Encoder(tmp_path / "m").encode_query("hello world")
    bare = Encoder(tmp_path / "m", query_augmentation="none").encode_query("hello world")
    np.testing.assert_allclose(padded[: len(bare)], bare, atol=1e-6)
    seen = Encoder(tmp_path / "m", attend_to_mask=True).encode_query("hello world")
    assert np.abs(seen[: len(bare)] - bare).max() > 1e-3


def test_queries_of_any_length_in_one_batch(jina: Path) -> None:
    encoder = Encoder(jina)
    texts = ["hello", "hello world " * 30, "light", "hello " * 7]
    for together, text in zip(encoder.encode_query(texts), texts, strict=True):
        np.testing.assert_allclose(together, encoder.encode_query(text), atol=1e-5)


@given(
    text=st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60).filter(lambda t: t.strip())
)
@settings(max_examples=60, deadline=None)
def test_offsets_lie_in_the_text_and_go_forward(whole: Encoder, text: str) -> None:
    (encoded,) = whole.stream_documents([text])
    assert encoded.offsets is not None
    spans = [(int(a), int(b)) for a, b in encoded.offsets if b > a]
    assert all(0 <= a < b <= len(text) for a, b in spans)
    assert [a for a, _ in spans] == sorted(a for a, _ in spans)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("नमस्ते hello", {"hello"}),  # combining marks
        ("مرحبا hello", {"hello"}),  # right to left
        ("光合作用hello", {"光", "合", "作", "用"}),  # no spaces
        ("  hello   world ", {"hello", "world"}),
        ("😀 hello", {"hello"}),
    ],
)
def test_offsets_in_any_script(whole: Encoder, text: str, words: set[str]) -> None:
    (encoded,) = whole.stream_documents([text])
    assert encoded.offsets is not None
    assert words <= {text[a:b] for a, b in encoded.offsets.tolist()}


def test_pooling_keeps_about_one_vector_in_the_factor(jina: Path, whole: Encoder) -> None:
    pooled = Encoder(jina, skiplist="none", document_length=8192, pool_factor=3)
    (mine,), full = pooled.stream_documents([LONG]), whole.encode_document(LONG)
    assert len(full) / 3.3 < len(mine.vectors) < len(full) / 2.7
    np.testing.assert_allclose(np.linalg.norm(mine.vectors, axis=1), 1, atol=1e-5)
    assert mine.offsets is None
    assert set(mine.token_ids.tolist()) == {-1}
    assert len(mine.token_ids) == len(mine.vectors)
    assert len(pooled.encode_query("hello")) == 32
    assert pooled.fingerprint != whole.fingerprint


def test_unicode_skiplist_keeps_the_unknown_token(jina: Path) -> None:
    encoder = Encoder(jina, skiplist="unicode")
    tokenizer = encoder.model.tokenizer
    dropped = set(tokenizer.convert_ids_to_tokens(sorted(encoder.layout.document_skip)))
    assert {"。", "،", "।", "؟", ",", "▁,", "▁"} <= dropped
    assert not dropped & {"<unk>", "<s>", "</s>", "hello", "+", "$"}
    (encoded,) = encoder.stream_documents(["hello ☃ world。"])
    assert tokenizer.unk_token_id in encoded.token_ids


@given(lengths=st.lists(st.integers(1, 50), max_size=40), budget=st.integers(1, 120), padded=st.booleans())
def test_batches_hold_every_text_once_and_keep_to_the_budget(lengths: list[int], budget: int, padded: bool) -> None:
    batches = token_batches(lengths, budget, padded=padded)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        sizes = [lengths[i] for i in batch]
        cost = max(sizes) * len(sizes) if padded else sum(sizes)
        assert cost <= budget or len(batch) == 1


def test_several_processes_give_the_same_in_order(jina: Path) -> None:
    encoder = Encoder(jina)
    texts = [f"hello {'world ' * (i % 9)}" for i in range(300)]
    counted: list[int] = []
    parallel = list(encoder.stream_documents(texts, devices=["cpu", "cpu"], progress=counted.append))
    assert sum(counted) == len(texts)
    for mine, theirs in zip(parallel, encoder.stream_documents(texts), strict=True):
        np.testing.assert_allclose(mine.vectors, theirs.vectors, atol=1e-5)
        np.testing.assert_array_equal(mine.offsets, theirs.offsets)
    with pytest.raises(InputError, match="document 1"):
        list(encoder.stream_documents(["fine", ""], devices=["cpu"]))
