"""Each query token's best match, and how far it stands out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from polyvec.encoder import Encoded
from polyvec.errors import InputError
from polyvec.search.matches import match_tokens
from tests.conftest import WordEncoder

_WIDTH = 3  # characters a token, in the generated texts


def _encoded(vectors: np.ndarray, *, pooled: bool = False) -> Encoded:
    count = len(vectors)
    starts = _WIDTH * np.arange(count, dtype=np.int32)
    offsets = None if pooled else np.stack([starts, starts + _WIDTH], axis=1)
    return Encoded(vectors=vectors, token_ids=np.zeros(count, np.int32), offsets=offsets, truncated=False)


@st.composite
def unit_rows(draw: st.DrawFn) -> np.ndarray:
    shape = draw(st.tuples(st.integers(1, 12), st.just(4)))
    rows = draw(arrays.arrays(np.float32, shape, elements=st.floats(-1, 1, width=32)))
    rows[:, 0] += 2.5  # never all zeros
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@given(query=unit_rows(), document=unit_rows())
def test_every_token_finds_its_best_match_and_the_similarities_add_up(query: np.ndarray, document: np.ndarray) -> None:
    query_text, text = "abc" * len(query), "xyz" * len(document)
    matches, score = match_tokens(query_text, _encoded(query), text, _encoded(document))
    similarities = query @ document.T
    assert [match.similarity for match in matches] == similarities.max(axis=1).tolist()
    assert score == pytest.approx(similarities.max(axis=1).sum(), rel=1e-5)
    for match, row in zip(matches, similarities, strict=True):
        assert match.document_span is not None
        assert match.document_span[0] == _WIDTH * int(row.argmax())
        assert match.prominence >= 0
        assert np.isfinite(match.prominence)


def test_a_match_among_unlike_tokens_is_more_prominent_than_one_among_like_tokens() -> None:
    same = np.float32([1, 0, 0])
    near, far = np.float32([0.8, 0.6, 0]), np.float32([0, 0, 1])
    alone = match_tokens("abc", _encoded(same[None]), "xyz" * 9, _encoded(np.stack([same, *[far] * 8])))
    crowded = match_tokens("abc", _encoded(same[None]), "xyz" * 9, _encoded(np.stack([same, *[near] * 8])))
    assert alone[0][0].similarity == crowded[0][0].similarity
    assert alone[0][0].prominence > 3 * crowded[0][0].prominence


def test_a_text_of_one_word_can_be_matched_prominently(encoder: WordEncoder) -> None:
    query, document = next(encoder.stream_queries(["venus"])), next(encoder.stream_documents(["venus"]))
    assert match_tokens("venus", query, "venus", document)[0][0].prominence > 1


def test_pooled_vectors_are_refused() -> None:
    rows = np.eye(3, dtype=np.float32)
    with pytest.raises(InputError, match="pool_factor=1"):
        match_tokens("abc" * 3, _encoded(rows), "xyz" * 3, _encoded(rows, pooled=True))
