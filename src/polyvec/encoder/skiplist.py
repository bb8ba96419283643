"""Which document tokens are encoded but not kept: a rule -> vocabulary pieces.

Pieces, not characters, so that the list means the same here, in a saved folder and in stock sentence-transformers.
The unknown token is never among them: it stands for real words.
"""

from __future__ import annotations

import string
import unicodedata
from typing import Any

from polyvec.encoder.options import Skiplist

_WORD_START = "▁Ġ"  # how SentencePiece and byte-level BPE write a space before a word
_CONTINUATION = "##"  # how WordPiece writes a piece inside a word


def skiplist_pieces(tokenizer: Any, rule: Skiplist) -> list[str]:
    """The vocabulary pieces that a rule drops, sorted by id.

    Args:
        tokenizer: Answers as transformers' tokenizers do.
        rule: "none" drops nothing. "stanford" drops, for each ASCII punctuation character, the first piece that the tokenizer makes
            of it, as published ColBERT code does. "unicode" drops every piece made only of spaces and of punctuation of any script
            (general category P).
    """
    if rule == "none":
        return []
    ids = _stanford(tokenizer) if rule == "stanford" else _unicode(tokenizer)
    special = set(tokenizer.all_special_ids)
    kept = sorted(i for i in ids if i not in special and i != tokenizer.unk_token_id)
    return list(tokenizer.convert_ids_to_tokens(kept))


def _stanford(tokenizer: Any) -> set[int]:
    encoded = (tokenizer.encode(symbol, add_special_tokens=False) for symbol in string.punctuation)
    return {ids[0] for ids in encoded if ids}


def _unicode(tokenizer: Any) -> set[int]:
    byte_level = "Ġ" in tokenizer.get_vocab() or "Ċ" in tokenizer.get_vocab()
    return {i for piece, i in tokenizer.get_vocab().items() if _says_nothing(_surface(tokenizer, piece, byte_level))}


def _surface(tokenizer: Any, piece: str, byte_level: bool) -> str:
    """The characters a piece stands for, without the sign for its place in a word."""
    if byte_level:
        return str(tokenizer.convert_tokens_to_string([piece])).strip()
    return piece.removeprefix(_CONTINUATION).lstrip(_WORD_START)


def _says_nothing(text: str) -> bool:
    return all(char.isspace() or unicodedata.category(char).startswith("P") for char in text)
