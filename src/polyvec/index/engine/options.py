"""How to search: every option, with one default, the same in Python, on the command line and over HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any, Literal, get_args

from polyvec.arguments import flag, number, one_of, shown, whole_number
from polyvec.data.document import checked_ids
from polyvec.data.metadata import plain_json
from polyvec.errors import FilterError, InputError
from polyvec.index.catalog.settings import MeasuredRecall

Mode = Literal["late", "keyword", "hybrid"]
Fusion = Literal["rank", "weight"]
OnMissing = Literal["partial", "error"]


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """How to search, checked when it is made.

    nprobe, candidates and recall matter for compressed indexes only, and only in collections too large for a full score of every
    document.

    Raises:
        InputError: A value makes no sense.
        FilterError: The filter is no object.
    """

    # Hits to return.
    k: int = 10
    # late: MaxSim. keyword: BM25. hybrid: both, fused.
    mode: Mode = "late"
    # Of hybrid. weight: scores, each as a share of what the query could reach. rank: reciprocal ranks.
    fusion: Fusion = "weight"
    # Share of MaxSim in hybrid, from 0 to 1; keywords have the rest. None: 0.8, or 0.5 with fusion="rank".
    weight: float | None = None
    # Hits whose normalized score, in [0, 1], is below are left out. Not for keyword.
    min_score: float | None = None
    # Scores every document that may be returned; no candidate generation.
    exact: bool = False
    # Centroids visited for each query token.
    nprobe: int = 16
    # Documents with an approximate score, an eighth of which get a full score. None: those near enough, at most 1800.
    candidates: int | None = None
    # Share of the exact top 10 wanted, below 1: sets nprobe and candidates from the index's own measurement.
    recall: float | None = None

    # On metadata, see polyvec.index.catalog.filters.
    filter: Mapping[str, Any] | None = field(default=None, hash=False)
    # Ids to choose from; unknown ones are passed over.
    subset: Sequence[str] | None = field(default=None, hash=False)
    # Whether an answer in JSON says why each hit was found. In Python, `hit.explain()` does.
    explain: bool = False
    # Of a collection on a cluster, while no machine answers for one of its shards. partial: what the others find, and the answer
    # says so. error: ShardsMissingError.
    on_missing: OnMissing = "partial"

    def __post_init__(self) -> None:
        keep = partial(object.__setattr__, self)
        keep("mode", one_of("mode", self.mode, get_args(Mode)))
        keep("fusion", one_of("fusion", self.fusion, get_args(Fusion)))
        keep("on_missing", one_of("on_missing", self.on_missing, get_args(OnMissing)))
        for name in ("exact", "explain"):
            keep(name, flag(name, getattr(self, name)))
        for name in ("weight", "min_score"):
            if (value := getattr(self, name)) is not None:
                keep(name, number(name, value, "a number from 0 to 1", lambda share: 0 <= share <= 1))
        if self.min_score is not None and self.mode == "keyword":
            raise InputError(
                "min_score is a share of the highest possible MaxSim, and BM25 has no upper bound. Use mode='late' or 'hybrid', "
                "or leave min_score out."
            )
        for name, counted in (("k", "hits"), ("nprobe", "centroids"), ("candidates", "documents")):
            value = getattr(self, name)
            if value is not None or name != "candidates":
                keep(name, whole_number(name, value, of=counted))
        if self.recall is not None:
            expected = "a share between 0 and 1, such as 0.99; all of it is exact=True"
            keep("recall", number("recall", self.recall, expected, lambda share: 0 < share < 1))
        if self.filter is not None and not isinstance(self.filter, Mapping):
            raise FilterError(f"filter={shown(self.filter)}: expected an object such as {{'lang': 'de'}}.")
        if self.subset is not None:
            keep("subset", tuple(checked_ids("subset", self.subset)))

    def unrestricted(self) -> SearchOptions:
        """The same options without filter and subset. What was checked is not checked again."""
        same = object.__new__(type(self))
        same.__dict__.update(self.__dict__, filter=None, subset=None)
        return same

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SearchOptions:
        """The options that a request has in JSON, as `to_dict` writes them.

        Args:
            values: Fields by name; those that are absent or None keep their defaults.

        Returns:
            The options.

        Raises:
            InputError: `values` is no object, has an unknown field, or one with a value that makes no sense.
        """
        return cls().updated(values)

    def to_dict(self) -> dict[str, Any]:
        """The fields that are not None, as plain JSON values: `from_dict` makes equal options of them.

        In a filter, NumPy's numbers become Python's, dates become ISO 8601 strings, and tuples become lists.

        Raises:
            InputError: The filter holds a value that JSON has no word for.
        """
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        if self.filter is not None:
            values["filter"] = plain_json("filter", self.filter)
        if self.subset is not None:
            values["subset"] = list(self.subset)
        return {name: value for name, value in values.items() if value is not None}

    def updated(self, values: Mapping[str, Any]) -> SearchOptions:
        """These options with other values in some fields.

        Args:
            values: Fields by name; None leaves a field as it is.

        Returns:
            The new options.

        Raises:
            InputError: As `from_dict` has it.
        """
        if not isinstance(values, Mapping):
            raise InputError(f"search options: got {shown(values)}, expected an object such as {{'k': 10}}.")
        known = [one.name for one in fields(self)]
        for name in values:
            if name not in known:
                raise InputError(f"search options: unknown field {shown(name)}; expected some of {', '.join(known)}.")
        given = {name: value for name, value in values.items() if value is not None}
        return replace(self, **given) if given else self

    @property
    def share_of_late(self) -> float:
        """What MaxSim has in a fused score."""
        if self.weight is not None:
            return self.weight
        return 0.8 if self.fusion == "weight" else 0.5

    @property
    def approximately_scored(self) -> int:
        """Documents that get an approximate score, at most."""
        return max(1800, 32 * self.k) if self.candidates is None else max(self.candidates, self.k)

    @property
    def generated(self) -> int:
        """Documents that candidate generation leaves, at most."""
        return 4 * self.approximately_scored

    @property
    def scored(self) -> int:
        """Documents that get a full score, at most."""
        return min(max(self.approximately_scored // 8, 6 * self.k), self.approximately_scored)

    @property
    def enough(self) -> int:
        """With at most this many documents, each gets a full score."""
        return max(2048, 32 * self.k) if self.candidates is None else self.approximately_scored


def with_recall(options: SearchOptions, curve: Sequence[MeasuredRecall]) -> SearchOptions:
    """The options with the cheapest measured setting that reaches `recall`; exact where none does, or none was measured.

    Args:
        options: Returned as they are where they ask for no recall.
        curve: Cheapest first, as polyvec.index.upkeep.tuning measures it.
    """
    if options.recall is None or options.exact:
        return options
    for entry in curve:
        if entry.recall >= options.recall:
            return replace(options, nprobe=entry.nprobe, candidates=entry.candidates)
    return replace(options, exact=True)
