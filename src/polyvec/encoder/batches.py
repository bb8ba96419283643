"""A stream of texts -> bounded windows of it -> batches of about the same number of tokens.

Memory stays bounded whatever the length of the stream: one window of texts and of vectors at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from polyvec.data.text import checked_query, checked_text

_WINDOW_TEXTS = 2048
_WINDOW_BATCHES = 8  # enough to sort by length in; few enough that the first results come soon
_CHARACTERS_PER_TOKEN = 4  # in Latin script; less in others, where a window then holds more tokens


def checked(texts: Iterable[str], what: str) -> Iterator[str]:
    """The texts as they come.

    Raises:
        InputError: One cannot be encoded; the message names its position.
    """
    check = checked_query if what == "query" else checked_text
    for position, text in enumerate(texts):
        yield check(text, f"{what} {position}")


def windows(texts: Iterator[str], batch_tokens: int) -> Iterator[list[str]]:
    """Lists of texts of about eight batches each, small enough to hold with their vectors."""
    characters = _WINDOW_BATCHES * _CHARACTERS_PER_TOKEN * batch_tokens
    while window := list(islice(_until(texts, characters), _WINDOW_TEXTS)):
        yield window


def _until(texts: Iterator[str], characters: int) -> Iterator[str]:
    taken = 0
    while taken < characters:
        text = next(texts, None)
        if text is None:
            return
        taken += len(text)
        yield text


def token_batches(lengths: Sequence[int], budget: int, *, padded: bool) -> list[list[int]]:
    """Positions in batches of at most `budget` tokens, longest first, neighbors of about the same length.

    Args:
        lengths: Tokens of each sequence.
        budget: Tokens of a batch. A sequence that is longer is a batch of its own.
        padded: Whether every sequence of a batch takes as much room as its longest.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    batches: list[list[int]] = []
    used = 0
    for i in order:
        cost = lengths[batches[-1][0]] if padded and batches else lengths[i]
        if not batches or used + cost > budget:
            batches.append([])
            used, cost = 0, lengths[i]
        batches[-1].append(i)
        used += cost
    return batches
