"""A dataset and a system -> a run, and its measures: overall, by language of the query, by pair of languages.

Every judged query counts; one without hits counts 0. The macro average gives each language the same weight.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from polyvec.arguments import function, instance, list_of, number, shown, thread_count, token_encoder
from polyvec.collection.index import DEFAULT_NBITS, Index
from polyvec.collection.settings import checked_nbits
from polyvec.data import Qrels, Query, Run
from polyvec.errors import InputError
from polyvec.evaluation.dataset import Dataset
from polyvec.evaluation.measures import compute_measures
from polyvec.evaluation.own_language import own_language
from polyvec.index.engine.options import SearchOptions
from polyvec.scoring import default_threads
from polyvec.search.hits import Hit
from polyvec.shards.shards import Shards

if TYPE_CHECKING:
    from polyvec.encoder import Encoded, TokenEncoder

DEFAULT_MEASURES = ("nDCG@10", "RR@10", "R@100", "Success@5")
DEFAULT_OPTIONS = SearchOptions(k=100)
_BATCH = 32

Values = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """What `evaluate` found, ready to print as JSON.

    Attributes:
        own_language: By language of the query and for all: the share of that language among the first ten hits (found), and
            among the documents judged right (judged). Empty where all documents are in one language.
        seconds: Encode (documents and queries), index, search.
        index_bytes: The whole folder, texts and keywords too.
        bytes_per_token: Of the stored token vectors alone.
    """

    dataset: str
    model: str
    settings: dict[str, Any]
    measures: Values
    macro: Values
    by_lang: dict[str, Values]
    by_pair: dict[str, Values]
    own_language: dict[str, Values]
    queries: int
    documents: int
    seconds: dict[str, float]
    index_bytes: int
    bytes_per_token: float
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
    encoder: TokenEncoder | None = None,
    index: Index | Shards | None = None,
    nbits: int = DEFAULT_NBITS,
    measures: Sequence[str] = DEFAULT_MEASURES,
    options: SearchOptions = DEFAULT_OPTIONS,
    threads: int | None = None,
    progress: Callable[[str, int], None] | None = None,
) -> EvaluationResult:
    """Judge a model through an index made for the occasion, in codes of nbits, or an index that is there, as it is.

    Args:
        dataset: Documents, queries and judgments.
        encoder: Makes an index for the occasion. Either this or `index`.
        index: An index, or shards; searched as it is.
        nbits: Bits a dimension of the index that is made.
        measures: As ir-measures spells them, such as "nDCG@10".
        options: How to search; k is the depth of the run.
        threads: Queries searched at a time, default all cores; results do not depend on it.
        progress: Called with what is done and how many more.

    Returns:
        The measures, by language too, the run, and what it took.

    Raises:
        InputError: Both or neither of encoder and index are given, the dataset is empty, or a measure is unknown.
    """
    if (encoder is None) == (index is None):
        raise InputError("evaluate needs either an encoder or an index, and not both.")
    instance("dataset", dataset, Dataset)
    instance("options", options, SearchOptions)
    function("progress", progress)
    if index is not None:
        return evaluate_index(dataset, index, measures=measures, options=options, threads=threads, progress=progress)
    token_encoder("encoder", encoder)
    assert encoder is not None
    thread_count(threads, default_threads)
    checked_nbits(nbits)
    compute_measures({}, {}, measures)  # a misspelt measure is said before the work
    with tempfile.TemporaryDirectory(prefix="polyvec-evaluate-") as folder:
        made, seconds = build(dataset, encoder, Path(folder) / "index.polyvec", nbits=nbits, progress=progress)
        with made:
            return evaluate_index(
                dataset,
                made,
                measures=measures,
                options=options,
                threads=threads,
                progress=progress,
                settings=encoder.settings(),
                seconds=seconds,
            )


def build(
    dataset: Dataset,
    encoder: TokenEncoder,
    path: Path,
    *,
    nbits: int,
    progress: Callable[[str, int], None] | None = None,
) -> tuple[Index, dict[str, float]]:
    """An open, compacted index of the dataset's documents, and the seconds that encoding and indexing took."""
    report = progress or _silent
    clocked = _Clocked(encoder)
    started = time.perf_counter()
    made = Index.create(path, encoder=clocked, nbits=nbits)
    try:
        made.add(dataset.documents(), progress=lambda n: report("documents", n))
        made.compact()
    except BaseException:
        made.close()
        raise
    built = time.perf_counter() - started
    return made, {"encode": clocked.seconds, "index": built - clocked.seconds}


def _silent(what: str, n: int) -> None:
    pass


class _Clocked:
    """An encoder that adds up the time spent inside it."""

    def __init__(self, encoder: TokenEncoder) -> None:
        self._encoder, self.seconds = encoder, 0.0
        self.name, self.fingerprint = encoder.name, encoder.fingerprint
        self.dim, self.document_length = encoder.dim, encoder.document_length

    def settings(self) -> dict[str, Any]:
        return self._encoder.settings()

    def stream_queries(self, texts: Iterable[str]) -> Iterator[Encoded]:
        return self._encoder.stream_queries(texts)

    def stream_documents(
        self, texts: Iterable[str], *, progress: Callable[[int], None] | None = None
    ) -> Iterator[Encoded]:
        return self._timed(self._encoder.stream_documents(texts, progress=progress))

    def _timed(self, stream: Iterator[Encoded]) -> Iterator[Encoded]:
        while True:
            started = time.perf_counter()
            item = next(stream, None)
            self.seconds += time.perf_counter() - started
            if item is None:
                return
            yield item


def evaluate_index(
    dataset: Dataset,
    index: Index | Shards,
    *,
    measures: Sequence[str] = DEFAULT_MEASURES,
    options: SearchOptions = DEFAULT_OPTIONS,
    threads: int | None = None,
    progress: Callable[[str, int], None] | None = None,
    settings: dict[str, Any] | None = None,
    seconds: dict[str, float] | None = None,
) -> EvaluationResult:
    """Judge an index as it is.

    Args:
        settings: How it was made, default its path.
        seconds: What making it took.

    Raises:
        InputError: A dataset without judgments or whose judged documents the index lacks all, and for unknown
            measures.
    """
    if not isinstance(index, Shards):
        instance("index", index, Index)
    options = instance("options", options, SearchOptions)
    function("progress", progress)
    queries = instance("dataset", dataset, Dataset).judged_queries()
    if not queries:
        raise InputError(f"{dataset.name}: no query has judgments.")
    threads = thread_count(threads, default_threads)
    compute_measures({}, {}, measures)
    if settings is not None:
        instance("settings", settings, dict)
    spent = {"encode": 0.0, "index": 0.0} if seconds is None else instance("seconds", seconds, dict)
    for name in ("encode", "index"):
        number(f"seconds[{name!r}]", spent.get(name), "a number of seconds", lambda value: value >= 0)
    languages = dataset.check_judged(index.documents())
    run, encoding, searching = _searched(index, queries, options, threads, progress or _silent)
    facts = index.info()
    return EvaluationResult(
        dataset=dataset.name,
        model=str(facts["model"]) if options.mode == "keyword" else index.encoder.name,
        settings={
            **({"index": str(index.path)} if settings is None else settings),
            **_probing(options),
            "dim": index.dim,
            "nbits": facts["nbits"],
        },
        **tabulate(dataset.qrels, run, queries, languages, measures),
        documents=facts["documents"],
        seconds={
            "encode": round(spent["encode"] + encoding, 3),
            "index": round(spent["index"], 3),
            "search": round(searching, 3),
        },
        index_bytes=facts["size_bytes"],
        bytes_per_token=facts["bytes_per_token"] or 0.0,
        tokens=facts["tokens"],
        run=run,
    )


def _probing(options: SearchOptions) -> dict[str, Any]:
    chosen: dict[str, Any] = {"k": options.k, "mode": options.mode}
    if options.mode == "keyword":
        return chosen
    if options.exact:
        return {**chosen, "exact": True}
    if options.recall is not None:
        return {**chosen, "recall": options.recall}
    wanted = {} if options.candidates is None else {"candidates": options.candidates}
    return {**chosen, "nprobe": options.nprobe, **wanted}


def _searched(
    index: Index | Shards,
    queries: Sequence[Query],
    options: SearchOptions,
    threads: int,
    report: Callable[[str, int], None],
) -> tuple[Run, float, float]:
    """The run, the seconds of encoding, the seconds of searching. Each query is searched by one thread of a pool."""
    started = time.perf_counter()
    vectors: list[npt.NDArray[np.float32]] = []
    if options.mode == "late":  # encoded first, so that encoding and searching are timed apart
        for one in index.encoder.stream_queries(query.text for query in queries):
            vectors.append(one.vectors)
            report("queries encoded", 1)
    encoding = time.perf_counter() - started

    def found(start: int) -> list[list[Hit]]:
        part = slice(start, start + _BATCH)
        if vectors:
            return index.search_vectors(vectors[part], options=options, threads=1)
        return index.search([query.text for query in queries[part]], options=options, threads=1)

    started = time.perf_counter()
    run: Run = {}
    with ThreadPoolExecutor(threads) as pool:
        parts = pool.map(found, range(0, len(queries), _BATCH))
        for query, hits in zip(queries, chain.from_iterable(parts), strict=True):
            run[query.id] = {hit.id: hit.score for hit in hits}
            report("queries searched", 1)
    return run, encoding, time.perf_counter() - started


def tabulate(
    qrels: Qrels, run: Run, queries: Sequence[Query], document_languages: dict[str, str], measures: Sequence[str]
) -> dict[str, Any]:
    """The measures of a run: overall, macro over languages, by language, by pair, a query.

    A pair "de-en" judges German queries on their English documents alone: qrels and run without the others.
    """
    queries = [instance(f"queries[{i}]", query, Query) for i, query in enumerate(list_of("queries", queries))]
    instance("document_languages", document_languages, dict)
    for document_id, lang in document_languages.items():
        instance(f"document_languages[{shown(document_id)}]", lang, str)
    per_query = compute_measures(qrels, run, measures)
    if not per_query:
        raise InputError("qrels: no query has judgments. Give at least one.")
    language = {query.id: query.lang for query in queries if query.lang and query.id in qrels}
    by_lang = {lang: _mean([per_query[q] for q in ids], measures) for lang, ids in _grouped(language).items()}
    return {
        "measures": _mean(list(per_query.values()), measures),
        "macro": _mean(list(by_lang.values()), measures) if by_lang else {},
        "by_lang": by_lang,
        "own_language": own_language(qrels, run, language, document_languages),
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


def _grouped(language: dict[str, str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for query_id, lang in language.items():
        groups.setdefault(lang, []).append(query_id)
    return dict(sorted(groups.items()))


def _mean(rows: Sequence[Values], measures: Sequence[str]) -> Values:
    return {name: round(sum(row[name] for row in rows) / len(rows), 6) for name in measures}
