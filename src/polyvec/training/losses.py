"""Token vectors of queries and documents -> what a step minimizes. Scores are MaxSim, or its mean over query tokens.

Every loss is summed over the heads with their weights (Matryoshka; Kusupati et al., 2022), the heads untied. Knows nothing about
texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as f

_OUT = -1e4  # the score of a token that does not count
_TOGETHER = {"cuda": 16}  # documents of one operation; elsewhere one


def maxsim_all(
    queries: Tensor, query_kept: Tensor, documents: Tensor, document_kept: Tensor, *, normalize: bool
) -> Tensor:
    """(q, n) scores of every query with every document.

    Args:
        queries: (q, s, d).
        query_kept: (q, s) bool: which of them are scored.
        documents: (n, t, d), unit vectors.
        document_kept: (n, t) bool. A document of which nothing is kept scores -10,000 a token.
        normalize: Whether a score is the mean over the query's tokens, not the sum.
    """
    q = len(queries)
    owner = query_kept.nonzero()[:, 0]
    best = _BestMatch.apply(  # type: ignore[no-untyped-call]
        queries[query_kept], documents[document_kept], document_kept.sum(dim=1).tolist()
    )
    total = torch.zeros(q, len(documents), dtype=best.dtype, device=best.device).index_add(0, owner, best)
    return total / query_kept.sum(dim=1).clamp(min=1)[:, None] if normalize else total


def maxsim_both(queries: Tensor, query_kept: Tensor, documents: Tensor, document_kept: Tensor) -> tuple[Tensor, Tensor]:
    """Two (q, n) matrices of mean scores: queries looking into documents, and documents into queries."""
    there = maxsim_all(queries, query_kept, documents, document_kept, normalize=True)
    back = maxsim_all(documents, document_kept, queries, query_kept, normalize=True)
    return there, back.T


class _BestMatch(torch.autograd.Function):
    """(S, n): for each of S query tokens the largest dot product with a token of each document.

    On a processor one document at a time: products stay in the cache, and only the place of each maximum is remembered. The
    general operations on one (S, T) matrix took ten times as long, nearly all of it memory traffic of masks and gradients. On a
    GPU some at a time, since each operation has to be worth its launch.
    """

    @staticmethod
    def forward(ctx: Any, queries: Tensor, documents: Tensor, lengths: list[int]) -> Tensor:
        queries, documents = queries.float(), documents.float()
        best = queries.new_full((len(lengths), len(queries)), _OUT)
        place = torch.zeros(best.shape, dtype=torch.int64, device=best.device)
        with torch.autocast(queries.device.type, enabled=False):  # scores are divided by small temperatures
            for some, block, kept in _blocks(documents, lengths):
                if block.numel() and len(queries):
                    scores = (queries @ block.flatten(0, 1).T).view(len(queries), *block.shape[:2])
                    if kept is not None:
                        scores.masked_fill_(~kept, _OUT)
                    found = scores.max(dim=2)
                    best[some], place[some] = found.values.T, found.indices.T
        ctx.save_for_backward(queries, documents, place)
        ctx.lengths = lengths
        return best.T

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        queries, documents, place = ctx.saved_tensors
        of_best = gradients[0].T.contiguous()
        of_queries, of_documents = torch.zeros_like(queries), torch.zeros_like(documents)
        start = 0
        for some, block, kept in _blocks(documents, ctx.lengths):
            part = slice(start, start + sum(ctx.lengths[some]))
            start = part.stop
            if not block.numel() or not len(queries):
                continue
            spread = queries.new_zeros(len(queries), *block.shape[:2])
            spread = spread.scatter_(2, place[some].T[:, :, None], of_best[some].T[:, :, None]).flatten(1)
            of_queries.addmm_(spread, block.flatten(0, 1))
            found = spread.T @ queries
            of_documents[part] = found if kept is None else found[kept.flatten()]
        return of_queries, of_documents, None


def _blocks(documents: Tensor, lengths: list[int]) -> Iterator[tuple[slice, Tensor, Tensor | None]]:
    """Numbers of some documents, their (n, t, d) vectors with zeros behind them, and which of these are theirs; None: all."""
    count = _TOGETHER.get(documents.device.type, 1)
    start = 0
    for first in range(0, len(lengths), count):
        some = slice(first, first + count)
        stop = start + sum(lengths[some])
        if len(lengths[some]) == 1:
            yield some, documents[None, start:stop], None
        else:
            parts = torch.split(documents[start:stop], lengths[some])
            own = torch.tensor(lengths[some], device=documents.device)
            kept = torch.arange(max(lengths[some]), device=documents.device) < own[:, None]
            yield some, torch.nn.utils.rnn.pad_sequence(list(parts), batch_first=True), kept
        start = stop


def over_heads(sizes: Sequence[int], weights: Sequence[float], loss: Callable[[int], Tensor]) -> Tensor:
    """Sum over heads of weight * loss(size)."""
    total: Tensor = torch.stack([weight * loss(size) for size, weight in zip(sizes, weights, strict=True)]).sum()
    return total


def symmetric_contrast(scores: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of finding document i for query i among all, and query i for document i.

    Args:
        scores: (n, n).
    """
    target = torch.arange(len(scores), device=scores.device)
    return (f.cross_entropy(scores / temperature, target) + f.cross_entropy(scores.T / temperature, target)) / 2


def contrast_with_negatives(scores: Tensor, first: Tensor, same: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of finding each query's own document among all, and of finding the query for it among the queries.

    Args:
        scores: (n, documents) of every query with every document.
        first: (n,) place of each query's own document.
        same: (n, documents) bool: documents that are the query's own, met again; they count as neither right nor wrong.
        temperature: Scores are divided by it.
    """
    n = len(scores)
    logits = scores / temperature
    own = torch.zeros_like(same).scatter_(1, first[:, None], True)
    there = f.cross_entropy(logits.masked_fill(same & ~own, float("-inf")), first)
    back = f.cross_entropy(logits[:, first].T, torch.arange(n, device=scores.device))
    return (there + back) / 2


def contrast_with_versions(scores: Tensor, own: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of finding each of a query's own documents among those of the others, whatever language it stands in.

    A query's own documents do not compete with one another. So a version in another language is worth no less than one in the
    query's, and a wrong document in the query's language costs as much as any.

    Args:
        scores: (n, documents) of every query with every document.
        own: (n, documents) bool: versions of the text that a query asks for, at least one each.
        temperature: Scores are divided by it.
    """
    logits = scores / temperature
    others = logits.masked_fill(own, float("-inf")).logsumexp(dim=1, keepdim=True)
    missed = f.softplus(others - logits).masked_fill(~own, 0.0)
    return (missed.sum(dim=1) / own.sum(dim=1)).mean()


def distillation(scores: Tensor, teacher: Tensor, temperature: float, teacher_temperature: float) -> Tensor:
    """KL divergence of the student's distribution over candidates from the teacher's; both (n, candidates) logits."""
    wanted = f.log_softmax(teacher / teacher_temperature, dim=1)
    return f.kl_div(f.log_softmax(scores / temperature, dim=1), wanted, reduction="batchmean", log_target=True)


Vectors = Mapping[int, Tensor]  # by head size: (n, t, size) unit vectors
