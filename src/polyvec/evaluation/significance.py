"""Two systems' values a query -> is the difference more than luck?

Paired randomization test (Fisher; Smucker, Allan and Carterette, CIKM 2007) and a percentile bootstrap of the mean
difference, both over queries and with a fixed seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from polyvec.arguments import instance, list_of, shown, whole_number
from polyvec.data.judged import check_scores
from polyvec.errors import InputError

ROUNDS = 10_000


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Ours less theirs.

    Attributes:
        low, high: The 95 % interval of the mean difference.
        p: Two-sided.
    """

    queries: int
    ours: float
    theirs: float
    difference: float
    low: float
    high: float
    p: float

    def to_dict(self) -> dict[str, float]:
        """Plain JSON values."""
        return asdict(self)


def compare(
    ours: Mapping[str, float], theirs: Mapping[str, float], *, rounds: int = ROUNDS, seed: int = 0
) -> Comparison:
    """Compare values by query.

    Raises:
        InputError: Unless both are finite numbers by query, for the same queries.
    """
    check_scores("values", {"ours": ours, "theirs": theirs})
    rounds = whole_number("rounds", rounds, of="rounds")
    seed = whole_number("seed", seed, least=0)
    if set(ours) != set(theirs) or not ours:
        raise InputError(
            f"The two runs are judged on {len(ours)} and {len(theirs)} queries, which must be the same ones."
        )
    ids = sorted(ours)
    a, b = np.array([ours[i] for i in ids]), np.array([theirs[i] for i in ids])
    difference = a - b
    rng = np.random.default_rng(seed)
    observed = abs(difference.mean())
    as_large = 0
    means = np.empty(rounds)
    for i in range(rounds):
        signs = rng.integers(0, 2, len(ids)) * 2 - 1
        as_large += abs((difference * signs).mean()) >= observed - 1e-12
        means[i] = difference[rng.integers(0, len(ids), len(ids))].mean()
    low, high = np.percentile(means, [2.5, 97.5])
    return Comparison(
        queries=len(ids),
        ours=float(a.mean()),
        theirs=float(b.mean()),
        difference=float(difference.mean()),
        low=float(low),
        high=float(high),
        p=(int(as_large) + 1) / (rounds + 1),
    )


def compare_measures(
    ours: Mapping[str, Mapping[str, float]], theirs: Mapping[str, Mapping[str, float]], measures: Sequence[str]
) -> dict[str, Comparison]:
    """Compare by measure.

    Args:
        ours, theirs: Values by query and measure, as `compute_measures` gives them.

    Raises:
        InputError: A measure that one of them lacks, and as `compare`.
    """
    check_scores("ours", ours)
    check_scores("theirs", theirs)
    measures = list(list_of("measures", measures, ordered=True))
    for name in measures:
        instance("measures", name, str)
        lacking = [query_id for rows in (ours, theirs) for query_id, row in rows.items() if name not in row]
        if lacking:
            raise InputError(f"measures: query {lacking[0]!r} has no value for {shown(name)}.")
    return {
        name: compare({q: row[name] for q, row in ours.items()}, {q: row[name] for q, row in theirs.items()})
        for name in measures
    }
