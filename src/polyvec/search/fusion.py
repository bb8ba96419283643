"""Two rankings of one query, by late interaction and by keywords -> one score a document.

Rows and numbers in, rows and numbers out: knows nothing about indexes, texts or models.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

RANK_DEPTH = 100  # places of each list that rank fusion counts, however many hits are wanted
_RANK_CONSTANT = 60


def by_weight(late: Mapping[int, float], keyword: Mapping[int, float], weight: float) -> dict[int, float]:
    """The convex combination of two scores (Bruch, Gai and Ingber, TOIS 2023).

    Each score is given as a share of the highest one that the query could reach, so a document's fused score depends on the query,
    the document and the collection's statistics, and not on which other documents were found.

    Args:
        late: MaxSim by row, as a share of the query's highest MaxSim.
        keyword: BM25 by row, as a share of the query's bound; rows without a word of the query may be absent and count as 0.
        weight: Of late, from 0 to 1; keywords have the rest.

    Returns:
        The fused score of each row of `late`.
    """
    return {row: weight * share + (1 - weight) * keyword.get(row, 0.0) for row, share in late.items()}


def by_rank(late: Iterable[int], keyword: Iterable[int], weight: float) -> dict[int, float]:
    """Reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009): the sum of 1 / (60 + rank), weighted.

    Ranks depend on which documents are searched, so these scores compare within one list of results only.

    Args:
        late: Rows by MaxSim, best first; the first 100 count.
        keyword: Rows by BM25, best first; the first 100 count.
        weight: Of late, from 0 to 1; keywords have the rest, and .5 is the plain sum.

    Returns:
        The fused score of each row among the first 100 of either list.
    """
    scores: dict[int, float] = {}
    for rows, share in ((late, 2 * weight), (keyword, 2 * (1 - weight))):
        for rank, row in zip(range(1, RANK_DEPTH + 1), rows, strict=False):
            scores[row] = scores.get(row, 0.0) + share / (_RANK_CONSTANT + rank)
    return scores


def share_of(score: float, highest: float) -> float:
    """A score as a share of the highest one that the query could reach.

    Args:
        score: Any score of the query.
        highest: What the query could reach, at most.

    Returns:
        score / highest; 0 where the query could reach none.
    """
    return score / highest if highest > 0 else 0.0


def ordered(scores: Mapping[int, float]) -> list[tuple[int, float]]:
    """Rows in the order of their scores.

    Args:
        scores: Scores by row.

    Returns:
        (row, score), best first, ties by row.
    """
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))
