"""One version of a collection whose shards are on other machines: what is known of it, and calls to its shards.

All calls name the version of the shard that they mean, so what they return is of one committed state.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from polyvec.cluster.serving.answering import Description
from polyvec.cluster.serving.asking import ShardCalls
from polyvec.cluster.serving.loop import Loop
from polyvec.cluster.serving.merged import MergedCatalog, MergedSnapshot
from polyvec.cluster.serving.place import CollectionAt
from polyvec.cluster.serving.question import Answer, Call, Keywords, Question
from polyvec.errors import IndexCorruptError, ModelMismatchError, ShardsMissingError
from polyvec.index.catalog.documents_table import idf
from polyvec.index.catalog.keywords import Term, query_terms
from polyvec.index.catalog.settings import IndexSettings
from polyvec.index.catalog.word_counts import KeywordTotals
from polyvec.index.engine.options import SearchOptions
from polyvec.search.retrieve import PreparedQuery
from polyvec.shards.routing import by_shard
from polyvec.shards.session import joined_facts

_MOST_SENT = 50  # documents that each shard sends along with its answer
_MOST_WORDS = 100_000  # whose counts are kept


@dataclass(frozen=True)
class Answers:
    """What the shards have for one query.

    Attributes:
        found: By the number of the shard. One that cannot have any hit was not asked.
        missing: Names of those that did not answer.
        having: In how many documents each word of the query is; of all shards but the missing ones.
    """

    found: dict[int, Answer]
    missing: list[str]
    having: list[int]

    def without(self, names: Sequence[str], all_names: Sequence[str]) -> Answers:
        """The same, but for some shards that answer no more."""
        found = {number: answer for number, answer in self.found.items() if all_names[number] not in names}
        return Answers(found, [*self.missing, *names], self.having)


@dataclass(eq=False)
class OpenVersion:
    """A version that is searched. A `ReadableView` too.

    Attributes:
        published: Which version it is.
        parts: What each shard says of itself, in order.
        calls: To the shards, in order.
        loop: That runs them.
    """

    published: CollectionAt
    parts: Sequence[Description]
    calls: Sequence[ShardCalls]
    loop: Loop
    settings: IndexSettings = field(init=False)
    totals: KeywordTotals = field(init=False)
    _having: dict[Term, int] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        first = self.parts[0].settings
        codec = None
        for name, part in zip(self.published.names, self.parts, strict=True):
            one = part.settings
            if (one.dim, one.nbits) != (first.dim, first.nbits):
                raise IndexCorruptError(
                    f"{name} has dim {one.dim} and nbits {one.nbits}, and others {first.dim} and {first.nbits}."
                )
            if (one.model and one.model.fingerprint) != (first.model and first.model.fingerprint):
                raise ModelMismatchError(f"{name} was made by another model than others: their vectors do not compare.")
            if codec is not None and one.codec is not None and one.codec.checksum != codec.checksum:
                raise IndexCorruptError(f"{name} has another codec than others. Build the shards together.")
            codec = codec or one.codec
        self.settings = replace(first, codec=codec)
        totals = [part.totals for part in self.parts]
        self.totals = KeywordTotals(sum(one.documents for one in totals), sum(one.tokens for one in totals))

    # -- for reading -------------------------------------------------------------------------------------------------------

    @property
    def catalog(self) -> MergedCatalog:
        """Documents of this version."""
        return MergedCatalog(self)

    @property
    def snapshot(self) -> MergedSnapshot:
        """Their token vectors, one document's at a time."""
        return self._snapshot(())

    @property
    def documents(self) -> list[int]:
        """How many each shard has."""
        return [part.facts["documents"] for part in self.parts]

    def facts(self) -> dict[str, Any]:
        """Counts and sizes of all shards together."""
        return joined_facts([part.facts for part in self.parts])

    def each(self, method: str, arguments: Mapping[int, tuple[Any, ...]]) -> dict[int, Any]:
        """See `polyvec.cluster.serving.merged.Shards.each`."""
        found, missing = self.loop.wait(self._each(method, arguments))
        if missing:
            raise _missing(missing)
        return found

    # -- for a search ------------------------------------------------------------------------------------------------------

    def answers(self, query: PreparedQuery, options: SearchOptions) -> Answers:
        """What the shards have for one query.

        Args:
            query: The query.
            options: How to search.

        Raises:
            NotHeldError: The machines of some shard have this version no more.
            InputError: What was asked makes no sense.
        """
        return self.loop.wait(self._answers(query, options))

    def merged(self, answers: Answers) -> tuple[MergedSnapshot, MergedCatalog]:
        """What `search_snapshot` asks, answered from these."""
        given = tuple(answers.found.values())
        return self._snapshot(given), MergedCatalog(self, given, answers.having)

    async def _answers(self, query: PreparedQuery, options: SearchOptions) -> Answers:
        missing: list[str] = []
        having: list[int] = []
        keywords = None
        if options.mode != "late" and query.text is not None:
            having, missing = await self._having_each(query.text)
            keywords = Keywords(self.totals, tuple(idf(self.totals.documents, count) for count in having))
        question = Question(
            options.to_dict(),
            query.text if keywords is not None else None,
            query.vectors if options.mode != "keyword" else None,
            keywords,
            min(options.k, _MOST_SENT),
        )
        numbers = [n for n, name in enumerate(self.published.names) if name not in missing]
        found, more = await self._each("search", {n: (one,) for n, one in self._questions(question, options, numbers)})
        return Answers(found, [*missing, *more], having)

    def _questions(self, question: Question, options: SearchOptions, numbers: list[int]) -> list[tuple[int, Question]]:
        """The question for each shard: ids to choose from go only where they belong."""
        if options.subset is None:
            return [(number, question) for number in numbers]
        ids = by_shard(options.subset, len(self.parts))
        return [
            (number, replace(question, options={**question.options, "subset": ids[number]}))
            for number in numbers
            if ids[number]
        ]

    async def _having_each(self, text: str) -> tuple[list[int], list[str]]:
        """In how many documents each word of a query is, and the shards that could not be asked."""
        terms = query_terms(text)
        missing: list[str] = []
        having = self._having
        if unknown := [term for term in terms if term not in having]:
            counts, missing = await self._each("documents_with", dict.fromkeys(range(len(self.parts)), (unknown,)))
            asked = {term: sum(part[i] for part in counts.values()) for i, term in enumerate(unknown)}
            having = {**having, **asked}
            if not missing:
                self._having = asked if len(having) > _MOST_WORDS else having
        return [having[term] for term in terms], missing

    async def _each(self, method: str, arguments: Mapping[int, tuple[Any, ...]]) -> tuple[dict[int, Any], list[str]]:
        """A call to several shards at once. Returns what they return, and the names of those that do not answer."""
        numbers = list(arguments)
        calls = [self.calls[n].ask(Call(method, self.parts[n].label, arguments[n])) for n in numbers]
        results = await asyncio.gather(*calls, return_exceptions=True)
        found: dict[int, Any] = {}
        missing: list[str] = []
        for number, result in zip(numbers, results, strict=True):
            if isinstance(result, ShardsMissingError):
                missing += result.shards
            elif isinstance(result, BaseException):
                raise result
            else:
                found[number] = result
        return found, missing

    def _snapshot(self, answers: tuple[Answer, ...]) -> MergedSnapshot:
        return MergedSnapshot(Path(self.published.names[0]), answers=answers, row_vectors=self._row_vectors)

    def _row_vectors(self, row: int) -> Any:
        number = row % len(self.parts)
        return self.each("vectors", {number: (row,)})[number]


def _missing(names: Sequence[str]) -> ShardsMissingError:
    several = "those shards" if len(names) > 1 else "that shard"
    return ShardsMissingError(
        f"No machine answers for {', '.join(names)}, and the call needs {several}. Ask again later.", tuple(names)
    )
