"""Token vectors as a caller hands them over -> checked, contiguous float32."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from polyvec.errors import InputError


def checked_vectors(array: npt.ArrayLike, *, dim: int, name: str) -> npt.NDArray[np.float32]:
    """(t, dim) C-contiguous float32, t >= 1, finite.

    Any real dtype and layout is taken. Raises InputError naming the array for a wrong shape, no rows, NaN or infinity.
    """
    vectors = np.asarray(array)
    if vectors.ndim != 2 or vectors.shape[1] != dim:
        raise InputError(f"{name}: shape {vectors.shape}, expected (tokens, {dim}).")
    if not len(vectors):
        raise InputError(f"{name}: no token vectors, expected at least one row.")
    if vectors.dtype.kind not in "fiu":
        raise InputError(f"{name}: dtype {vectors.dtype}, expected numbers.")
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    if not np.isfinite(vectors).all():
        row = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
        raise InputError(f"{name}: NaN or infinity in row {row}. Every value must be a finite float32.")
    return vectors
