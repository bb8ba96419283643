"""A BEIR folder or an ir_datasets id -> documents, queries and judgments, languages included where they are known."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polyvec.arguments import shown
from polyvec.data import Document, Qrels, Query, read_documents, read_qrels, read_queries
from polyvec.data.documents import beir_file
from polyvec.data.files import as_path
from polyvec.errors import InputError, MissingExtraError

log = logging.getLogger(__name__)

_SPLIT = re.compile(r"([^.].*)\.tsv(?:\.gz|\.zst)?", re.IGNORECASE)


@dataclass(frozen=True)
class Dataset:
    """What a system is judged on.

    Attributes:
        documents: Streams the collection anew at each call.
    """

    name: str
    queries: list[Query]
    qrels: Qrels
    documents: Callable[[], Iterator[Document]]
    warned: set[str] = field(default_factory=set, repr=False, compare=False)  # of what a warning was given already

    def judged_queries(self) -> list[Query]:
        """The queries that have judgments, in the order of the file."""
        return [query for query in self.queries if query.id in self.qrels]

    def check_judged(self, documents: Iterable[Document]) -> dict[str, str]:
        """Hold the judgments against a collection; returns the languages by id, of the documents that have one.

        Judged documents that are not there, or were left out as empty, count as not found; one warning says how many.

        Raises:
            InputError: None of the judged documents is there, so the ids are not those of this collection.
        """
        judged = {document_id for grades in self.qrels.values() for document_id in grades}
        absent = set(judged)
        languages = {}
        for document in documents:
            absent.discard(document.id)
            if lang := document.metadata.get("lang"):
                languages[document.id] = str(lang)
        if judged and absent == judged:
            raise InputError(
                f"{self.name}: none of the {len(judged):,} judged documents is in the collection, {min(judged)!r} among them. "
                "Give the collection that the judgments are for, with the same ids."
            )
        if absent and "judged" not in self.warned:
            self.warned.add("judged")
            log.warning(
                "%s: %s of %s judged documents are not in the collection or are empty, %r among them. They count as not found.",
                self.name, f"{len(absent):,}", f"{len(judged):,}", min(absent),
            )  # fmt: skip
        return languages


def load_dataset(dataset: str | Path, *, split: str | None = None) -> Dataset:
    """Open a BEIR folder (corpus.jsonl, queries.jsonl, qrels/<split>.tsv) or `irds:ID`.

    Args:
        split: Which qrels; None takes `test`, or the only one there is.

    Raises:
        InputError: The message names what is missing.
    """
    if split is not None and (not isinstance(split, str) or not split):
        raise InputError(f"split={shown(split)}: expected the name of one, such as test, or None.")
    if isinstance(dataset, str) and dataset.startswith("irds:"):
        return _from_ir_datasets(dataset[len("irds:") :])
    folder = as_path(dataset, "a BEIR folder: corpus.jsonl, queries.jsonl, qrels/<split>.tsv")
    queries_path = beir_file(folder, "queries")
    if queries_path is None:
        raise InputError(
            f"{folder} is not a BEIR folder: it has no queries.jsonl. Expected corpus.jsonl, queries.jsonl, qrels/<split>.tsv."
        )
    qrels = read_qrels(_qrels_file(folder, split))
    queries = list(read_queries(queries_path))
    unknown = set(qrels) - {query.id for query in queries}
    if unknown:
        raise InputError(
            f"{folder}: the qrels judge {len(unknown)} queries that queries.jsonl does not have, {min(unknown)!r} among them."
        )
    made: Dataset

    def documents() -> Iterator[Document]:
        warn = "empty" not in made.warned
        made.warned.add("empty")
        return read_documents(folder, warn=warn)

    made = Dataset(folder.resolve().name, queries, qrels, documents)
    return made


def _qrels_file(folder: Path, split: str | None) -> Path:
    named = ((_SPLIT.fullmatch(path.name), path) for path in sorted((folder / "qrels").glob("*")) if path.is_file())
    splits = {match[1]: path for match, path in named if match}
    if split is None:
        split = "test" if "test" in splits else next(iter(splits)) if len(splits) == 1 else None
    if split not in splits:
        there = ", ".join(splits) or "none"
        raise InputError(
            f"{folder}/qrels: no split {split[:80] if split else 'chosen'}; there: {there}. Name one with --split."
        )
    return splits[split]


def _from_ir_datasets(name: str) -> Dataset:
    try:
        import ir_datasets
    except ImportError as error:
        raise MissingExtraError("irds: datasets need ir_datasets. Run: pip install 'polyvec[eval]'") from error
    try:
        source = ir_datasets.load(name)
        queries = [_irds_query(row) for row in source.queries_iter()]
        qrels: Qrels = {}
        for row in source.qrels_iter():
            qrels.setdefault(str(row.query_id), {})[str(row.doc_id)] = int(row.relevance)
    except KeyError as error:
        raise InputError(
            f"irds:{name}: ir_datasets has no such dataset. See https://ir-datasets.com for the names."
        ) from error
    except AttributeError as error:
        raise InputError(
            f"irds:{name}: this dataset has no queries or no judgments. Name a split such as {name}/dev."
        ) from error
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"irds:{name}: cannot be downloaded ({error}). It needs the network once; BEIR folders do not."
        ) from error

    def documents() -> Iterator[Document]:
        for row in source.docs_iter():
            text = row.default_text()
            if text.strip():  # an empty one is found by nothing
                yield Document(str(row.doc_id), text, _language(name))

    return Dataset(f"irds:{name}", queries, qrels, documents)


def _irds_query(row: Any) -> Query:
    return Query(str(row.query_id), row.default_text())


def _language(name: str) -> dict[str, Any]:
    """MIRACL and mMARCO name the language in the id: miracl/de/dev, mmarco/v2/fr/dev."""
    parts = name.split("/")
    if parts[0] in ("miracl", "mmarco", "neumarco"):
        lang = next((part for part in parts[1:] if len(part) == 2 and part.isalpha()), None)
        return {"lang": lang} if lang else {}
    return {}
