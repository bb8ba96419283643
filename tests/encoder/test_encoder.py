"""The default model: offline, faithful to sentence-transformers, and clear about bad input."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from polyvec.encoder import Encoder
from polyvec.encoder.torch import model as torch_model
from polyvec.errors import InputError, ModelError, PolyvecError

TEXTS = [
    "Photosynthesis turns light into sugar.",
    "Größe, naïve café — 😀!",
    "A longer passage. " * 40,
    "short",
    "नमस्ते दुनिया。 光合作用，植物。",
]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder()


def test_loading_touches_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert Encoder().dim == 128


def test_loading_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    Encoder()
    assert capfd.readouterr() == ("", "")


def test_vectors_equal_stock_sentence_transformers() -> None:
    encoder = Encoder(precision="fp32")
    ours, stock = encoder.encode_document(TEXTS), encoder.model.encode_document(TEXTS, convert_to_numpy=True)
    for mine, theirs in zip(ours, stock, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)
    ours, stock = encoder.encode_query(TEXTS), encoder.model.encode_query(TEXTS, convert_to_numpy=True)
    for mine, theirs in zip(ours, stock, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)


def test_shapes_and_types(encoder: Encoder) -> None:
    one = encoder.encode_query("what is it?")
    assert one.dtype == np.float32
    assert one.flags.c_contiguous
    assert one.shape[1] == encoder.dim
    np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1, atol=1e-5)
    assert isinstance(encoder.encode_document(["a"]), list)


@pytest.mark.parametrize("text", TEXTS)
def test_offsets_are_characters_of_the_given_text(encoder: Encoder, text: str) -> None:
    (encoded,) = encoder.stream_documents([text])
    assert encoded.offsets is not None
    assert len(encoded.token_ids) == len(encoded.offsets) == len(encoded.vectors)
    special = set(encoder.model.tokenizer.all_special_ids)
    for token, (start, end) in zip(encoded.token_ids.tolist(), encoded.offsets.tolist(), strict=True):
        if token in special:
            assert (start, end) == (0, 0)
            continue
        piece = encoder.model.tokenizer.convert_ids_to_tokens(token).removeprefix("▁")
        assert text[start:end].strip()
        if text.isascii():
            assert text[start:end].strip().casefold() == piece.casefold()


def test_punctuation_of_any_script_is_not_kept(encoder: Encoder) -> None:
    (encoded,) = encoder.stream_documents(["one, two。 three!"])
    pieces = encoder.model.tokenizer.convert_ids_to_tokens(encoded.token_ids.tolist())
    assert pieces == ["<s>", "[DocumentMarker]", "▁one", "▁two", "▁three", "</s>"]


@pytest.mark.parametrize("options", [{}, {"long_documents": "window", "document_length": 24}, {"skiplist": "none"}])
def test_the_tokens_of_a_document_are_told_without_its_vectors(options: dict[str, Any]) -> None:
    encoder = Encoder(backend="native", **options)
    for text in (*TEXTS, "?!", "a <mask> in the text"):
        (encoded,) = encoder.stream_documents([text])
        told = encoder.document_tokens(text)
        assert told is not None
        np.testing.assert_array_equal(told.token_ids, encoded.token_ids)
        np.testing.assert_array_equal(told.offsets, encoded.offsets)
        assert told.truncated == encoded.truncated
    with pytest.raises(InputError, match="document 0 is empty"):
        encoder.document_tokens(" ")


def test_the_tokens_of_merged_vectors_cannot_be_told() -> None:
    encoder = Encoder(pool_factor=2.0)
    assert encoder.document_tokens(TEXTS[0]) is None
    (encoded,) = encoder.stream_documents([TEXTS[0]])
    assert encoded.offsets is None


def test_a_text_of_punctuation_still_has_vectors(encoder: Encoder) -> None:
    assert len(encoder.encode_document("?!")) >= 1


def test_the_stream_keeps_its_order_and_counts_progress(encoder: Encoder) -> None:
    texts = [f"number {i} " + "word " * (i * 7 % 50) for i in range(30)]
    counted: list[int] = []
    streamed = list(encoder.stream_documents(iter(texts), progress=counted.append))
    assert sum(counted) == len(texts)
    for text, encoded in zip(texts[::13], streamed[::13], strict=True):
        np.testing.assert_allclose(encoded.vectors, encoder.encode_document(text), atol=1e-5)


def test_a_long_stream_is_read_as_it_is_needed() -> None:
    encoder, taken = Encoder(batch_tokens=256), 0

    def endless() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield "word " * 200

    next(iter(encoder.stream_documents(endless())))
    assert taken < 50


def test_cut_documents_are_counted(encoder: Encoder, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="polyvec"):
        encoded = list(encoder.stream_documents(["short", "word " * 3000]))
    assert [e.truncated for e in encoded] == [False, True]
    assert len(encoded[1].vectors) == encoder.document_length
    assert "1 of 2 documents" in caplog.text


def test_a_query_of_9000_words_is_encoded_to_the_limit_with_a_warning(
    encoder: Encoder, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="polyvec"):
        assert encoder.encode_query("word " * 9000).shape == (8192, 128)
    assert "1 of 1 queries" in caplog.text


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["fine", ""], "document 1 is empty"),
        (["fine", " \n\t"], "document 1 is empty"),
        ([3], "document 0 is int"),
        (["fine", "bad \ud800"], "document 1 holds a lone surrogate at character 4"),
    ],
)
def test_bad_text_is_named_by_position(encoder: Encoder, texts: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        encoder.encode_document(texts)


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "a b", "with\nnewline"])
def test_an_unknown_folder_is_one_plain_line(name: str) -> None:
    with pytest.raises(ModelError, match="There is no folder"):
        Encoder(name)


def test_a_name_that_cannot_be_fetched_is_one_plain_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def fail(name: str, *, local_files_only: bool = False, **_: object) -> str:
        raise FileNotFoundError(name) if local_files_only else ConnectionError("no route to host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(ModelError, match="Hub could not be reached") as caught:
        Encoder("nobody/nothing")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("backend", ["onnx", "openvino", "", None])
def test_a_backend_that_is_none_of_ours_is_refused(backend: str) -> None:
    with pytest.raises(InputError, match="auto, native, torch"):
        Encoder(backend=backend)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [
        {"precision": "fp8"},
        {"dim": 0},
        {"dim": True},
        {"document_length": 8193},
        {"query_length": 16.5},
        {"pool_factor": 0.5},
        {"skiplist": "english"},
        {"query_augmentation": "fixed", "query_length": 9000},
        {"threads": 0},
        {"window_overlap": -1},
    ],
    ids=str,
)
def test_bad_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(PolyvecError, match=str(next(reversed(options.values())))):
        Encoder(**options)  # type: ignore[arg-type]


def test_the_fingerprint_is_stable_and_follows_what_changes_vectors(encoder: Encoder) -> None:
    assert Encoder(threads=1, batch_tokens=64).fingerprint == encoder.fingerprint
    assert Encoder(document_length=64).fingerprint != encoder.fingerprint
    assert Encoder(query_augmentation="fixed").fingerprint == encoder.fingerprint


def test_the_default_model_has_a_name_with_its_version(encoder: Encoder) -> None:
    """Where files of a released model change, this does: give them another version in polyvec.encoder.locate then."""
    assert (encoder.name, encoder.fingerprint) == ("polyvec-mini-1", "f343f7e4eb8189a2")
    assert encoder.settings() == {"model": "polyvec-mini-1"}
    for name in ("polyvec-mini", "polyvec-mini-1"):
        assert (Encoder(name).name, Encoder(name).fingerprint) == (encoder.name, encoder.fingerprint)
    with pytest.raises(
        ModelError, match=r"polyvec-mini-2 comes with another version of polyvec; this one has polyvec-mini-1"
    ):
        Encoder("polyvec-mini-2")


def test_the_fingerprint_does_not_follow_live_objects(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    def upgraded(*arguments: Any, **settings: Any) -> Any:
        """As a later transformers may load it: with other entries in the configuration than the file has."""
        loaded = load(*arguments, **settings)
        loaded.model[0].config.update({"added_by_an_upgrade": [1, 2], "initializer_range": 0.5, "use_cache": True})
        return loaded

    load = torch_model.load
    monkeypatch.setattr(torch_model, "load", upgraded)
    later = Encoder(backend="torch")
    assert later.model[0].config.added_by_an_upgrade == [1, 2]
    assert later.fingerprint == encoder.fingerprint


def test_settings_make_the_same_encoder(encoder: Encoder) -> None:
    other = Encoder(document_length=64, skiplist="none")
    assert Encoder(**other.settings()).fingerprint == other.fingerprint != encoder.fingerprint


def test_at_least_one_device_is_expected() -> None:
    with pytest.raises(InputError, match="at least one"):
        list(Encoder().stream_documents(["a text"], devices=[]))
