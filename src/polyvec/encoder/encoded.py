"""What the encoder returns for one text, and what its tokenizer alone knows of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Encoded:
    """The token vectors of one text and where they come from.

    vectors: (t, dim) float32, unit rows, C-contiguous · token_ids: (t,) int32, -1 for pooled vectors · offsets: (t,
    2) int32, character span of each token in the given text, (0, 0) for markers, special and mask tokens; None for
    pooled vectors · truncated: whether the model did not see the end of the text.
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
