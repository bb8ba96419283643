"""How to search: every knob, one default each, the same in Python and on the command line."""

from __future__ import annotations

from dataclasses import dataclass

from polyvec.errors import InputError


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """Checked on creation. Raises InputError for a value that makes no sense."""

    k: int = 10  # hits to return

    def __post_init__(self) -> None:
        if isinstance(self.k, bool) or not isinstance(self.k, int) or self.k < 1:
            raise InputError(f"k={self.k!r}: expected a whole number of hits, at least 1.")
