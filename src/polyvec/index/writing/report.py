"""What one call that adds documents did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Existing = Literal["error", "replace", "skip"]  # what to do with an id that is stored already


@dataclass
class AddReport:
    """What one call did.

    Attributes:
        added: Documents with new ids.
        replaced: Documents that took the place of others with their ids.
        skipped: Documents that were left out, as their ids were stored already.
        tokens: Token vectors that were stored.
        truncated: Documents that were cut at the model's limit.
        deleted: Documents of an earlier, interrupted build that did not come again.
    """

    added: int = 0
    replaced: int = 0
    skipped: int = 0
    tokens: int = 0
    truncated: int = 0
    deleted: int = 0
