"""Texts -> token ids, character offsets, and which tokens are attended to and kept.

Writes the model's own layout: prompt or marker, text, special tokens, then mask tokens for queries. Knows nothing
about weights. Offsets always refer to the text as it was given, whatever the tokenizer normalizes. A text never makes
special tokens: "<mask>" in it is read as the characters that it is.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from polyvec.encoder.capitals import without_capitals
from polyvec.encoder.greek import with_accents, with_question_marks
from polyvec.encoder.options import Augmentation, LongDocuments
from polyvec.encoder.vietnamese import with_marks
from polyvec.errors import ModelError

logger = logging.getLogger(__name__)

_FRONT = 16  # characters that are tokenized for each token that is kept: there are 2 to 6 in most words' tokens
_MARGIN = 16  # tokens behind those kept, so that what stands at the end of a front changes none of them


@dataclass(frozen=True, slots=True)
class Piece:
    """One sequence for the model: a text, or one window of it.

    Attributes:
        ids: (t,) int64.
        offsets: (t, 2) int32, character spans.
        keep: (t,) bool: the tokens whose vectors are returned.
        attended: How many leading tokens the model sees; mask tokens after them are encoded but not seen.
        truncated: Whether the text goes on after it.
    """

    ids: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int32]
    keep: npt.NDArray[np.bool_]
    attended: int
    truncated: bool

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Layout:
    """How texts are laid out for one model: everything between a text and its token ids."""

    query_prompt: str
    document_prompt: str
    max_length: int  # tokens the model takes
    document_length: int  # tokens a document may have
    query_length: int  # tokens that short queries are padded to
    augmentation: Augmentation
    attend_to_mask: bool
    mask_id: int | None
    document_skip: frozenset[int]
    query_skip: frozenset[int]
    long_documents: LongDocuments
    window_overlap: int
    fold_capitals: bool = False  # stretches in capitals are read as small letters
    restore_marks: bool = False  # Vietnamese and Greek typed without marks are read with them
    greek_question_mark: bool = False  # the ; at the end of a Greek question is read as ?


class TextTokenizer:
    """The model's tokenizer with truncation and padding taken out of it, so that nothing is cut behind one's back."""

    def __init__(self, tokenizer: Any, layout: Layout) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise ModelError(
                f"The tokenizer {type(tokenizer).__name__} gives no character offsets. Convert it to a fast tokenizer "
                "(tokenizer.json) first."
            )
        self.tokenizer, self.layout = tokenizer, layout
        self._backend = _own_backend(tokenizer)
        self._backend.no_truncation()
        self._backend.no_padding()
        self._special = _special_tokens(self._backend)
        self._is_special = np.zeros(max(self._special, default=-1) + 1, dtype=bool)
        self._is_special[list(self._special)] = True
        self._unknown = getattr(tokenizer, "unk_token", None)
        self._plain: Any = None  # made when a text first names a special token
        self._document_skip = _membership(layout.document_skip)
        self._query_skip = _membership(layout.query_skip)

    def queries(self, texts: Sequence[str]) -> list[Piece]:
        """One piece a query, padded with mask tokens as the model wants it."""
        layout = self.layout
        too_long = 0
        pieces = []
        for raw in self._encode(texts, layout.query_prompt):
            truncated = len(raw.ids) > layout.max_length
            too_long += truncated
            pieces.append(self._query(raw.cut(layout.max_length) if truncated else raw, truncated))
        if too_long:
            logger.warning(
                "%d of %d queries are longer than the model's limit of %d tokens; their ends were not encoded.",
                too_long,
                len(texts),
                layout.max_length,
            )
        return pieces

    def documents(self, texts: Sequence[str]) -> list[list[Piece]]:
        """The pieces of each document: one, or several overlapping windows of a long one."""
        layout = self.layout
        limit = min(layout.document_length, layout.max_length)
        result = []
        for raw in (
            self._fronts(texts, limit)
            if layout.long_documents == "cut"
            else self._encode(texts, layout.document_prompt)
        ):
            if len(raw.ids) <= limit:
                result.append([self._document(raw, None)])
            elif layout.long_documents == "cut":
                result.append([self._document(raw.cut(limit), None, truncated=True)])
            else:
                result.append([self._document(part, keep) for part, keep in raw.windows(limit, layout.window_overlap)])
        return result

    def _fronts(self, texts: Sequence[str], limit: int) -> list[_Raw]:
        """Texts of which `limit` tokens will be kept. Of one that is far longer, only the front is tokenized."""
        prompt, fronts = self.layout.document_prompt, [_front(text, limit) for text in texts]
        raws = self._encode(fronts, prompt)
        for place, (text, front) in enumerate(zip(texts, fronts, strict=True)):
            if len(front) < len(text) and len(raws[place].ids) < limit + _MARGIN:
                (raws[place],) = self._encode([text], prompt)
        return raws

    def bare_query(self, text: str) -> Piece:
        """A query without the mask tokens it would be padded with."""
        (raw,) = self._encode([text], self.layout.query_prompt)
        return Piece(raw.ids, raw.offsets, np.ones(len(raw.ids), dtype=bool), len(raw.ids), False)

    def _encode(self, texts: Sequence[str], prompt: str) -> list[_Raw]:
        if self.layout.fold_capitals:
            texts = [without_capitals(text) for text in texts]
        if self.layout.restore_marks:
            texts = [with_accents(with_marks(text)) for text in texts]
        if self.layout.greek_question_mark:
            texts = [with_question_marks(text) for text in texts]
        whole = [prompt + text for text in texts]
        encodings = [self._backend.encode(whole[0])] if len(whole) == 1 else self._backend.encode_batch(whole)
        result = []
        for text, encoding in zip(texts, encodings, strict=True):
            raw = _Raw.of(encoding, text, len(prompt))
            result.append(self._without_special(text, prompt) if self._names_special(raw, text) else raw)
        return result

    def _names_special(self, raw: _Raw, text: str) -> bool:
        """Whether characters of the text became a special token. One for unknown characters is as it should be."""
        inside = raw.ids < len(self._is_special)
        inside[inside] = self._is_special[raw.ids[inside]]
        inside &= raw.offsets[:, 1] > raw.offsets[:, 0]
        return any(
            self._special[int(raw.ids[i])] != self._unknown or text[slice(*raw.offsets[i])].strip() == self._unknown
            for i in np.flatnonzero(inside)
        )

    def _without_special(self, text: str, prompt: str) -> _Raw:
        """The tokens of a text in which special tokens are ordinary characters; the prompt before it keeps its own."""
        if self._plain is None:
            self._plain = _plain_tokenizer(self._backend)
        raw = _Raw.of(self._plain.encode(text), text, 0)
        if not prompt:
            return raw
        before = self._backend.encode(prompt + "a")  # a piece that holds the prompt's last space belongs to the text
        ends = [end for _, end in before.offsets]
        front = next((i for i, end in enumerate(ends) if end > len(prompt)), len(ends))
        return _Raw(
            np.concatenate([np.array(before.ids[:front], dtype=np.int64), raw.ids[raw.head :]]),
            np.concatenate([np.zeros((front, 2), dtype=np.int32), raw.offsets[raw.head :]]),
            front,
            raw.tail,
        )

    def _query(self, raw: _Raw, truncated: bool) -> Piece:
        layout, real = self.layout, len(raw.ids)
        padding = max(0, layout.query_length - real) if layout.augmentation != "none" else 0
        ids = np.concatenate([raw.ids, np.full(padding, layout.mask_id or 0, dtype=np.int64)])
        offsets = np.concatenate([raw.offsets, np.zeros((padding, 2), dtype=np.int32)])
        keep = np.ones(len(ids), dtype=bool)
        keep[:real] = _kept(raw.ids, self._query_skip)
        return Piece(ids, offsets, keep, len(ids) if layout.attend_to_mask else real, truncated)

    def _document(self, raw: _Raw, keep: npt.NDArray[np.bool_] | None, *, truncated: bool = False) -> Piece:
        kept = _kept(raw.ids, self._document_skip)
        if keep is not None:
            kept &= keep
        return Piece(raw.ids, raw.offsets, kept, len(raw.ids), truncated)


def _own_backend(tokenizer: Any) -> Any:
    """The `tokenizers.Tokenizer` inside; a copy of it, unless it was made for an encoder and nobody else uses it."""
    if getattr(tokenizer, "unshared", False):
        return tokenizer.backend_tokenizer
    from tokenizers import Tokenizer

    return Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())


@dataclass(frozen=True, slots=True)
class _Raw:
    """A tokenized text: `head` special tokens, marker or prompt, then the text's own tokens, then `tail` special
    tokens."""

    ids: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int32]
    head: int
    tail: int

    @classmethod
    def of(cls, encoding: Any, text: str, shift: int) -> _Raw:
        """Read a tokenizer's result for `prompt + text`; shift is the prompt's length in characters."""
        special = encoding.special_tokens_mask
        n = len(special)
        tail = next((i for i in range(n) if not special[n - 1 - i]), n)
        spans = [_trimmed(text, start - shift, end - shift) for start, end in encoding.offsets]
        head = next((i for i in range(n - tail) if spans[i][1] > spans[i][0]), n - tail)
        offsets = np.array(spans, dtype=np.int32).reshape(n, 2)
        offsets[:head] = 0
        offsets[n - tail :] = 0
        return cls(np.array(encoding.ids, dtype=np.int64), offsets, head, tail)

    def cut(self, limit: int) -> _Raw:
        """The first `limit` tokens, the closing special tokens among them."""
        body = max(0, limit - self.tail)
        end = len(self.ids) - self.tail
        return _Raw(
            np.concatenate([self.ids[:body], self.ids[end:]]),
            np.concatenate([self.offsets[:body], self.offsets[end:]]),
            self.head,
            self.tail,
        )

    def windows(self, limit: int, overlap: int) -> list[tuple[_Raw, npt.NDArray[np.bool_]]]:
        """Overlapping windows of at most `limit` tokens, each with the tokens to keep so that every one is kept once.

        The first half of an overlap is kept from the earlier window and the second half from the later one: each
        token is taken where it has the most text around it.
        """
        end = len(self.ids) - self.tail
        room = max(1, limit - self.head - self.tail)
        overlap = min(overlap, room // 2)
        starts = list(range(self.head, max(self.head + 1, end - overlap), room - overlap))
        result = []
        for number, start in enumerate(starts):
            stop = min(end, start + room)
            rows = np.concatenate([np.arange(self.head), np.arange(start, stop), np.arange(end, len(self.ids))])
            first, last = number == 0, number == len(starts) - 1
            low = self.head if first else start + overlap // 2
            high = stop if last else starts[number + 1] + overlap // 2
            keep = (rows >= low) & (rows < high)
            keep[: self.head] = first
            keep[len(rows) - self.tail :] = last
            result.append((_Raw(self.ids[rows], self.offsets[rows], self.head, self.tail), keep))
        return result


def _front(text: str, limit: int) -> str:
    """The first words of a text, which nearly always have more than `limit` tokens; all of a text that is not much longer."""
    room = _FRONT * limit
    if len(text) <= 2 * room:
        return text
    end = max(text.rfind(" ", room // 2, room), text.rfind("\n", room // 2, room))
    return text[:end] if end > 0 else text


def _special_tokens(backend: Any) -> dict[int, str]:
    """The special tokens of a `tokenizers.Tokenizer` by id."""
    return {number: token.content for number, token in backend.get_added_tokens_decoder().items() if token.special}


def _plain_tokenizer(backend: Any) -> Any:
    """The same tokenizer without special tokens in a text.

    `encode_special_tokens` is not enough: a Unigram vocabulary holds "<mask>" as an ordinary piece too. So those pieces get names
    that no text can spell, since every tokenizer splits or replaces spaces.
    """
    from tokenizers import Tokenizer

    description = json.loads(backend.to_str())
    special = set(_special_tokens(backend).values())
    description["added_tokens"] = [token for token in description["added_tokens"] if not token["special"]]
    model = description["model"]
    if isinstance(model["vocab"], dict):  # here the token for unknown characters is found by its name
        special -= {model.get("unk_token")}
        model["vocab"] = {_unspoken(piece, special): number for piece, number in model["vocab"].items()}
    else:
        model["vocab"] = [[_unspoken(piece, special), score] for piece, score in model["vocab"]]
    return Tokenizer.from_str(json.dumps(description))


def _unspoken(piece: str, special: set[str]) -> str:
    return f"special token {piece}" if piece in special else piece


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """A span without the spaces at its front (SentencePiece counts them in); (0, 0) for what lies in the prompt."""
    if end <= 0 or end <= start:
        return (0, 0)
    start = max(0, start)
    first = start
    while first < end and text[first].isspace():
        first += 1
    return (first, end) if first < end else (start, end)


def _membership(ids: frozenset[int]) -> npt.NDArray[np.bool_]:
    """A set of token ids as a table by id; its last entry stands for every id beyond."""
    table = np.zeros(max(ids, default=-1) + 2, dtype=bool)
    table[list(ids)] = True
    return table


def _kept(ids: npt.NDArray[np.int64], skip: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which tokens are not on the skiplist; all of them where nothing would be left."""
    kept = ~skip[np.minimum(ids, len(skip) - 1)]
    return kept if kept.any() else np.ones(len(ids), dtype=bool)
