"""Token vectors of queries and documents -> what a step minimises. Scores are MaxSim, or its mean over query tokens.

Every loss is summed over the heads with their weights (Matryoshka; Kusupati et al., 2022), the heads untied. Knows nothing about
texts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as f

_OUT = -1e4  # the score of a token that does not count


def maxsim_all(
    queries: Tensor, query_kept: Tensor, documents: Tensor, document_kept: Tensor, *, normalise: bool
) -> Tensor:
    """(q, n) scores of every query with every document.

    queries: (q, s, d) · documents: (n, t, d), unit vectors · *_kept: (q, s) and (n, t) bool · normalise: mean over the
    query's tokens.
    """
    q, s, d = queries.shape
    n, t, _ = documents.shape
    products = (queries.reshape(q * s, d) @ documents.reshape(n * t, d).T).view(q, s, n, t)
    best = products.masked_fill(~document_kept[None, None], _OUT).amax(dim=3)
    total = (best * query_kept[:, :, None]).sum(dim=1)
    return total / query_kept.sum(dim=1).clamp(min=1)[:, None] if normalise else total


def maxsim_both(queries: Tensor, query_kept: Tensor, documents: Tensor, document_kept: Tensor) -> tuple[Tensor, Tensor]:
    """Two (q, n) matrices of mean scores from one product: queries looking into documents, and documents into queries."""
    q, s, d = queries.shape
    n, t, _ = documents.shape
    products = (queries.reshape(q * s, d) @ documents.reshape(n * t, d).T).view(q, s, n, t)
    seen = products.masked_fill(~(query_kept[:, :, None, None] & document_kept[None, None]), _OUT)
    there = (seen.amax(dim=3) * query_kept[:, :, None]).sum(1) / query_kept.sum(1).clamp(min=1)[:, None]
    back = (seen.amax(dim=1) * document_kept[None]).sum(2) / document_kept.sum(1).clamp(min=1)[None]
    return there, back


def over_heads(sizes: Sequence[int], weights: Sequence[float], loss: Callable[[int], Tensor]) -> Tensor:
    """Sum over heads of weight * loss(size)."""
    total: Tensor = torch.stack([weight * loss(size) for size, weight in zip(sizes, weights, strict=True)]).sum()
    return total


def symmetric_contrast(scores: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of finding document i for query i among all, and query i for document i. scores: (n, n)."""
    target = torch.arange(len(scores), device=scores.device)
    return (f.cross_entropy(scores / temperature, target) + f.cross_entropy(scores.T / temperature, target)) / 2


def distillation(scores: Tensor, teacher: Tensor, temperature: float, teacher_temperature: float) -> Tensor:
    """KL divergence of the student's distribution over candidates from the teacher's; both (n, candidates) logits."""
    wanted = f.log_softmax(teacher / teacher_temperature, dim=1)
    return f.kl_div(f.log_softmax(scores / temperature, dim=1), wanted, reduction="batchmean", log_target=True)


Vectors = Mapping[int, Tensor]  # by head size: (n, t, size) unit vectors
