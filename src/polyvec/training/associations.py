"""Parallel texts -> which English pieces each piece of another language goes with, without training anything.

Two pieces are associated as far as they turn up in translations of each other: counts over sentence pairs, as a cosine
(Ochiai, 1957),
raised to a power so that the clear ones win. The result gives a new vocabulary's rows a meaning before the first step: the idea of
trans-tokenization (Remy et al., 2024) with co-occurrence in place of word alignment.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_CHUNK = 4096  # rows of the vocabulary at once: what keeps memory low


def token_matrix(tokenizer: Any, texts: list[str], *, longest: int = 96) -> Any:
    """(n, vocabulary) boolean CSR matrix: which pieces each text has. Texts are cut after `longest` pieces."""
    from scipy.sparse import csr_matrix

    rows, columns = [], []
    for start in range(0, len(texts), 8192):
        for i, encoding in enumerate(tokenizer(texts[start : start + 8192], add_special_tokens=False)["input_ids"]):
            pieces = np.unique(np.asarray(encoding[:longest], np.int32))
            rows.append(np.full(len(pieces), start + i, np.int32))
            columns.append(pieces)
    row, column = np.concatenate(rows), np.concatenate(columns)
    size = max(tokenizer.get_vocab().values()) + 1
    return csr_matrix((np.ones(len(row), np.float32), (row, column)), shape=(len(texts), size))


def associations(
    foreign: Any, english: Any, *, keep: int = 8, power: float = 4.0, at_least: int = 3
) -> tuple[Any, npt.NDArray[np.float32]]:
    """Weights of the English pieces that each foreign piece goes with, and how clear the best of them is.

    Args:
        foreign, english: (n, vocabulary) boolean CSR matrices of the two sides of n texts.
        keep: English pieces a piece, at most.
        power: Of the association, above 1 to sharpen.
        at_least: Texts that a pair must share.

    Returns:
        A (vocabulary, vocabulary) CSR matrix whose rows add up to 1 or are empty, and (vocabulary,) float32, the
        largest association.
    """
    from scipy.sparse import csr_matrix

    size = foreign.shape[1]
    in_foreign = np.asarray(foreign.sum(axis=0)).ravel()
    in_english = np.asarray(english.sum(axis=0)).ravel()
    by_piece = foreign.T.tocsr()
    rows, columns, weights = [], [], []
    clearness = np.zeros(size, np.float32)
    for start in range(0, size, _CHUNK):
        together = (by_piece[start : start + _CHUNK] @ english).tocsr()
        for i in range(together.shape[0]):
            begin, end = together.indptr[i], together.indptr[i + 1]
            counts, pieces = together.data[begin:end], together.indices[begin:end]
            enough = counts >= at_least
            if not enough.any():
                continue
            counts, pieces = counts[enough], pieces[enough]
            strength = counts / np.sqrt(in_foreign[start + i] * in_english[pieces])
            best = np.argsort(-strength, kind="stable")[:keep]
            clearness[start + i] = strength[best[0]]
            share = strength[best] ** power
            rows.append(np.full(len(best), start + i))
            columns.append(pieces[best])
            weights.append(share / share.sum())
    if not rows:
        return csr_matrix((size, size), dtype=np.float32), clearness
    entries = (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns)))
    return csr_matrix(entries, shape=(size, size), dtype=np.float32), clearness
