"""How to search: every knob, one default each, the same in Python and on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from polyvec.errors import InputError

Mode = Literal["late", "keyword", "hybrid"]


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """Checked on creation. Raises InputError for a value that makes no sense."""

    k: int = 10  # hits to return
    mode: Mode = "late"  # late: MaxSim · keyword: BM25 · hybrid: both, fused by reciprocal rank

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise InputError(f"mode={self.mode!r}: expected one of {', '.join(get_args(Mode))}.")
        if isinstance(self.k, bool) or not isinstance(self.k, int) or self.k < 1:
            raise InputError(f"k={self.k!r}: expected a whole number of hits, at least 1.")
