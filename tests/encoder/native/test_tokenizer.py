"""A folder's tokenizer, as its files say it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models

from polyvec.encoder.native.tokenizer import FolderTokenizer

PIECES = st.lists(st.text("abcdé日▁", min_size=1, max_size=4), min_size=1, max_size=20, unique=True)


@pytest.mark.parametrize("kind", ["Unigram", "WordPiece", "WordLevel"])
@given(
    pieces=PIECES, more=st.lists(st.sampled_from(["<s>", "<mask>", "a", "ab", "日"]), max_size=4), gap=st.integers(0, 9)
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_highest_id_is_that_of_the_whole_vocabulary(
    tmp_path: Path, kind: str, pieces: list[str], more: list[str], gap: int
) -> None:
    numbered = {piece: number + gap * (number > 2) for number, piece in enumerate(pieces)}
    model = {
        "Unigram": lambda: models.Unigram([(piece, -1.0) for piece in pieces], 0, False),
        "WordPiece": lambda: models.WordPiece(numbered, unk_token=pieces[0]),
        "WordLevel": lambda: models.WordLevel(numbered, unk_token=pieces[0]),
    }[kind]()
    made = Tokenizer(model)
    made.add_tokens([AddedToken(token, special=token.startswith("<")) for token in more])
    made.save(str(tmp_path / "tokenizer.json"))
    tokenizer = FolderTokenizer(tmp_path, "made")
    assert tokenizer.highest_id == max(tokenizer.get_vocab().values())
