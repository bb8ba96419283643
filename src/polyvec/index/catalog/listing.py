"""Documents in the order of their ids, and a summary of their metadata: for somebody who reads the index without a search.

Reads the catalog's table of documents. Knows nothing about token vectors.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from polyvec.index.catalog.documents_table import DocumentsTable, StoredDocument
from polyvec.index.catalog.field_counts import FieldSummary, summarized
from polyvec.index.catalog.filters import compile_filter

_PAGE = 200  # documents read at once
_ROWS = 2_000  # whose metadata is read at once
_MOST_PARAMETERS = 500  # of a filter that is asked together with the page
MOST_SAMPLED = 50_000  # documents whose metadata is read for a summary


class Listing(DocumentsTable):
    """Pages of documents by id, and what their metadata holds."""

    def documents_after(self, last: str, condition: Mapping[str, Any] | None) -> Iterator[StoredDocument]:
        """Live documents whose ids come after `last` in code-point order, ascending by id, streamed.

        Args:
            last: An id, which need not be stored; "" begins with the first document.
            condition: A filter on metadata; None for every document.

        Raises:
            FilterError: The filter does not parse.
        """
        sql, parameters, fits = self._condition(condition)
        columns = "row, id, text, metadata, n_tokens, truncated"
        query = f"SELECT {columns} FROM documents WHERE id > ? AND {sql} ORDER BY id LIMIT {_PAGE}"
        while rows := self._rows(query, (last, *parameters)):
            last = rows[-1][1]
            for row, id_, text, metadata, n_tokens, truncated in rows:
                if fits(row):
                    yield StoredDocument(row, id_, text, json.loads(metadata), n_tokens, bool(truncated))

    def _condition(self, condition: Mapping[str, Any] | None) -> tuple[str, list[Any], Callable[[int], bool]]:
        """A filter as SQL where one statement can hold it; otherwise as a test of rows that were found before."""
        if condition is None:
            return "1", [], lambda row: True
        sql, parameters = compile_filter(condition)
        if len(parameters) <= _MOST_PARAMETERS:
            return sql, parameters, lambda row: True
        return "1", [], set(self.rows_where(condition).tolist()).__contains__

    def summarized_fields(self, limit: int) -> dict[str, FieldSummary]:
        """What the metadata of live documents holds, by field.

        Args:
            limit: Values to name of each field, at most.

        Returns:
            As `summarized` has it. Over MOST_SAMPLED documents, as many are drawn at even distances of their rows, and counts are
            estimates.
        """
        total = len(self)
        return summarized(
            self.sampled_metadata(MOST_SAMPLED), limit=limit, total=total if total > MOST_SAMPLED else None
        )

    def sampled_metadata(self, most: int) -> Iterator[dict[str, Any]]:
        """The metadata of every live document; of about `most`, at even distances of their rows, where there are more."""
        if len(self) <= most:
            return self._all_metadata()
        [(first, last)] = self._rows("SELECT min(row), max(row) FROM documents")
        return self._metadata_of(np.unique(np.linspace(first, last, most).astype(np.int64)).tolist())

    def _all_metadata(self) -> Iterator[dict[str, Any]]:
        last = -1
        query = f"SELECT row, metadata FROM documents WHERE row > ? ORDER BY row LIMIT {_ROWS}"
        while rows := self._rows(query, (last,)):
            last = rows[-1][0]
            yield from (json.loads(metadata) for _, metadata in rows)

    def _metadata_of(self, rows: list[int]) -> Iterator[dict[str, Any]]:
        """Metadata of those rows that live documents own."""
        query = "SELECT metadata FROM documents WHERE row IN (SELECT value FROM json_each(?))"
        for start in range(0, len(rows), _ROWS):
            for (metadata,) in self._rows(query, (json.dumps(rows[start : start + _ROWS]),)):
                yield json.loads(metadata)
