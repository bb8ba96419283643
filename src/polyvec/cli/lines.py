"""Any value -> one line that is safe to print, whatever a document, an id or a path holds."""

from __future__ import annotations

import json
import os
import unicodedata
from typing import Any

_JOINERS = "\u200c\u200d"  # belong to words in Persian, Indic scripts and emoji


def printable(value: Any, limit: int | None = None) -> str:
    """A value as one line without characters that act on a terminal: those are escaped, as in U+202E.

    Args:
        value: Strings and paths stand as they are, anything else as JSON.
        limit: Characters after which the rest is left out; None for all of them.

    Returns:
        The line.
    """
    named = isinstance(value, (str, os.PathLike))
    text = os.fsdecode(value) if named else json.dumps(value, ensure_ascii=False, default=str)
    if limit is not None and len(text) > limit:
        text = text[: limit - 1] + "…"
    return text if text.isprintable() else "".join(c if is_shown(c) else _escaped(c) for c in text)


def flowing(text: str) -> str:
    """Text of a document as one line.

    Args:
        text: Any text.

    Returns:
        The text with spaces for line breaks and the like, and without invisible characters.
    """
    return text if text.isprintable() else "".join(c if is_shown(c) else _space_for(c) for c in text)


def shortened(text: str, limit: int) -> str:
    """A long line without its middle: what was wrong stands at its front, what to do at its end.

    Args:
        text: One line.
        limit: Characters that it may have.

    Returns:
        The line, where it is not longer; else its front and its end.
    """
    return text if len(text) <= limit else f"{text[: limit - limit // 3]} … {text[-(limit // 3) :]}"


def is_shown(char: str) -> bool:
    """Whether a character only stands there: no control, no mark of direction, no half surrogate pair.

    Args:
        char: One character.

    Returns:
        Whether it can be printed as it is.
    """
    return char.isprintable() or char in _JOINERS or unicodedata.category(char) == "Zs"


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def _space_for(char: str) -> str:
    kind = unicodedata.category(char)
    return "" if kind == "Cf" else "\ufffd" if kind == "Cs" else " "
