"""An encoder that answers with what was made before."""

from __future__ import annotations

import threading

import numpy as np

from polyvec.encoder.encoded import TextTokens
from polyvec.serve.encoding import SharedEncoder, holding
from tests.conftest import WordEncoder


def test_it_is_the_encoder_that_it_shares() -> None:
    model = WordEncoder()
    shared = SharedEncoder(model)
    for name in ("name", "fingerprint", "dim", "document_length"):
        assert getattr(shared, name) == getattr(model, name)
    assert shared.settings() == model.settings()
    (mine,), (theirs,) = shared.stream_documents(["bees dance"]), model.stream_documents(["bees dance"])
    assert np.array_equal(mine.vectors, theirs.vectors)


def test_what_is_held_is_given_to_this_thread_alone() -> None:
    shared = SharedEncoder(WordEncoder())
    made = shared.encode_together(["bees", "bread", "bees"])
    assert list(made) == ["bees", "bread"]
    seen = []
    with holding(made):
        assert next(shared.stream_queries(["bees"])) is made["bees"]
        assert next(shared.stream_queries(["other"])) is not made["bees"]
        other = threading.Thread(target=lambda: seen.append(next(shared.stream_queries(["bees"]))))
        other.start()
        other.join()
    assert seen[0] is not made["bees"]
    assert next(shared.stream_queries(["bees"])) is not made["bees"]


def test_which_characters_a_vector_stands_for_is_asked_of_the_model() -> None:
    tokens = TextTokens(np.arange(2, dtype=np.int32), np.array([[0, 4], [5, 10]], np.int32), truncated=False)

    class Locating(WordEncoder):
        def document_tokens(self, text: str) -> TextTokens | None:
            return tokens if text == "bees dance" else None

    assert SharedEncoder(Locating()).document_tokens("bees dance") is tokens
    assert SharedEncoder(WordEncoder()).document_tokens("bees dance") is None
