"""Token vectors as a caller or a model hands them over -> checked, contiguous float32 unit rows.

The one place where vectors become valid: those of documents and of queries, given as arrays or made by an encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from polyvec.arguments import list_of, real_array
from polyvec.errors import InputError

UNIT_WITHIN = 1e-3  # of 1, for a squared length: what rounding a unit row to float16 can change it by


def checked_vectors(array: Any, *, dim: int, name: str) -> npt.NDArray[np.float32]:
    """(t, dim) C-contiguous float32 unit rows, t >= 1.

    Any real dtype and layout is taken, nested lists and torch tensors too. Rows are scaled to length 1, as MaxSim and the codec
    expect them. A row that has that length already, to the precision of float16, stays the same to the bit: so those of models,
    and vectors that were rounded when they were stored.

    Raises InputError naming the array and the row for a wrong shape, no rows, NaN, infinity, values beyond float32, and a row
    of zeros, which has no direction.
    """
    given = array if type(array) is np.ndarray and array.dtype.kind == "f" else real_array(name, array)
    if given.ndim != 2 or given.shape[1] != dim:
        hint = " One document or query is one array of rows." if given.ndim == 1 else ""
        raise InputError(f"{name}: shape {given.shape}, expected (tokens, {dim}).{hint}")
    if not len(given):
        raise InputError(f"{name}: no token vectors, expected at least one row.")
    vectors: npt.NDArray[np.float32] = given
    if given.dtype != np.float32 or not given.flags.c_contiguous:
        with np.errstate(over="ignore", under="ignore"):  # what becomes infinite is refused below
            vectors = np.ascontiguousarray(given, dtype=np.float32)
    far = np.abs(_squares(vectors) - 1)
    if far.max() <= UNIT_WITHIN:  # false where one is NaN
        return vectors
    return _unit_rows(vectors, given, far > UNIT_WITHIN, name)


def all_checked(arrays: Sequence[Any], *, dim: int, name: Callable[[int], str]) -> list[npt.NDArray[np.float32]]:
    """`checked_vectors` of several arrays, in a fraction of the time where they are unit rows.

    Args:
        arrays: Each (t, dim).
        dim: Of the index.
        name: Gives the name in messages of the array at a place.
    """
    if all(_ready(array, dim) for array in arrays):
        far = _squares(np.concatenate(arrays)) - 1
        if np.abs(far).max() <= UNIT_WITHIN:
            return list(arrays)
    return [checked_vectors(array, dim=dim, name=name(place)) for place, array in enumerate(arrays)]


def _ready(array: Any, dim: int) -> bool:
    """Whether nothing about an array needs a change, unless its values do."""
    return (
        type(array) is np.ndarray
        and array.dtype == np.float32
        and array.ndim == 2
        and array.shape[1] == dim
        and array.shape[0] > 0
        and array.flags.c_contiguous
    )


def _squares(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(t,) squared lengths of rows."""
    return np.einsum("ij,ij->i", vectors, vectors)  # type: ignore[no-any-return]


def _unit_rows(
    vectors: npt.NDArray[np.float32], given: npt.NDArray[Any], scaled: npt.NDArray[np.bool_], name: str
) -> npt.NDArray[np.float32]:
    """Some rows scaled to length 1, in float64; vectors itself where there are none."""
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        row = int(np.flatnonzero(~finite)[0])
        if np.isfinite(given[row]).all():
            raise InputError(f"{name}: row {row} has values beyond float32. Scale it to length 1.")
        raise InputError(f"{name}: NaN or infinity in row {row}. Every value must be a finite float32.")
    if not scaled.any():
        return vectors
    wide = vectors[scaled].astype(np.float64)
    lengths = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    if not lengths.all():
        row = int(np.flatnonzero(scaled)[np.flatnonzero(lengths == 0)[0]])
        raise InputError(f"{name}: row {row} is all zeros, which has no direction. Leave it out.")
    unit: npt.NDArray[np.float32] = vectors.copy()
    unit[scaled] = wide / lengths[:, None]
    return unit


def query_arrays(query: Any) -> tuple[list[Any], bool]:
    """The queries in what a caller asks with, each still to be checked, and whether it is a single one.

    An array or tensor of two dimensions is one query, one of three dimensions or a list holds several.
    Raises InputError for anything else, such as a string or a dict.
    """
    if not hasattr(query, "ndim"):
        return list(list_of("query vectors", query)), False
    if query.ndim == 2:
        return [query], True
    if query.ndim == 3:
        return list(query), False
    raise InputError(
        f"query: shape {tuple(query.shape)}, expected (tokens, dim) for one query, (queries, tokens, dim) for several."
    )
