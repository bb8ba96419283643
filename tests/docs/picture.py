"""docs/images/late-interaction-*.svg: a question's words against a sentence's, with the similarities that the model gives.

python -m tests.docs.picture writes both, for light and dark pages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from polyvec.encoder import Encoded, Encoder

IMAGES = Path(__file__).parents[2] / "docs" / "images"
QUESTION = "bees tell where flowers are"
SENTENCE = "Die Biene tanzt und zeigt, wo Blumen sind."
COLORS = {
    "light": {
        "paper": "#ffffff",
        "ink": "#1f1e1b",
        "soft": "#5b574f",
        "line": "#e2ddd2",
        "amber": "#ffc247",
        "best": "#1f1e1b",
    },
    "dark": {
        "paper": "#1d1f26",
        "ink": "#e9e6df",
        "soft": "#b3aea4",
        "line": "#3a3c46",
        "amber": "#d99a1e",
        "best": "#15161b",
    },
}
LEFT, TOP, WIDE, HIGH, RIGHT = 112, 74, 82, 52, 104


def similarities() -> tuple[list[str], list[str], np.ndarray]:
    """The words of both texts, and for each pair the best similarity of their tokens."""
    encoder = Encoder()
    (question,), (sentence,) = encoder.stream_queries([QUESTION]), encoder.stream_documents([SENTENCE])
    rows, columns = _words(QUESTION, question), _words(SENTENCE, sentence)
    between = question.vectors @ sentence.vectors.T
    best = [[between[np.ix_(row, column)].max() for _, column in columns] for _, row in rows]
    return [word for word, _ in rows], [word for word, _ in columns], np.array(best)


def _words(text: str, encoded: Encoded) -> list[tuple[str, list[int]]]:
    """The words of a text, each with its tokens."""
    spans = [(found[0], found.span()) for found in re.finditer(r"\w+", text)]
    tokens = {word: [] for word, _ in spans}
    for token, (start, end) in enumerate(encoded.offsets):
        for word, (first, last) in spans:
            if first <= start < end <= last:
                tokens[word].append(token)
    return list(tokens.items())


def drawn(rows: list[str], columns: list[str], values: np.ndarray, mode: str) -> str:
    """The picture, as SVG."""
    color = COLORS[mode]
    width, height = LEFT + WIDE * len(columns) + RIGHT, TOP + HIGH * len(rows) + 76
    parts = "\n".join(_parts(rows, columns, values, color, width))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'font-family="Charter, \'Noto Serif\', Georgia, serif" font-size="18" fill="{color["ink"]}">\n'
        f"<title>Late interaction: each word of a question takes its best match in a sentence</title>\n"
        f'<rect width="{width}" height="{height}" rx="10" fill="{color["paper"]}"/>\n{parts}\n</svg>\n'
    )


def _parts(rows: list[str], columns: list[str], values: np.ndarray, color: dict[str, str], width: int) -> Iterator[str]:
    end = LEFT + WIDE * len(columns)
    for number, word in enumerate(columns):
        yield _text(LEFT + WIDE * (number + 0.5), TOP - 16, word, anchor="middle")
    yield _text(end + RIGHT / 2, TOP - 16, "best", anchor="middle", fill=color["soft"], style="italic")
    for number, word in enumerate(rows):
        y, best = TOP + HIGH * number, int(values[number].argmax())
        yield _text(LEFT - 14, y + HIGH / 2 + 5, word, anchor="end")
        for place, value in enumerate(values[number]):
            yield from _field(LEFT + WIDE * place, y, value, place == best, color)
        yield _number(end + RIGHT / 2, y + HIGH / 2 + 5, values[number].max(), fill=color["ink"])
    total, bottom = values.round(2).max(axis=1).sum(), TOP + HIGH * len(rows)
    yield f'<line x1="{end + 18}" x2="{end + RIGHT - 18}" y1="{bottom + 8}" y2="{bottom + 8}" stroke="{color["soft"]}"/>'
    yield _text(end + 6, bottom + 38, "score: the sum of the best", anchor="end", fill=color["soft"], style="italic")
    yield _number(end + RIGHT / 2, bottom + 38, total, fill=color["ink"], weight="bold")


def _field(x: float, y: float, value: float, best: bool, color: dict[str, str]) -> Iterator[str]:
    shade = "1" if best else f"{0.35 * max(value, 0):.2f}"
    yield (
        f'<rect x="{x + 2}" y="{y + 2}" width="{WIDE - 4}" height="{HIGH - 4}" rx="5" fill="{color["amber"]}" '
        f'fill-opacity="{shade}" stroke="{color["line"]}"/>'
    )
    fill = color["best"] if best else color["soft"]
    yield _number(x + WIDE / 2, y + HIGH / 2 + 5, value, fill=fill, weight="bold" if best else "normal")


def _number(x: float, y: float, value: float, **look: Any) -> str:
    return _text(x, y, f"{value:.2f}", anchor="middle", family="system-ui, 'Noto Sans', sans-serif", size=15, **look)


def _text(x: float, y: float, text: str, *, anchor: str, size: int = 18, **look: str) -> str:
    said = " ".join(f'font-{name}="{value}"' for name, value in look.items() if name in ("style", "weight", "family"))
    fill = f' fill="{look["fill"]}"' if "fill" in look else ""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="{size}" {said}{fill}>{escape(text)}</text>'


if __name__ == "__main__":
    found = similarities()
    for mode in COLORS:
        (IMAGES / f"late-interaction-{mode}.svg").write_text(drawn(*found, mode), encoding="utf-8")
