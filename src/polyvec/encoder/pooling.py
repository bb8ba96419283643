"""Token pooling: similar vectors of one text merged into their mean, so that an index holds fewer.

Ward's hierarchical clustering of the vectors (Clavié, Chaffin and Adams, 2024, arXiv:2409.14683), as PyLate and
sentence-transformers 6 have it, in NumPy. Both backends use it, so an index made with one is continued with the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from polyvec.encoder.encoded import Encoded, unit

Vectors = npt.NDArray[np.float32]
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TokenPooling:
    """What a text's vectors are merged into.

    Args:
        factor: About one vector in `factor` is kept; at least 1.
        protected: Leading vectors that stay as they are.
        normalize: Whether the rows are made unit vectors, those that stay too.
        tasks: What is merged: "document", "query" or both.
    """

    factor: float
    protected: int = 1
    normalize: bool = True
    tasks: tuple[str, ...] = ("document",)

    def applies_to(self, task: str) -> bool:
        """Whether vectors of this task are merged."""
        return task in self.tasks

    def settings(self) -> dict[str, Any]:
        """The pooling as sentence-transformers writes it to a module's config.json."""
        return {
            "pool_factor": self.factor,
            "num_protected_tokens": self.protected,
            "normalize_embeddings": self.normalize,
            "tasks": list(self.tasks),
        }

    def pooled(self, vectors: Vectors) -> Vectors:
        """(t, dim) unit vectors -> a row for each that is protected and for each cluster of the others."""
        rest = vectors[self.protected :]
        clusters = max(int(len(rest) // self.factor), 1)
        if clusters < len(rest):
            labels = cluster(rest, clusters)
            sums = np.zeros((labels.max() + 1, vectors.shape[1]), dtype=np.float32)
            np.add.at(sums, labels, rest)
            means = sums / np.bincount(labels)[:, None].astype(np.float32)
            vectors = np.concatenate([vectors[: self.protected], means])
        return unit(vectors) if self.normalize else vectors


class Pooling(Protocol):
    """Whatever merges vectors of one text."""

    def applies_to(self, task: str) -> bool:
        """Whether vectors of this task are merged."""

    def pooled(self, vectors: Vectors) -> Vectors:
        """(t, dim) unit vectors -> fewer rows."""


def pool(encoded: Encoded, task: str, poolings: Sequence[Pooling]) -> Encoded:
    """The vectors of one text after those poolings that are for this task; unit rows. As it is where there is none."""
    applied = [pooling for pooling in poolings if pooling.applies_to(task)]
    if not applied:
        return encoded
    rows = encoded.vectors
    for pooling in applied:
        rows = pooling.pooled(rows)
    return Encoded(unit(rows), np.full(len(rows), -1, dtype=np.int32), None, encoded.truncated)


def cluster(vectors: Vectors, clusters: int) -> npt.NDArray[np.int64]:
    """Which cluster each of some unit vectors belongs to, by Ward's method on cosine distance.

    Numbers and ties are those of `scipy.cluster.hierarchy.fcluster(..., criterion="maxclust")`.

    Args:
        vectors: (t, dim) float32, unit rows.
        clusters: How many at most, from 1 to t - 1.

    Returns:
        (t,) numbers from 0 on; fewer than `clusters` where the last merges are equally far apart.
    """
    similarity = vectors @ vectors.T
    merges = _ward(np.clip(1 - similarity, 0, 2).astype(np.float64))
    merges.sort(key=lambda merge: merge[2])
    last = merges[len(vectors) - clusters - 1][2]
    return _numbered(merges, last, len(vectors))


_Merge = tuple[int, int, float]  # a member of each cluster, and their distance


def _ward(distances: _Floats) -> list[_Merge]:
    """Every merge down to one cluster, by chains of nearest neighbors (Murtagh, 1983): quadratic in the number of rows."""
    n = len(distances)
    np.fill_diagonal(distances, np.inf)
    sizes = np.ones(n)
    alive = np.ones(n, dtype=bool)
    merges: list[_Merge] = []
    chain: list[int] = []
    while len(merges) < n - 1:
        if not chain:
            chain.append(int(np.argmax(alive)))
        one = chain[-1]
        row = distances[one]
        other = int(np.argmin(row))
        if len(chain) > 1 and row[chain[-2]] <= row[other]:
            other = chain[-2]
            del chain[-2:]
            one, other = min(one, other), max(one, other)
            merges.append((one, other, float(distances[one, other])))
            _merge(distances, sizes, alive, one, other)
        else:
            chain.append(other)
    return merges


def _merge(distances: _Floats, sizes: _Floats, alive: npt.NDArray[np.bool_], gone: int, kept: int) -> None:
    """Row and column `kept` become the distances of both clusters together, by Lance's and Williams's formula; `gone` ends."""
    between, both = distances[gone, kept], sizes[gone] + sizes[kept]
    alive[gone] = False
    others = np.flatnonzero(alive)
    others = others[others != kept]
    weights, total = sizes[others], 1.0 / (both + sizes[others])
    far, near = distances[gone, others], distances[kept, others]
    squares = (weights + sizes[gone]) * total * far * far + (weights + sizes[kept]) * total * near * near
    new = np.sqrt(squares - weights * total * between * between)
    distances[kept, others] = distances[others, kept] = new
    distances[gone] = distances[:, gone] = np.inf
    sizes[kept] = both


def _numbered(merges: Sequence[_Merge], last: float, n: int) -> npt.NDArray[np.int64]:
    """Clusters that merges up to the distance `last` make, numbered as a walk down the whole tree meets them."""
    children: dict[int, tuple[int, int]] = {}
    whole: dict[int, bool] = {}  # nodes that are one cluster
    parent = list(range(2 * n - 1))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for i, (one, other, distance) in enumerate(merges):
        left, right = sorted((root(one), root(other)))
        children[n + i], whole[n + i] = (left, right), distance <= last
        parent[left] = parent[right] = n + i
    labels, count = np.zeros(n, dtype=np.int64), -1
    stack = [(2 * n - 2, False)]  # a node, and whether it lies in a cluster already
    while stack:
        node, inside = stack.pop()
        starts = not inside and whole.get(node, True)
        count += starts
        if node < n:
            labels[node] = count
        else:
            leaves_last = sorted(children[node], key=lambda child: child < n)
            stack += [(child, inside or starts) for child in reversed(leaves_last)]
    return labels
