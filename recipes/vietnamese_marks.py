"""Texts of many languages -> the table by which Vietnamese gets its marks (src/polyvec/encoder/vietnamese.txt).

    python recipes/vietnamese_marks.py DATA/train src/polyvec/encoder/vietnamese.txt

Reads every row of every .jsonl.zst below the folder: `lang`, and `text` and `en`, or `query` and `document`; and names out of
Unicode's CLDR (`pip install babel`).

The table's first part has a syllable without marks, what it says for Vietnamese, then each way to write it and how often it came.
The second part, behind an empty line, has a form, then each form that came right after it and how often. ^ is the beginning of a
text.
"""

from __future__ import annotations

import argparse
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from polyvec.training.rows import language, read_rows

_WORD = re.compile(r"[^\W\d_]+")
_PLAIN = re.compile("[a-z]+")
_MOST = 600  # rows of a file and language other than Vietnamese
_ENOUGH = 3000  # words, of a language that Vietnamese is told from
_NEAREST = 8  # languages that use a syllable most, and stand for all others
_RARE = 2e-5  # share of the words, below which a syllable is as good as unknown elsewhere
_NAMES = 4  # how often a name counts
_LIMIT = 4.0  # what one syllable says at most


def main() -> None:
    """Read the texts and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of .jsonl.zst files")
    parser.add_argument("table", type=Path, help="file to write")
    given = parser.parse_args()
    forms: Counter[str] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    others: dict[str, Counter[str]] = {}
    rows: Counter[tuple[str, str]] = Counter()
    sources = [*((path.name, texts(path)) for path in sorted(given.data.rglob("*.jsonl.zst"))), ("names", names())]
    for source, found in sources:
        for code, text in found:
            words = [word.lower() for word in _WORD.findall(unicodedata.normalize("NFC", text))]
            rows[source, code] += 1
            if code == "vi":
                forms.update(words)
                pairs.update(zip(["^", *words], words, strict=False))
            elif rows[source, code] <= _MOST:
                others.setdefault(code, Counter()).update(filter(_PLAIN.fullmatch, map(plain, words)))
    given.table.write_text("\n".join(lines(forms, pairs, others)) + "\n", encoding="utf-8")


def texts(path: Path) -> Iterator[tuple[str, str]]:
    """Language and text of every row's sides; of English ones beside a translation every twentieth."""
    for number, row in enumerate(read_rows(path)):
        code = language(str(row.get("lang", "und"))).split("-")[0]
        for name in ("text", "query", "document"):
            if name in row:
                yield code, str(row[name])
        if "en" in row and number % 20 == 0:
            yield "en", str(row["en"])


def names() -> Iterator[tuple[str, str]]:
    """Vietnamese names of countries, languages, months and days, as Unicode's CLDR has them, each as often as `_NAMES` says."""
    from babel import Locale

    locale = Locale("vi")
    found = [*locale.territories.values(), *locale.languages.values()]
    found += [*locale.months["format"]["wide"].values(), *locale.days["format"]["wide"].values()]
    for name in found * _NAMES:
        yield "vi", str(name)


def lines(forms: Counter[str], pairs: Counter[tuple[str, str]], others: dict[str, Counter[str]]) -> Iterator[str]:
    """The table. Syllables that are written in one way alone, and more often elsewhere, are left out: they are foreign words."""
    spelled: dict[str, list[str]] = {}
    for form, _ in forms.most_common():
        if _PLAIN.fullmatch(plain(form)):
            spelled.setdefault(plain(form), []).append(form)
    background = [(counts, counts.total()) for counts in others.values() if counts.total() >= _ENOUGH]
    total, kept = forms.total(), set()
    for syllable in sorted(spelled):
        shares = sorted((counts[syllable] / size for counts, size in background), reverse=True)[:_NEAREST]
        share = sum(forms[form] for form in spelled[syllable]) / total
        says = math.log(share / (sum(shares) / _NEAREST + _RARE))
        if spelled[syllable] != [syllable] or says > 0:
            kept.update(spelled[syllable])
            written = " ".join(f"{form} {forms[form]}" for form in spelled[syllable])
            yield f"{syllable} {max(-_LIMIT, min(_LIMIT, says)):.2f} {written}"
    yield ""
    after: dict[str, list[str]] = {}
    for (before, form), count in sorted(pairs.items(), key=lambda item: (item[0][0], -item[1], item[0][1])):
        if before in kept | {"^"} and form in kept:
            after.setdefault(before, []).append(f"{form} {count}")
    for before, found in after.items():
        yield f"{before} {' '.join(found)}"


def plain(word: str) -> str:
    """A word without marks, as it is typed."""
    parts = unicodedata.normalize("NFD", word.replace("đ", "d").replace("Đ", "D"))
    return "".join(part for part in parts if not unicodedata.combining(part))


if __name__ == "__main__":
    main()
