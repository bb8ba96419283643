"""Rows of many files and languages -> batches: one dataset a batch, languages balanced, lengths alike, never the same text twice.

Rows lie memory-mapped on disk (datasets' Arrow cache), so files may be larger than memory. The sequence of batches
depends on the recipe alone:
batch n is the same whether one began at 0 or resumed at n. Knows nothing about models.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from polyvec.data.files import named
from polyvec.errors import InputError, PolyvecError
from polyvec.training.passages import as_joined, as_passages
from polyvec.training.recipe import TURNS, Batches, Data
from polyvec.training.rows import (
    MinedRow,
    PairRow,
    ParallelRow,
    ScoredRow,
    TextRow,
    language,
    mined_row,
    pair_row,
    parallel_row,
    placed,
    read_rows,
    scored_row,
    short_language,
    text_row,
)
from polyvec.training.versions import as_versions, asked, asked_in_every

if TYPE_CHECKING:
    from polyvec.encoder.tokens import Piece

_FIELDS = {
    "parallel": ("en", "text"),
    "pairs": ("query", "document"),
    "joined": ("en", "text"),
    "passages": ("query", "document"),
    "versions": ("query", "document"),
    "mined": ("query", "documents"),
    "scored": ("query", "documents", "scores"),
}
_CHECKED = 2  # changes with what is asked of rows, so that none is taken from a cache that asked less
_POOL = 16  # batches that are sorted by length together


@dataclass(frozen=True)
class Batch:
    """The rows of one step, all from one dataset."""

    number: int
    source: str
    rows: list[dict[str, Any]]
    pieces: tuple[list[Piece], ...] = ()  # the tokens of each side that the stage reads, once it has read them


class Source:
    """One dataset: its rows, their languages and estimated lengths in tokens."""

    def __init__(self, data: Data, cache: Path) -> None:
        path = Path(data.path)
        self.kind, self.weight, self.name = data.kind, data.weight, data.name or path.name.split(".")[0]
        fields = _FIELDS.get(data.kind, (data.text_field,))
        if not path.is_file():
            raise InputError(f"{named(path)} is missing. Correct the path in the recipe.")
        self._turns, self._together = data.turns or TURNS.get(data.kind, ()), data.together
        self._asked = asked_in_every if data.every else asked
        self._neighbors = data.neighbors if data.kind == "versions" else 1
        self._rows = _cached(path, data, fields, cache)
        codes = np.array(self._rows["lang"])
        self.languages, self._code = np.unique(codes, return_inverse=True)
        self._members = [np.flatnonzero(self._code == i) for i in range(len(self.languages))]
        self.lengths: npt.NDArray[np.int32] = np.array(self._rows["length"], np.int32)
        self.texts: npt.NDArray[np.int64] = np.array(self._rows["text_id"], np.int64)  # equal for equal documents

    def __len__(self) -> int:
        return len(self._rows)

    def counts(self) -> dict[str, int]:
        """Rows of each language; of kind versions: stretches that it has."""
        if self.kind == "versions":
            return dict(Counter(code for codes in self._rows["codes"] for code in codes))
        return {str(code): len(rows) for code, rows in zip(self.languages, self._members, strict=True)}

    def rows(self, numbers: npt.NDArray[np.int64], chance: Random) -> list[dict[str, Any]]:
        """Rows by number.

        Args:
            chance: For kind versions, which is asked for in languages that are drawn for the batch.
        """
        found = [self._rows[int(i)] for i in _beside(numbers, self._neighbors, len(self))]
        return self._asked(found, self._together, self._turns, chance) if self.kind == "versions" else found

    def drawn(self, seed: int, power: float, one_language: bool, pool: int) -> Iterator[list[npt.NDArray[np.int64]]]:
        """Pools of row numbers for ever: each pool is a list of groups of one language, or one group of all.

        Within a language every row comes once before any comes twice.
        """
        generator = np.random.default_rng(seed)
        sizes = np.array([len(rows) for rows in self._members], float)
        chances = sizes**power / (sizes**power).sum()
        cycles = [_cycle(rows, np.random.default_rng([seed, i])) for i, rows in enumerate(self._members)]
        while True:
            if one_language:
                chosen = np.full(pool, generator.choice(len(sizes), p=chances))
            else:
                chosen = generator.choice(len(sizes), size=pool, p=chances)
            yield [np.array([next(cycles[i]) for i in chosen.tolist()], np.int64)]


class Mixture:
    """Batches from several sources.

    Raises:
        InputError: Files that are missing, empty, or lack a field, or a language that none of them has.
    """

    def __init__(self, data: tuple[Data, ...], batches: Batches, *, seed: int, cache: Path) -> None:
        self.sources = [Source(one, cache) for one in data]
        wanted = {language(code) for one in data for code in one.languages}
        lacking = sorted(wanted - {str(code) for source in self.sources for code in source.counts()})
        if lacking:
            raise InputError(
                f"The recipe names the languages {', '.join(lacking)}, of which no dataset has a row. Take them out, or add data."
            )
        self._batches, self._seed = batches, seed

    def batches(self, start: int = 0, every: int = 1) -> Iterator[Batch]:
        """Batches number `start`, `start` + `every` ... for ever; rows of the others are not read."""
        generator = np.random.default_rng(self._seed)
        weights = np.array([source.weight for source in self.sources])
        plans = [self._plan(source, self._seed * 1000 + i) for i, source in enumerate(self.sources)]
        number = 0
        while True:
            i = int(generator.choice(len(plans), p=weights / weights.sum()))
            rows = next(plans[i])
            if number >= start and (number - start) % every == 0:
                found = self.sources[i].rows(rows, Random(f"{self._seed}/{number}"))
                yield Batch(number, self.sources[i].name, _distinct(found, self.sources[i].kind))
            number += 1

    def _plan(self, source: Source, seed: int) -> Iterator[npt.NDArray[np.int64]]:
        settings = self._batches
        pool = settings.rows * _POOL
        order = np.random.default_rng([seed, 7])
        for groups in source.drawn(seed, settings.language_power, settings.one_language, pool):
            for group in groups:
                ready = list(_cut(group, source.lengths, source.texts, settings.rows, settings.tokens))
                for i in order.permutation(len(ready)):
                    yield ready[i]


def _cut(
    numbers: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.int32],
    texts: npt.NDArray[np.int64],
    rows: int,
    tokens: int,
) -> Iterator[npt.NDArray[np.int64]]:
    """Groups of like length: at most `rows`, and `tokens` with padding; at least two rows where there are.

    Repeats of a document, alike in length by nature, are kept apart: every document's first row, then every second.
    """
    ordered = numbers[np.lexsort((lengths[numbers], _occurrence(texts[numbers])))]
    start = 0
    while start < len(ordered):
        end = start + 1
        while end < len(ordered) and end - start < rows and (end - start + 1) * int(lengths[ordered[end]]) <= tokens:
            end += 1
        end = max(end, min(start + 2, len(ordered)))
        yield ordered[start:end]
        start = end


def _beside(numbers: npt.NDArray[np.int64], count: int, total: int) -> list[int]:
    """As many rows in place of some, the first of these with those next to it, so that each has `count` - 1 neighbors.

    Args:
        total: Of the rows that there are.
    """
    if count == 1:
        return [int(i) for i in numbers]
    runs = [range(first, min(first + count, total)) for first in (int(i) // count * count for i in numbers)]
    return list(dict.fromkeys(i for run in runs for i in run))[: len(numbers)]


def _occurrence(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """For each value, how many equal ones stand before it."""
    order = np.argsort(values, kind="stable")
    place = np.arange(len(values))
    first = np.flatnonzero(np.concatenate([[True], values[order][1:] != values[order][:-1]]))
    starts = np.repeat(first, np.diff(np.append(first, len(values))))
    found = np.empty(len(values), np.int64)
    found[order] = place - starts
    return found


def _cycle(rows: npt.NDArray[np.int64], generator: np.random.Generator) -> Iterator[int]:
    while True:
        yield from generator.permutation(rows).tolist()


def _distinct(rows: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Without rows that repeat another's query, document or group: they would be false negatives."""
    if kind == "text":
        return rows
    seen: set[str] = set()
    kept = []
    for row in rows:
        keys = {_side(row[name]) for name in _FIELDS[kind][:2]} | ({"\0" + row["group"]} if row["group"] else set())
        if not keys & seen:
            seen |= keys
            kept.append(row)
    return kept


def estimated_tokens(text: str) -> int:
    """Tokens that a text will have, roughly: four characters each, one and a half in scripts without spaces."""
    dense = sum(character >= "⺀" for character in text)
    return 3 + (len(text) - dense) // 4 + dense * 2 // 3


def _cached(path: Path, data: Data, fields: tuple[str, ...], cache: Path) -> Any:
    import datasets

    if next(iter(read_rows(path)), None) is None:
        raise InputError(f"{named(path)} has no rows. Expected rows with {', '.join(fields)}.")
    state = path.stat()
    stamp = {"data": asdict(data), "state": f"{_CHECKED}-{state.st_size}-{state.st_mtime_ns}"}
    bars = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        rows = datasets.Dataset.from_generator(
            _normalized, gen_kwargs=stamp, cache_dir=str(cache), keep_in_memory=False
        )
    except datasets.exceptions.DatasetGenerationError as error:
        cause = error.__cause__ or error
        raise cause if isinstance(cause, PolyvecError) else InputError(f"{named(path)}: {cause}") from error
    finally:
        if not bars:
            datasets.enable_progress_bars()
    return rows


def _normalized(data: dict[str, Any], state: str) -> Iterator[dict[str, Any]]:
    """The rows of a file as batches need them. All are checked here, before the first step. state: what the cache goes by."""
    path, kind, group = Path(data["path"]), data["kind"], data["group_field"]
    where, rows = named(path), read_rows(path)
    wanted = {language(code) for code in data["languages"]}
    given = 0
    if kind == "versions":
        copies = data["together"] if data["every"] else 1
        for stretch in _stretches(as_versions(rows, data["passage_tokens"], group, where, wanted), copies):
            given += 1
            yield stretch
    else:
        if kind == "passages":
            turns = data["turns"] or TURNS["passages"]
            rows, kind, group = as_passages(rows, data["passage_tokens"], group, where, turns), "pairs", "group"
        elif kind == "joined":
            rows, kind, group = as_joined(rows, data["passage_tokens"], group, where), "parallel", "group"
        for row, place in placed(rows, where, group):
            kept = _checked(row, kind, place, data["text_field"], group)
            code = short_language(kept["lang"], place)
            if (kind == "scored" and len(kept["documents"]) < 2) or (wanted and code not in wanted):
                continue  # of one document: nothing to rank, all that mining found was dropped
            given += 1
            yield kept | {"lang": code}
    if not given:
        asked = f" in {', '.join(data['languages'])}" if wanted else ""
        few = " with two candidates or more" if kind == "scored" else ""
        raise InputError(
            f"{where} gives no rows{few}{asked}. Change the recipe's languages or kind, or leave the file out."
        )


def _checked(row: Mapping[str, Any], kind: str, where: str, text_field: str, group: str) -> dict[str, Any]:
    """The fields of a row, its longest text's estimated tokens, and a number that is equal for equal documents."""
    checked: TextRow | ParallelRow | PairRow | MinedRow | ScoredRow
    if kind == "text":
        checked = text_row(row, where, text_field=text_field, group_field=group)
    elif kind == "parallel":
        checked = parallel_row(row, where, group_field=group)
    elif kind == "pairs":
        checked = pair_row(row, where, group_field=group)
    elif kind == "mined":
        checked = mined_row(row, where, group_field=group)
    else:
        checked = scored_row(row, where, group_field=group)
    names = ("text",) if kind == "text" else _FIELDS[kind]
    kept = {name: getattr(checked, name) for name in names}
    texts = [text for name in names if name != "scores" for text in _texts(kept[name])]
    text = checked.group or _side(kept[names[1 % len(names)]])
    return {name: list(value) if isinstance(value, tuple) else value for name, value in kept.items()} | {
        "lang": checked.lang,
        "group": checked.group,
        "length": max(map(estimated_tokens, texts)),
        "text_id": zlib.crc32(text.encode()),
    }


def _stretches(found: Iterator[dict[str, Any]], copies: int) -> Iterator[dict[str, Any]]:
    """With what batches are made by: one pseudo-language, the mean length of `copies` versions, the name's number."""
    for row in found:
        lengths = [estimated_tokens(" ".join(texts)) for texts in row["texts"]]
        length = round(copies * sum(lengths) / len(lengths))
        yield row | {"lang": "mul", "length": length, "text_id": zlib.crc32(row["group"].encode())}


def _side(value: Any) -> str:
    """A text, or the first of a list: the true document of a query with candidates."""
    return str(value if isinstance(value, str) else value[0])


def _texts(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value
