"""Which engine opens and scores each kind of segment. An engine for other hardware would be chosen here."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from polyvec.index.codec.codec import Codec, CodedQuery
from polyvec.index.coded_segment import CodesSegment
from polyvec.index.engine.codes import CodesEngine
from polyvec.index.engine.protocol import Engine
from polyvec.index.engine.vectors import VectorsEngine
from polyvec.index.format import CODES, VECTORS
from polyvec.index.segment import VectorsSegment

Float = npt.NDArray[np.float32]

Engines = dict[str, Engine[Any, Any]]  # by kind of segment


def choose_engines(dim: int, codec: Codec | None, codec_checksum: str) -> Engines:
    """An engine for each kind of segment that can be read.

    Args:
        dim: Of the token vectors.
        codec: Of the segments in codes; None where there are none, or none that can be read.
        codec_checksum: Of the codec's file, in hex.
    """
    vectors: Engine[Float, VectorsSegment] = VectorsEngine(dim)
    if codec is None:
        return {VECTORS: vectors}
    codes: Engine[CodedQuery, CodesSegment] = CodesEngine(codec, codec_checksum)
    return {VECTORS: vectors, CODES: codes}
