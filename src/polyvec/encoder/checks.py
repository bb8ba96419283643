"""One promise of a model, held against what it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Check:
    """One promise, whether it is kept, and the number or reason behind that."""

    what: str
    ok: bool
    detail: str


def apart(what: str, ours: Sequence[Vectors], theirs: Sequence[Vectors], tolerance: float) -> Check:
    """Hold two encodings of the same texts against each other.

    Args:
        what: The promise.
        ours: (t, dim) vectors of each text.
        theirs: The same, made in another way.
        tolerance: Largest difference of a component that is taken for rounding.
    """
    if [len(a) for a in ours] != [len(b) for b in theirs]:
        return Check(what, False, f"{[len(a) for a in ours]} vectors against {[len(b) for b in theirs]}")
    largest = max(float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True))
    return Check(what, largest <= tolerance, f"at most {largest:.1e} apart")
