"""Messages of errors: one line, whatever the values in them hold."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvec import errors
from polyvec.errors import PolyvecError

KINDS = [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.__name__))
@given(text=st.text(st.characters(), min_size=1))
def test_a_message_is_one_line_that_acts_on_no_terminal(kind: type[PolyvecError], text: str) -> None:
    message = str(kind(f"a{text}b"))
    assert len(message.splitlines()) == 1
    assert not any(char in message for char in "\x1b\x9b\u202e\u2066\u2028\0\r")
    assert message.encode("utf-8")
    if text.isprintable():
        assert message == f"a{text}b"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.__name__))
def test_errors_can_be_copied_and_pickled(kind: type[PolyvecError]) -> None:
    error = kind("docs/a\nb.jsonl: is a folder.")
    assert str(error) == "docs/a\\nb.jsonl: is a folder."
    assert str(copy.copy(error)) == str(pickle.loads(pickle.dumps(error))) == str(error)


def test_words_keep_their_joiners_and_accents() -> None:
    for text in ("نمی\u200cخواهم", "ไม่", "e\u0301", "👩\u200d🔬"):
        assert str(PolyvecError(text)) == text
