"""The JSON that a server answers with -> what the methods of an index return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from polyvec.data import Document
from polyvec.index.catalog.field_counts import FieldSummary
from polyvec.index.writing.report import AddReport
from polyvec.search.explain import Explanation
from polyvec.search.hits import Hit
from polyvec.search.matches import TokenMatch
from polyvec.search.missing import note_missing


def results_of(answer: Any) -> list[list[Hit]]:
    """The hits of each query, in the order of the queries. Shards that were not searched are noted."""
    if missing := answer.get("missing_shards"):
        note_missing(missing)
    return [[hit_of(row) for row in found["hits"]] for found in answer["results"]]


def hit_of(row: Mapping[str, Any]) -> Hit:
    """One hit of a search."""
    return Hit(
        id=row["id"],
        score=row["score"],
        rank=row["rank"],
        text=row["text"],
        metadata=row["metadata"],
        normalized_score=row["normalized_score"],
        parts=row.get("parts") or {},
        ranks=row.get("ranks") or {},
    )


def reranked(document: Document, row: Mapping[str, Any], rank: int) -> Hit:
    """One hit of a reranking: a document that was given, and its place and scores."""
    share = row["relevance_score"]
    return Hit(document.id, row["score"], rank, document.text, document.metadata, normalized_score=share)


def explanation_of(answer: Any) -> Explanation:
    """Which token met which."""
    matches = tuple(
        TokenMatch(
            query_token=match["query_token"],
            query_span=_span(match["query_span"]),
            document_token=match["document_token"],
            document_span=_span(match["document_span"]),
            similarity=match["similarity"],
            prominence=match["prominence"],
        )
        for match in answer["matches"]
    )
    return Explanation(answer["query"], answer["text"], answer["score"], matches)


def _span(given: Any) -> tuple[int, int] | None:
    return None if given is None else (given[0], given[1])


def documents_of(answer: Any) -> list[Document | None]:
    """Documents in the order of their ids; None where one is not stored."""
    return [None if d is None else Document(d["id"], d["text"], d["metadata"]) for d in answer["documents"]]


def summaries_of(answer: Any) -> dict[str, FieldSummary]:
    """Metadata fields by their names."""
    found = {}
    for row in answer["fields"]:
        values = tuple((one["value"], one["documents"]) for one in row["values"])
        found[row["name"]] = FieldSummary(**{**row, "types": tuple(row["types"]), "values": values})
    return found


def report_of(answer: Any) -> AddReport:
    """What a write did."""
    counted = {one.name for one in fields(AddReport)}
    return AddReport(**{name: value for name, value in answer.items() if name in counted})
