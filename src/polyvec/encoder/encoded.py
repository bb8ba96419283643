"""What the encoder returns for one text, and what its tokenizer alone knows of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Encoded:
    """The token vectors of one text and where they come from.

    Attributes:
        vectors: (t, dim) float32, unit rows, C-contiguous.
        token_ids: (t,) int32, -1 for pooled vectors.
        offsets: (t, 2) int32, the characters of each token in the given text, (0, 0) for markers, special and mask tokens; None for
            pooled vectors.
        truncated: Whether the model did not see the end of the text.
    """

    vectors: npt.NDArray[np.float32]
    token_ids: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int32] | None
    truncated: bool


@dataclass(frozen=True, slots=True)
class TextTokens:
    """The tokens of one text that get a vector, without the vectors: token_ids, offsets and truncated of `Encoded`."""

    token_ids: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int32]
    truncated: bool


def unit(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Rows of length 1; a row of zeros stays one. Each depends on nothing but itself."""
    sizes = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    scaled: npt.NDArray[np.float32] = rows / np.maximum(sizes, np.float32(1e-12))[:, None]
    return scaled
