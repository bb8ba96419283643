"""A text never makes special tokens: "<mask>" in it is read as six characters, and ordinary texts are read as before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyvec.encoder import Encoder
from polyvec.encoder.tokens import TextTokenizer, _Raw
from polyvec.errors import InputError
from tests.encoder.toy_checkpoints import make_jina, make_pylate, make_stanford

MAKERS: dict[str, Callable[[Path], object]] = {"jina": make_jina, "stanford": make_stanford, "pylate": make_pylate}


@pytest.fixture(scope="module", params=[*MAKERS, "default"])
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    if request.param == "default":
        return Encoder()
    folder = tmp_path_factory.mktemp("special") / request.param
    MAKERS[request.param](folder)
    return Encoder(folder)


def names(tokens: TextTokenizer) -> list[str]:
    return [name for name in tokens._special.values() if name != tokens._unknown]


def body(tokens: TextTokenizer, text: str, prompt: str) -> _Raw:
    """The text's own tokens: what stands behind the prompt and before the closing tokens."""
    (raw,) = tokens._encode([text], prompt)
    return _Raw(raw.ids[raw.head : len(raw.ids) - raw.tail], raw.offsets[raw.head : len(raw.ids) - raw.tail], 0, 0)


def test_there_are_special_tokens_to_name(encoder: Encoder) -> None:
    assert len(names(encoder._tokens)) >= 3


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_text_never_makes_special_tokens(encoder: Encoder, data: st.DataObject) -> None:
    tokens = encoder._tokens
    special = set(tokens._special) - {i for i, name in tokens._special.items() if name == tokens._unknown}
    word = st.sampled_from(
        ["hello", " light ", "plants", "a", " ", "。", *names(tokens), *map(str.lower, names(tokens))]
    )
    text = data.draw(st.lists(word, min_size=1, max_size=6).map("".join).filter(str.strip))
    for prompt in (tokens.layout.query_prompt, tokens.layout.document_prompt, ""):
        found = body(tokens, text, prompt)
        assert not special & set(found.ids.tolist()), text
        assert (found.offsets <= len(text)).all()
        (raw,) = tokens._encode([text], prompt)
        (plain,) = tokens._encode(["hello"], prompt)
        front = plain.head  # of a word without a space before it: what stands before is the model's own
        np.testing.assert_array_equal(raw.ids[:front], plain.ids[:front])  # the marker is there as ever
        np.testing.assert_array_equal(raw.ids[len(raw.ids) - raw.tail :], plain.ids[len(plain.ids) - plain.tail :])


@settings(max_examples=60, deadline=None)
@given(text=st.text(st.characters(codec="utf-8", exclude_characters="<[>]"), min_size=1, max_size=40))
def test_ordinary_texts_are_read_by_the_models_own_tokenizer(encoder: Encoder, text: str) -> None:
    tokens = encoder._tokens
    prompt = tokens.layout.document_prompt
    (raw,) = tokens._encode([text], prompt)
    np.testing.assert_array_equal(raw.ids, tokens._backend.encode(prompt + text).ids)


@pytest.mark.parametrize("name", ["", "  ", "a\0b"])
def test_an_empty_name_is_not_the_current_folder(name: str) -> None:
    with pytest.raises(InputError, match=r"^model=.*expected a path"):
        Encoder(name)


def test_a_marker_in_a_text_is_not_a_marker(encoder: Encoder) -> None:
    name = names(encoder._tokens)[-1]
    (piece,) = encoder._tokens.documents([f"hello {name} light"])[0]
    spelled = [f"hello {name} light"[start:end] for start, end in piece.offsets.tolist() if end > start]
    assert name not in spelled
    assert "".join(spelled).replace(" ", "") == f"hello{name}light"
    vectors = encoder.encode_document([name, f"{name}{name}"])
    assert all(np.isfinite(one).all() and len(one) for one in vectors)
