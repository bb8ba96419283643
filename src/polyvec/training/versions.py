"""The same documents in many languages -> stretches in all of them, and batches of questions for them in few languages.

A batch speaks a handful of languages; each of its questions and each of its passages takes one of them by chance. So the
right passage, often in another language, competes with wrong ones in the question's own, and a language is no sign of an
answer. Knows nothing about models.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from random import Random
from typing import Any

from polyvec.training.passages import checked_rows, estimated_windows, sentences

_COMPLETE = 0.6  # share of a stretch's rows that a language must have
_TAKEN_OUT = 0.5  # share of sentences that their passage, in their own language, is without
_WORD = re.compile(r"[^\s\u3000-\u303f\uff00-\uff0f]+")
_DENSE = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]{2,}")


def as_versions(
    rows: Iterable[dict[str, Any]], tokens: int, group_field: str, where: str, wanted: set[str]
) -> Iterator[dict[str, Any]]:
    """Rows of `en`, `text`, `lang` -> stretches of documents in every language they have, English included.

    A stretch holds between a third of `tokens` (estimated, English) and all of them; a language that has less than
    six tenths of its rows is left out.

    Args:
        wanted: Only these languages; empty: all. All rows are held in memory.

    Yields:
        `group` (the stretch's name), `codes` (languages) and `texts`: for each language the stretch's rows in order,
        "" where one is not translated.

    Raises:
        InputError: A row without the two sides.
    """
    for group, versions in _documents(rows, group_field, where, wanted).items():
        longest = max(versions.values(), key=len)  # its order holds for all
        texts = dict.fromkeys([*longest, *(en for version in versions.values() for en in version)])
        if not wanted or "en" in wanted:
            versions.setdefault("en", {en: en for en in texts})
        members = [{"en": en} for en in texts]
        for number, window in enumerate(estimated_windows(members, tokens, Random(group))):
            english = [row["en"] for row in window]
            found = {code: [version.get(en, "") for en in english] for code, version in versions.items()}
            kept = {code: part for code, part in found.items() if sum(map(bool, part)) >= _COMPLETE * len(english)}
            if kept:
                yield {"group": f"{group}/{number}", "codes": list(kept), "texts": list(kept.values())}


def _documents(
    rows: Iterable[dict[str, Any]], group_field: str, where: str, wanted: set[str]
) -> dict[str, dict[str, dict[str, str]]]:
    """Document -> language -> English row -> that row in the language."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for row in checked_rows(rows, group_field, where):
        if not wanted or row["lang"] in wanted:
            found.setdefault(row["group"], {}).setdefault(row["lang"], {}).setdefault(row["en"], row["text"])
    return found


def asked(rows: Sequence[dict[str, Any]], together: int, turns: Sequence[str], chance: Random) -> list[dict[str, Any]]:
    """Stretches of one batch -> rows of `query`, `document`, `lang` (the query's) and `group`, at most one a stretch.

    Args:
        together: Languages of the batch.
        turns: Drawn by chance, a row; between asks with a sentence, keywords with some words of the passage. Where
            question and passage are in one language, half of the passages lack the sentence that asks.
    """
    versions = _spoken(rows, together, chance)
    frequency = _frequency(versions)
    found = []
    for row, known in zip(rows, versions, strict=True):
        if not known:
            continue
        asking, answering = chance.choice(sorted(known)), chance.choice(sorted(known))
        document = " ".join(filter(None, known[answering]))
        if chance.choice(turns) == "keywords":
            query = _keywords(" ".join(known[asking]), frequency[asking], chance)
        else:
            query, document = _sentence(known[asking], known[answering], document, asking == answering, chance)
        if query:
            found.append({"query": query, "document": document, "lang": asking, "group": row["group"]})
    return found


def asked_in_every(
    rows: Sequence[dict[str, Any]], together: int, turns: Sequence[str], chance: Random
) -> list[dict[str, Any]]:
    """Stretches of one batch -> rows as `asked` makes, with every language of the batch that a stretch has.

    `queries` are its questions, one in each of the languages `codes`; `documents` the stretch in these, each without the
    sentence that asks for it in its own language, where others are left. `query`, `document` and `lang` are the first of them.
    """
    versions = _spoken(rows, together, chance)
    frequency = _frequency(versions)
    found = []
    for row, known in zip(rows, versions, strict=True):
        codes, queries, documents = [], [], []
        for code in sorted(known):
            document = " ".join(filter(None, known[code]))
            if chance.choice(turns) == "keywords":
                query = _keywords(document, frequency[code], chance)
            else:
                query, document = _sentence(known[code], known[code], document, True, chance)
            if query and document:
                codes.append(code)
                queries.append(query)
                documents.append(document)
        if codes:
            first = {"query": queries[0], "document": documents[0], "lang": codes[0], "group": row["group"]}
            found.append(first | {"codes": codes, "queries": queries, "documents": documents})
    return found


def _spoken(rows: Sequence[dict[str, Any]], together: int, chance: Random) -> list[dict[str, Any]]:
    """Of each stretch its texts by language, in the languages that are drawn for the batch."""
    spoken = _languages(rows, together, chance)
    return [
        {code: texts for code, texts in zip(row["codes"], row["texts"], strict=True) if code in spoken} for row in rows
    ]


def _languages(rows: Sequence[dict[str, Any]], together: int, chance: Random) -> set[str]:
    """Languages by chance, one that has more of the stretches more often."""
    counts = Counter(code for row in rows for code in row["codes"])
    keys = {code: chance.random() ** (1 / count) for code, count in sorted(counts.items())}
    return set(sorted(keys, key=keys.__getitem__, reverse=True)[:together])


def _sentence(asking: list[str], answering: list[str], document: str, alike: bool, chance: Random) -> tuple[str, str]:
    """A sentence of a row that both languages have, and the passage; "" where there is none that means something."""
    both = [mine for mine, other in zip(asking, answering, strict=True) if mine and other]
    candidates = [part for text in both for part in sentences(text)]
    if not candidates:
        return "", document
    query = chance.choice(candidates)
    rest = [part for text in answering for part in sentences(text) if part != query]
    if alike and len(rest) > 1 and chance.random() < _TAKEN_OUT:
        return query, " ".join(rest)
    return query, document


def _keywords(text: str, frequency: Counter[str], chance: Random) -> str:
    """Three to eight words of a text in their order, rare ones first; at times with common words from elsewhere."""
    found = _words(text, chance)
    keys = [chance.random() ** frequency[word.lower()] for word in found]  # 1 / rarity is the weight
    chosen = sorted(range(len(found)), key=keys.__getitem__, reverse=True)[: chance.randint(3, 8)]
    picked = [found[i] for i in sorted(chosen)]
    if len(picked) > 1 and chance.random() < 0.5:
        common = [word for word, _ in frequency.most_common(40)]
        for _ in range(chance.randint(1, 3)):
            picked.insert(chance.randint(0, len(picked)), chance.choice(common))
    return " ".join(picked)


def _words(text: str, chance: Random) -> list[str]:
    """Words between spaces, without punctuation around them; stretches of scripts without spaces in short spans."""
    found = []
    for match in _WORD.finditer(text):
        word = match.group().strip(".,;:!?\"'()[]{}«»“”„‘’…–—-·।؟،؛¿¡")
        if not _DENSE.search(word):
            found.append(word)
            continue
        start = 0
        while start < len(word):
            length = chance.randint(2, 5)
            found.append(word[start : start + length])
            start += length
    return [word for word in found if word]


def _frequency(versions: Sequence[dict[str, list[str]]]) -> dict[str, Counter[str]]:
    """By language, how many of a batch's passages hold a word."""
    found: dict[str, Counter[str]] = {}
    for known in versions:
        for code, texts in known.items():
            # not a set, whose order is another one in each process
            words = dict.fromkeys(word.lower() for word in _words(" ".join(texts), Random(0)))
            found.setdefault(code, Counter()).update([*words])
    return found
