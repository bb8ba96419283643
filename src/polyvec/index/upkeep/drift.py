"""How well a codec fits what has been added since it was trained: noticed as it comes in, from a sample of every batch.

Works on what the catalog keeps of a codec. Knows nothing about files.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from polyvec.index.catalog.settings import CodecRecord
from polyvec.index.codec.codec import Codec
from polyvec.index.codec.training import coding_error
from polyvec.scoring import default_threads

log = logging.getLogger(__name__)

DRIFT_THRESHOLD = 1.25  # times the error on the training sample
_SAMPLE = 1024  # tokens of a batch that are decoded again


def sampled_coding_error(codec: Codec, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """(2,) float64: the squared length that coding loses of these tokens, as a sample says, and how many they are.

    Args:
        codec: That they are coded with.
        vectors: (T, dim) float32 unit rows, T >= 1.
    """
    rows = np.linspace(0, len(vectors) - 1, min(len(vectors), _SAMPLE)).astype(np.int64)
    return np.array([coding_error(codec, vectors[rows], default_threads()) * len(vectors), len(vectors)])


def with_added(codec_record: CodecRecord, lost: npt.NDArray[np.float64]) -> CodecRecord:
    """The catalog's entry of a codec after one more addition; warns where the codec fits badly by now."""
    total = codec_record.added_tokens + int(lost[1])
    error = (codec_record.added_tokens * codec_record.added_error + float(lost[0])) / total
    after = replace(codec_record, added_tokens=total, added_error=error)
    if drift_of(after) > DRIFT_THRESHOLD >= drift_of(codec_record):
        log.warning(
            "What has been added fits the index's codec worse than what it was trained on (error x %.2f). "
            "Train it anew: compact(retrain=True), or `polyvec compact --retrain`.",
            drift_of(after),
        )
    return after


def drift_of(codec_record: CodecRecord) -> float:
    """How many times the codec's error on its training sample its error is on what was added since; 1 where nothing was."""
    if not codec_record.added_tokens:
        return 1.0
    return round(codec_record.added_error / max(codec_record.error, 1e-9), 3)


def codec_summary(codec: Codec | None, codec_record: CodecRecord | None) -> dict[str, Any] | None:
    """What `info` says about a codec, as plain JSON values."""
    if codec is None or codec_record is None:
        return None
    return {
        "centroids": len(codec.centroids),
        "trained_on_tokens": codec_record.tokens,
        "error": round(codec_record.error, 5),
        "drift": drift_of(codec_record),
        "size_bytes": codec_record.size_bytes,
    }
