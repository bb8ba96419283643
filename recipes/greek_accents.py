"""Texts -> the words by which Greek gets its accents (src/polyvec/encoder/greek.txt).

    python recipes/greek_accents.py DATA/train src/polyvec/encoder/greek.txt

Reads every row of every .jsonl.zst below the folder: `lang`, and `text`, or `query` and `document`. The table has a word a line,
most frequent first: of all that are the same without accents, the one that came most often.
"""

from __future__ import annotations

import argparse
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from polyvec.encoder.greek import without_accents
from polyvec.training.rows import language, read_rows

_WORD = re.compile("[α-ωΑ-Ωά-ώΆΈΉΊΌΎΏΐΰϊϋ]+")


def main() -> None:
    """Read the texts and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of .jsonl.zst files")
    parser.add_argument("table", type=Path, help="file to write")
    given = parser.parse_args()
    forms: Counter[str] = Counter()
    for path in sorted(given.data.rglob("*.jsonl.zst")):
        for text in texts(path):
            words = _WORD.findall(unicodedata.normalize("NFC", text))
            forms.update(word.lower() for word in words if word[1:].islower() or len(word) == 1)
    best: dict[str, str] = {}
    for form, _ in sorted(forms.items(), key=lambda item: (-item[1], item[0])):
        best.setdefault(without_accents(form), form)
    given.table.write_text("\n".join(best.values()) + "\n", encoding="utf-8")


def texts(path: Path) -> Iterator[str]:
    """The Greek sides of every row."""
    for row in read_rows(path):
        if language(str(row.get("lang", "und"))).split("-")[0] == "el":
            yield from (str(row[name]) for name in ("text", "query", "document") if name in row)


if __name__ == "__main__":
    main()
