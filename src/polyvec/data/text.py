"""What a text may be, for documents and for queries alike: a string of Unicode characters, one of them no white space."""

from __future__ import annotations

from typing import Any

from polyvec.arguments import shown
from polyvec.errors import InputError

LONGEST_TEXT = 256 * 1024 * 1024  # characters of a document; also what one line of a file may hold
LONGEST_QUERY = 100_000  # characters


def checked_text(text: Any, name: str, *, longest: int = LONGEST_TEXT) -> str:
    """The text itself.

    Args:
        name: What the message calls it, such as "document 3".

    Raises:
        InputError: What is no string, is empty or white space, holds half a surrogate pair, or is too long.
    """
    if not isinstance(text, str):
        raise InputError(f"{name} is {type(text).__name__}, not text: {shown(text)}. Give strings.")
    if not text or text.isspace():
        raise InputError(f"{name} is empty. Leave it out, or give it a text.")
    if len(text) > longest:
        raise InputError(f"{name} has {len(text):,} characters, and at most {longest:,} are taken. Cut or split it.")
    if (at := lone_surrogate(text)) is not None:
        raise InputError(
            f"{name} holds a lone surrogate at character {at}, which is not Unicode text. "
            "Read the file with errors='replace', or repair it."
        )
    return text if type(text) is str else str.__str__(text)


def checked_query(text: Any, name: str) -> str:
    """`checked_text` for a question, which may be LONGEST_QUERY characters long."""
    return checked_text(text, name, longest=LONGEST_QUERY)


def lone_surrogate(text: str) -> int | None:
    """The place of the first half of a surrogate pair, None where the text is sound Unicode."""
    if text.isascii():
        return None
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return error.start
    return None
