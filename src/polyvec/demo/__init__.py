"""The corpus that ships with polyvec: passages and questions in many languages, with judgments.

A BEIR folder, written for this project and CC0. Judgments come in two splits: `same` (the passage in the question's own
language) and `cross` (the passages on it in the other languages).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyvec.collection.index import Index
from polyvec.data import Document, Query, read_documents, read_qrels, read_queries
from polyvec.errors import StorageError
from polyvec.evaluation.measures import compute_measures
from polyvec.index.catalog.catalog import CATALOG_FILE

if TYPE_CHECKING:
    from polyvec.encoder import TokenEncoder

CORPUS = Path(__file__).parent / "corpus"
SPLITS = ("same", "cross")
_SHOWN = ("en-02", "en-14", "en-17", "de-17", "fr-03", "es-07", "ru-19", "ar-15", "zh-18", "ja-14", "ko-10")


@dataclass(frozen=True)
class Demo:
    """Documents, questions, and judgments by split."""

    documents: list[Document]
    queries: list[Query]
    qrels: dict[str, dict[str, dict[str, int]]]


def load_demo() -> Demo:
    """Read the corpus from inside the package."""
    return Demo(
        documents=list(read_documents(CORPUS)),
        queries=list(read_queries(CORPUS / "queries.jsonl")),
        qrels={split: read_qrels(CORPUS / "qrels" / f"{split}.tsv") for split in SPLITS},
    )


def build_demo_index(demo: Demo, path: Path, encoder: TokenEncoder, progress: Callable[[int], None]) -> Index:
    """Index the corpus at `path`, in place of an earlier demo's index.

    Raises:
        StorageError: Something else is in the way.
    """
    if (path / CATALOG_FILE).is_file():
        with Index(path, encoder=None, resume=True) as earlier:
            ours = all(d is not None for d in earlier.get(document.id for document in demo.documents))
        if not ours:
            raise StorageError(f"{path} is an index of something else. Choose another path with --index.")
        shutil.rmtree(path)
    index = Index.create(path, encoder=encoder)
    index.add(demo.documents, progress=progress)
    return index


def show_questions(demo: Demo) -> list[str]:
    """A few questions in different languages, for people to look at."""
    texts = {query.id: query.text for query in demo.queries}
    return [texts[query_id] for query_id in _SHOWN]


def measure(index: Index, demo: Demo, *, k: int = 100) -> dict[str, Any]:
    """nDCG@10 of the demo's questions over both splits, overall and by language of the question."""
    found = index.search([query.text for query in demo.queries], k=k)
    by_lang: dict[str, dict[str, float]] = {}
    languages = {query.id: query.lang or "" for query in demo.queries}
    for split in SPLITS:
        # the other split's passages are neither right nor wrong here: take them out of the ranking
        other = demo.qrels["cross" if split == "same" else "same"]
        run = {
            query.id: {hit.id: hit.score for hit in hits if hit.id not in other.get(query.id, {})}
            for query, hits in zip(demo.queries, found, strict=True)
        }
        for query_id, value in compute_measures(demo.qrels[split], run, ["nDCG@10"]).items():
            row = by_lang.setdefault(languages[query_id], {"queries": 0, "same": 0.0, "cross": 0.0})
            row["queries"] += split == "same"
            row[split] += value["nDCG@10"]
    overall = {name: sum(row[name] for row in by_lang.values()) for name in ("queries", *SPLITS)}
    for row in (*by_lang.values(), overall):
        for split in SPLITS:
            row[split] = round(row[split] / row["queries"], 4)
    return {"overall": overall, "by_lang": by_lang}
