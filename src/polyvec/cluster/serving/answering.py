"""What a machine does with one version of one shard: a call comes in, a reply goes out.

A search is answered with lists that several shards' lists can be merged with: every row in them has each score that fusion needs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from polyvec.cluster.serving.question import Answer, Question, Scored
from polyvec.index.catalog.documents_table import StoredDocument
from polyvec.index.catalog.keywords import Term, query_terms
from polyvec.index.catalog.settings import IndexSettings
from polyvec.index.catalog.word_counts import KeywordTotals
from polyvec.index.engine.options import SearchOptions
from polyvec.index.recovery.checking import index_facts
from polyvec.index.views import View
from polyvec.search.retrieve import allowed_rows, of_each_list
from polyvec.shards.keywords import best_first, keyword_scores


@dataclass(frozen=True)
class Description:
    """One version of one shard.

    Attributes:
        label: Of the version.
        settings: Of the index.
        totals: What keyword search counts in it.
        facts: As `polyvec info` shows them.
    """

    label: str
    settings: IndexSettings
    totals: KeywordTotals
    facts: dict[str, Any]


def search(view: View, question: Question, threads: int) -> Answer:
    """What this shard has for one query.

    Args:
        view: The version.
        question: The query.
        threads: To search with.

    Raises:
        InputError: Options or filter make no sense.
    """
    options = SearchOptions.from_dict(question.options)
    allowed = allowed_rows(view.catalog, options.subset, options.filter)
    lists = of_each_list(options.unrestricted())
    late: Scored | None = None
    keyword: Scored | None = None
    others: Scored = (np.empty(0, np.int64), np.empty(0, np.float32))
    if question.vectors is not None:
        late = view.snapshot.search(question.vectors, lists, subset=allowed, threads=threads)
    if question.keywords is not None:
        assert question.text is not None
        found = [view.catalog.word_counts(query_terms(question.text))]
        weights, totals = question.keywords.weights, question.keywords.totals
        scored = keyword_scores(found, weights, totals, view.catalog.keyword_lengths, allowed)
        keyword = best_first(*scored, lists.k, () if late is None else late[0].tolist())
    if question.vectors is not None and late is not None and keyword is not None:
        rest = np.setdiff1d(keyword[0], late[0])
        if len(rest):
            whole = SearchOptions(k=len(rest), exact=True)
            others = view.snapshot.search(question.vectors, whole, subset=rest, threads=threads)
    best = {row for found_rows in (late, keyword) if found_rows for row in found_rows[0][: question.documents].tolist()}
    return Answer(late, keyword, others, tuple(view.catalog.documents(best).values()))


def describe(view: View, label: str) -> Description:
    """What has to be known of a version before it is searched."""
    return Description(label, view.settings, view.catalog.keyword_totals(), index_facts(view.catalog.path.parent, view))


def documents_with(view: View, terms: Iterable[Term]) -> list[int]:
    """In how many documents of this shard each word is."""
    return [view.catalog.documents_with(term) for term in terms]


def documents(view: View, rows: list[int]) -> dict[int, StoredDocument]:
    """The documents of the given rows, by row."""
    return view.catalog.documents(rows)


def rows_of(view: View, ids: list[str]) -> dict[str, int]:
    """The rows of the ids that are stored here."""
    return view.catalog.rows_of(ids)


def rows_where(view: View, condition: Mapping[str, Any]) -> Any:
    """The rows that a filter leaves, ascending."""
    return view.catalog.rows_where(condition)


def documents_after(view: View, last: str, condition: Mapping[str, Any] | None, count: int) -> list[StoredDocument]:
    """The next documents by id."""
    return list(islice(view.catalog.documents_after(last, condition), count))


def sampled_metadata(view: View, most: int) -> list[dict[str, Any]]:
    """Metadata of about so many documents, for a summary."""
    return list(view.catalog.sampled_metadata(most))


def vectors(view: View, row: int) -> Any:
    """(t, d) float32: the stored token vectors of one row."""
    return view.snapshot.vectors(row)


# Beside `search` and `describe`: what a call may name.
METHODS: dict[str, Callable[..., Any]] = {
    one.__name__: one
    for one in (documents_with, documents, rows_of, rows_where, documents_after, sampled_metadata, vectors)
}


def state_label(view: View) -> str:
    """A label for the state of a folder that has no number: the same on every machine that has the same documents open."""
    records = [(record.file, record.checksum) for record in view.catalog.segments()]
    counts = view.catalog.counts()
    said = json.dumps([view.settings.to_json(), records, counts], sort_keys=True, default=str)
    return f"folder-{hashlib.sha256(said.encode()).hexdigest()[:32]}"
