"""MaxSim: each query token takes its best match among a document's tokens, and the matches add up.

Khattab and Zaharia, "ColBERT" (2020). `maxsim_definition` says what is right; `maxsim` and `maxsim_packed` are the native
kernels, which return the same scores to float32 rounding and the same bits on every instruction set.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from polyvec.arguments import list_of, real_array, thread_count
from polyvec.errors import InputError


def maxsim_definition(query: npt.NDArray[np.floating[Any]], document: npt.NDArray[np.floating[Any]]) -> float:
    """Score one document, the obvious way: the definition that the kernels are tested against.

    Args:
        query: (q, d), any real dtype.
        document: (t, d), t >= 1.

    Returns:
        The sum over query rows of the largest dot product with a document row.
    """
    return float((query @ document.T).max(axis=1).sum())


def maxsim(
    query: npt.ArrayLike, documents: Sequence[npt.ArrayLike] | npt.ArrayLike, *, threads: int | None = None
) -> npt.NDArray[np.float32]:
    """MaxSim of documents with one query: the sum over query rows of the largest dot product.

    Khattab and Zaharia, "ColBERT", SIGIR 2020.

    Args:
        query: (q, d), of any real dtype; a torch tensor on any device too.
        documents: n arrays (t_i, d) with t_i >= 1, or one array (n, t, d). float16 is scored as it is, everything else as float32.
        threads: How many to compute with; None for every processor this process may use.

    Returns:
        (n,) float32: one score a document, higher is better.

    Raises:
        InputError: A shape is wrong, a document has no rows, a value is NaN or infinite, or threads is below 1.
    """
    checked_query = _matrix(query, "query")
    dim = checked_query.shape[1]
    threads = thread_count(threads, default_threads)
    matrices = [_matrix(document, f"document {i}") for i, document in enumerate(list_of("documents", documents))]
    for i, matrix in enumerate(matrices):
        if matrix.shape[1] != dim:
            raise InputError(f"document {i}: dim {matrix.shape[1]}, but the query has dim {dim}.")
    if not matrices:
        return np.empty(0, np.float32)
    half = all(matrix.dtype == np.float16 for matrix in matrices)
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinity, and is reported below
        tokens = np.concatenate(matrices).astype(np.float16 if half else np.float32, copy=False)
        narrow_query = checked_query.astype(np.float32)
    offsets = np.zeros(len(matrices) + 1, np.int64)
    np.cumsum([len(matrix) for matrix in matrices], out=offsets[1:])
    scores = maxsim_packed(narrow_query, tokens, offsets, threads=threads)
    if not np.isfinite(scores).all():
        raise InputError(_not_finite(checked_query, matrices, int(np.flatnonzero(~np.isfinite(scores))[0])))
    return scores


def maxsim_packed(
    query: npt.NDArray[np.float32],
    tokens: npt.NDArray[np.float32] | npt.NDArray[np.float16],
    offsets: npt.NDArray[np.int64],
    *,
    which: npt.NDArray[np.int64] | None = None,
    threads: int | None = None,
    kernel: str = "",
) -> npt.NDArray[np.float32]:
    """MaxSim of documents that lie one after another in one array, without copying it.

    Args:
        query: (q, d) float32.
        tokens: (T, d) float32 or float16, C-contiguous; memory maps too.
        offsets: (n + 1,) int64: document i is tokens[offsets[i]:offsets[i + 1]].
        which: Numbers of the documents to score; None for all.
        threads: How many to compute with; None for every processor this process may use.
        kernel: One of `available_kernels()`; "" for the best.

    Returns:
        One float32 score a document scored: 0 for an empty document, NaN for one with a dot product that is not finite.

    Raises:
        InputError: A shape, a dtype or an offset is wrong, or threads is below 1.
    """
    from polyvec import _native

    if tokens.dtype not in (np.float32, np.float16):
        raise InputError(f"tokens: dtype {tokens.dtype}, expected float32 or float16.")
    if query.ndim != 2 or tokens.ndim != 2 or query.shape[1] != tokens.shape[1] or not query.shape[1]:
        raise InputError(f"query {query.shape} and tokens {tokens.shape}: expected (q, d) and (T, d) of one dim d.")
    threads = thread_count(threads, default_threads)
    if len(offsets) == 0:
        raise InputError("offsets: empty, expected (n + 1,) numbers that begin with 0.")
    rows = np.ascontiguousarray(query, np.float32)
    rest = (
        np.ascontiguousarray(offsets, np.int64),
        None if which is None else np.ascontiguousarray(which, np.int64),
        threads,
        kernel,
    )
    try:
        if tokens.dtype == np.float32:
            return _native.maxsim_f32(rows, np.ascontiguousarray(tokens), *rest)
        return _native.maxsim_f16(rows, _bits(np.ascontiguousarray(tokens)), *rest)
    except ValueError as error:
        raise InputError(f"maxsim: {error}.") from error


@functools.cache
def default_threads() -> int:
    """The number of processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def available_kernels() -> list[str]:
    """Names of the kernels this machine can run, best first; "scalar" is always the last."""
    from polyvec import _native

    names: list[str] = _native.maxsim_kernels()
    return names


def _bits(tokens: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return tokens.view(np.uint16) if tokens.dtype == np.float16 else tokens


def _matrix(value: npt.ArrayLike, name: str) -> npt.NDArray[Any]:
    array = real_array(name, value)
    if array.ndim != 2 or not array.shape[0] or not array.shape[1]:
        raise InputError(f"{name}: shape {array.shape}, expected (tokens, dim) with at least one token.")
    return array


def _not_finite(query: npt.NDArray[Any], documents: Sequence[npt.NDArray[Any]], first: int) -> str:
    for name, matrix in (("query", query), (f"document {first}", documents[first])):
        bad = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
        if len(bad):
            return f"{name}: NaN or infinity in row {int(bad[0])}. Every value must be finite."
    return (
        f"document {first}: its dot products with the query overflow float32. Normalize token vectors to unit length."
    )
