"""ColBERT 0.2.22: its own indexer and PLAID in C++, given vectors where it would encode texts.

The indexer's steps are called as `Indexer.index` calls them, with a stand-in for its encoder; k-means is faiss, as it uses
it, on fewer points. Searching is `IndexScorer.rank` with what `Searcher.dense_search` takes for k, unless others are given.
"""

from __future__ import annotations

import importlib.metadata
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from colbert.data import Collection as Texts
from colbert.indexing.collection_indexer import CollectionIndexer
from colbert.indexing.index_saver import IndexSaver
from colbert.infra import ColBERTConfig
from colbert.modeling.colbert import ColBERT
from colbert.search.index_storage import IndexScorer
from vectors import Collection

DEFAULTS = {10: (1, 0.5, 256), 100: (2, 0.45, 1024)}  # k -> ncells, centroid_score_threshold, ndocs
QUERY_TOKENS = 512  # nothing of a query is cut
POINTS = (
    40  # vectors a centroid that k-means sees: what faiss asks for at least; its limit of 256 takes hours on two cores
)


def version() -> str:
    return importlib.metadata.version("colbert-ai")


class _Encoder:
    """Answers document numbers with their vectors."""

    def __init__(self, collection: Collection) -> None:
        self._tokens, self._offsets = collection.tokens, collection.offsets

    def encode_passages(self, numbers: list[int]) -> tuple[torch.Tensor, list[int]]:
        spans = [(int(self._offsets[i]), int(self._offsets[i + 1])) for i in numbers]
        rows = np.concatenate([self._tokens[a:b] for a, b in spans]).astype(np.float32)
        return torch.from_numpy(rows), [b - a for a, b in spans]


class _Indexer(CollectionIndexer):
    def __init__(self, config: ColBERTConfig, collection: Collection) -> None:
        self.config, self.verbose, self.use_gpu, self.rank, self.nranks = config, 0, False, 0, 1
        self.collection = Texts(data=list(range(len(collection.offsets) - 1)))
        self.encoder, self.saver = _Encoder(collection), IndexSaver(config)

    def _train_kmeans(self, sample: torch.Tensor, shared_lists: list[object]) -> torch.Tensor:
        found: torch.Tensor = super()._train_kmeans(sample[: POINTS * self.num_partitions], shared_lists)
        return found


def build(folder: Path, collection: Collection, nbits: int, threads: int) -> None:
    torch.set_num_threads(threads)
    random.seed(0)
    torch.manual_seed(0)
    folder.mkdir(parents=True)
    dim = collection.tokens.shape[1]
    config = ColBERTConfig(dim=dim, nbits=nbits, index_path=str(folder), rank=0, nranks=1)
    indexer = _Indexer(config, collection)
    with torch.inference_mode():
        indexer.setup()
        indexer.train([])
        indexer.index()
        indexer.finalize()


class Opened:
    """An index that answers with passage numbers."""

    def __init__(self, folder: Path, documents: int, threads: int) -> None:
        torch.set_num_threads(threads)
        ColBERT.try_load_torch_extensions(False)
        self._scorer = IndexScorer(str(folder), use_gpu=False)

    def search(self, query: np.ndarray, k: int, **options: Any) -> list[int]:
        ncells, threshold, ndocs = DEFAULTS[k]
        config = ColBERTConfig(
            ncells=options.get("ncells", ncells),
            centroid_score_threshold=options.get("centroid_score_threshold", threshold),
            ndocs=options.get("ndocs", ndocs),
            query_maxlen=QUERY_TOKENS,
        )
        found, _ = self._scorer.rank(config, torch.from_numpy(query)[None])
        return found[:k]

    def batch(self, queries: list[np.ndarray], k: int, **options: Any) -> list[list[int]]:
        return [self.search(query, k, **options) for query in queries]
