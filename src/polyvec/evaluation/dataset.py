"""A BEIR folder or an ir_datasets id -> documents, queries and judgements, languages included where they are known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyvec.data import Document, Qrels, Query, read_documents, read_qrels, read_queries
from polyvec.errors import InputError, MissingExtraError


@dataclass(frozen=True)
class Dataset:
    """What a system is judged on. documents: streams the collection anew at each call."""

    name: str
    queries: list[Query]
    qrels: Qrels
    documents: Callable[[], Iterator[Document]]

    def judged_queries(self) -> list[Query]:
        """The queries that have judgements, in the order of the file."""
        return [query for query in self.queries if query.id in self.qrels]


def load_dataset(dataset: str | Path, *, split: str | None = None) -> Dataset:
    """Open a BEIR folder (corpus.jsonl, queries.jsonl, qrels/<split>.tsv) or `irds:ID`.

    split: which qrels; None takes `test`, or the only one there is. Raises InputError naming what is missing.
    """
    if str(dataset).startswith("irds:"):
        return _from_ir_datasets(str(dataset)[len("irds:") :])
    folder = Path(dataset)
    queries_path = next(
        (folder / f"queries.jsonl{end}" for end in ("", ".gz", ".zst") if (folder / f"queries.jsonl{end}").is_file()),
        None,
    )
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
    return Dataset(folder.name, queries, qrels, lambda: read_documents(folder))


def _qrels_file(folder: Path, split: str | None) -> Path:
    splits = {path.stem: path for path in sorted((folder / "qrels").glob("*.tsv"))}
    if split is None:
        split = "test" if "test" in splits else next(iter(splits)) if len(splits) == 1 else None
    if split not in splits:
        there = ", ".join(splits) or "none"
        raise InputError(f"{folder}/qrels: no split {split or 'chosen'}; there: {there}. Name one with --split.")
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
            f"irds:{name}: ir_datasets knows no such dataset. See https://ir-datasets.com for the names."
        ) from error
    except AttributeError as error:
        raise InputError(
            f"irds:{name}: this dataset has no queries or no judgements. Name a split such as {name}/dev."
        ) from error
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"irds:{name}: cannot be downloaded ({error}). It needs the network once; BEIR folders do not."
        ) from error

    def documents() -> Iterator[Document]:
        for row in source.docs_iter():
            text = row.default_text()
            yield Document(str(row.doc_id), text if text.strip() else "-", _language(name))

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
