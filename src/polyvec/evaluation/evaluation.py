"""A dataset and a system -> a run, and its measures: overall, by language of the query, by pair of languages.

Every judged query counts; one without hits counts 0. The macro average gives each language the same weight.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from polyvec.collection import DEFAULT_NBITS, Index
from polyvec.data import Document, Qrels, Query, Run
from polyvec.errors import InputError
from polyvec.evaluation.dataset import Dataset
from polyvec.evaluation.measures import compute_measures
from polyvec.index.options import Mode
from polyvec.search import Hit, SearchOptions

if TYPE_CHECKING:
    from polyvec.encoder import Encoder

DEFAULT_MEASURES = ("nDCG@10", "RR@10", "R@100", "Success@5")
RUN_DEPTH = 100
_BATCH = 256

Values = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """What `evaluate` found, ready to print as JSON. seconds: encode (documents and queries), index, search."""

    dataset: str
    model: str
    settings: dict[str, Any]
    measures: Values
    macro: Values
    by_lang: dict[str, Values]
    by_pair: dict[str, Values]
    queries: int
    documents: int
    seconds: dict[str, float]
    index_bytes: int
    tokens: int
    run: Run = field(repr=False)
    per_query: dict[str, Values] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the run and the values a query."""
        values = asdict(self)
        del values["run"], values["per_query"]
        return values


def evaluate(
    dataset: Dataset,
    *,
    encoder: Encoder | None = None,
    index: Index | None = None,
    nbits: int = DEFAULT_NBITS,
    measures: Sequence[str] = DEFAULT_MEASURES,
    k: int = RUN_DEPTH,
    mode: Mode = "late",
    threads: int | None = None,
    progress: Callable[[str, int], None] | None = None,
) -> EvaluationResult:
    """Judge a model through an index made for the occasion, or an index that is there.

    encoder or index, one of them · k: depth of the run · mode: as Index.search has it ·
    progress: called with what is done and how many more.
    Raises InputError for both or neither, for an empty dataset, and for unknown measures.
    """
    if (encoder is None) == (index is None):
        raise InputError("evaluate needs either an encoder or an index, and not both.")
    queries = dataset.judged_queries()
    if not queries:
        raise InputError(f"{dataset.name}: no query has judgements.")
    compute_measures({}, {}, measures)  # a misspelt measure is said before the work
    report = progress or (lambda what, n: None)
    options = SearchOptions(k=k, mode=mode)
    if index is not None:
        return _judge(
            dataset,
            queries,
            index,
            {"index": str(index.path)},
            measures,
            options,
            threads,
            {"encode": 0.0, "index": 0.0},
            report,
        )
    assert encoder is not None
    with tempfile.TemporaryDirectory(prefix="polyvec-evaluate-") as folder:
        clocked = _Clocked(encoder)
        started = time.perf_counter()
        with Index.create(Path(folder) / "index.polyvec", encoder=cast("Encoder", clocked), nbits=nbits) as made:
            made.add(dataset.documents(), progress=lambda n: report("documents", n))
            built = time.perf_counter() - started
            seconds = {"encode": clocked.seconds, "index": built - clocked.seconds}
            return _judge(
                dataset,
                queries,
                made,
                {"nbits": nbits, **encoder.settings()},
                measures,
                options,
                threads,
                seconds,
                report,
            )


class _Clocked:
    """An encoder that adds up the time spent inside it."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder, self.seconds = encoder, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def encode_documents(self, *arguments: Any, **settings: Any) -> Iterator[Any]:
        return self._timed(self._encoder.encode_documents(*arguments, **settings))

    def _timed(self, stream: Iterator[Any]) -> Iterator[Any]:
        while True:
            started = time.perf_counter()
            item = next(stream, None)
            self.seconds += time.perf_counter() - started
            if item is None:
                return
            yield item


def _judge(
    dataset: Dataset,
    queries: list[Query],
    index: Index,
    settings: dict[str, Any],
    measures: Sequence[str],
    options: SearchOptions,
    threads: int | None,
    seconds: dict[str, float],
    report: Callable[[str, int], None],
) -> EvaluationResult:
    run: Run = {}
    vectors: list[npt.NDArray[np.float32]] = []
    started = time.perf_counter()
    if options.mode == "late":  # encoded first, so that encoding and searching are timed apart
        for one in index.encoder.encode_queries(query.text for query in queries):
            vectors.append(one.vectors)
            report("queries encoded", 1)
    encoding = time.perf_counter() - started
    started = time.perf_counter()
    for start in range(0, len(queries), _BATCH):
        part = queries[start : start + _BATCH]
        if vectors:
            found = index.search_vectors(vectors[start : start + _BATCH], options=options, threads=threads)
            results = cast(list[list[Hit]], found)
        else:
            results = index.search([query.text for query in part], options=options, threads=threads)
        for query, hits in zip(part, results, strict=True):
            run[query.id] = {hit.id: hit.score for hit in hits}
        report("queries searched", len(part))
    searching = time.perf_counter() - started
    languages = document_languages(index.documents())
    facts = index.info()
    return EvaluationResult(
        dataset=dataset.name,
        model=str(facts["model"]),
        settings={**settings, "k": options.k, "mode": options.mode, "dim": index.dim},
        **tabulate(dataset.qrels, run, queries, languages, measures),
        documents=facts["documents"],
        seconds={
            "encode": round(seconds["encode"] + encoding, 3),
            "index": round(seconds["index"], 3),
            "search": round(searching, 3),
        },
        index_bytes=facts["size_bytes"],
        tokens=facts["tokens"],
        run=run,
    )


def tabulate(
    qrels: Qrels, run: Run, queries: Sequence[Query], document_languages: dict[str, str], measures: Sequence[str]
) -> dict[str, Any]:
    """The measures of a run: overall, macro over languages, by language, by pair, a query.

    A pair "de-en" judges German queries on their English documents alone: qrels and run without the others.
    """
    per_query = compute_measures(qrels, run, measures)
    language = {query.id: query.lang for query in queries if query.lang and query.id in qrels}
    by_lang = {lang: _mean([per_query[q] for q in ids], measures) for lang, ids in _grouped(language).items()}
    return {
        "measures": _mean(list(per_query.values()), measures),
        "macro": _mean(list(by_lang.values()), measures) if by_lang else {},
        "by_lang": by_lang,
        "by_pair": _by_pair(qrels, run, language, document_languages, measures),
        "queries": len(per_query),
        "per_query": per_query,
    }


def _by_pair(
    qrels: Qrels, run: Run, language: dict[str, str], document_languages: dict[str, str], measures: Sequence[str]
) -> dict[str, Values]:
    targets = sorted(set(document_languages.values()))
    values: dict[str, Values] = {}
    for target in targets:
        judged = {
            q: {d: grade for d, grade in grades.items() if document_languages.get(d) == target}
            for q, grades in qrels.items()
            if q in language
        }
        judged = {q: grades for q, grades in judged.items() if any(grade > 0 for grade in grades.values())}
        inside = {q: {d: s for d, s in run.get(q, {}).items() if document_languages.get(d) == target} for q in judged}
        found = compute_measures(judged, inside, measures)
        for lang, ids in _grouped({q: language[q] for q in judged}).items():
            values[f"{lang}-{target}"] = _mean([found[q] for q in ids], measures)
    return dict(sorted(values.items()))


def document_languages(documents: Iterator[Document]) -> dict[str, str]:
    """Languages by id, of the documents that have one."""
    return {d.id: str(d.metadata["lang"]) for d in documents if d.metadata.get("lang")}


def _grouped(language: dict[str, str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for query_id, lang in language.items():
        groups.setdefault(lang, []).append(query_id)
    return dict(sorted(groups.items()))


def _mean(rows: Sequence[Values], measures: Sequence[str]) -> Values:
    return {name: round(sum(row[name] for row in rows) / len(rows), 6) for name in measures}
