"""Text -> the tokens that keyword search counts, in any script.

Lowercased runs of letters, marks and digits are tokens. Scripts that write no spaces between words (Chinese, Japanese, Thai, Lao,
Myanmar, Khmer) become overlapping pairs of characters, for documents and queries alike, so that a word is found wherever
it stands in running text.
"""

from __future__ import annotations

import functools
import re
import unicodedata

_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002ffff"  # kana, CJK
_UNSPACED += "\u0e00-\u0e7f\u0e80-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Myanmar, Khmer
_UNSPACED_RUN = re.compile(rf"[{_UNSPACED}]")
_MOST_QUERY_TOKENS = 512  # SQLite refuses expressions of many thousand terms


@functools.cache
def _runs() -> re.Pattern[str]:
    """Runs of unspaced scripts, or of everything else that belongs to words; Python's \\w leaves combining marks out."""
    marks = "".join(chr(c) for c in range(0x300, 0x1E94C) if unicodedata.category(chr(c)) in ("Mn", "Mc"))
    marks = re.sub(f"[{_UNSPACED}]", "", marks)
    return re.compile(rf"[{_UNSPACED}]+|[^\W_{_UNSPACED}](?:[^\W_{_UNSPACED}]|[{marks}])*")


def tokenize(text: str) -> list[str]:
    """The tokens of a text, in order."""
    tokens = []
    for match in _runs().finditer(text.lower()):
        run = match.group()
        if len(run) == 1 or not _UNSPACED_RUN.match(run):
            tokens.append(run)
        else:
            tokens.extend(run[i : i + 2] for i in range(len(run) - 1))
    return tokens


def match_expression(query: str) -> str:
    """The query as FTS5 wants it: any of its tokens, each quoted, so that nothing in it is syntax. Empty without tokens."""
    distinct = list(dict.fromkeys(tokenize(query)))[:_MOST_QUERY_TOKENS]
    return " OR ".join(f'"{token}"' for token in distinct)
