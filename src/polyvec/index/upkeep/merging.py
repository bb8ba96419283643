"""The live documents of a snapshot -> one new segment: copied as they are, or trained on and put into codes.

Streams: memory does not grow with the collection, but for a sample to train on. Knows nothing about the catalog.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from polyvec.index.catalog.settings import CodecRecord
from polyvec.index.codec.codec import Codec
from polyvec.index.codec.training import SAMPLE_TOKENS, coding_error, train_codec
from polyvec.index.coded_segment import CodesWriter
from polyvec.index.engine.protocol import SegmentWriter
from polyvec.index.reader import Snapshot
from polyvec.index.segment import VectorsWriter
from polyvec.scoring import default_threads

_BATCH_TOKENS = 65_536
_SAMPLE_SEED = 11
_UNSEEN_TOKENS = 1 << 14  # of the sample, at most, on which a new codec is measured

Int64 = npt.NDArray[np.int64]
Float = npt.NDArray[np.float32]


def segment_writer(path: Path, dim: int, codec_record: CodecRecord | None, codec: Codec | None) -> SegmentWriter:
    """A writer of codes where there is a codec, which the catalog keeps as `codec_record`; of fp16 vectors where there is none."""
    if codec is None or codec_record is None:
        return VectorsWriter(path, dim)
    return CodesWriter(path, codec, codec_record.checksum, default_threads())


class Source:
    """The live documents of a snapshot, in row order."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._live = [
            (part.segment, np.arange(len(part.rows), dtype=np.int64) if part.alive is None else part.alive)
            for part in snapshot.segments
        ]
        chosen = [part.rows[alive] for part, (_, alive) in zip(snapshot.segments, self._live, strict=True)]
        self.rows: Int64 = np.concatenate(chosen) if chosen else np.empty(0, np.int64)
        self.tokens = sum(int(segment.doclens[alive].sum()) for segment, alive in self._live)

    def train(self, nbits: int, expected_tokens: int) -> tuple[Codec, float]:
        """Train a codec on a sample of these documents.

        Args:
            nbits: Bits a dimension.
            expected_tokens: How many tokens of their kind it gets centroids for.

        Returns:
            The codec, and what coding loses, measured on documents that it was not trained on, so that what is added later
            compares with it.
        """
        return trained_on(self._sample(), nbits, expected_tokens)

    def _sample(self) -> list[Float]:
        """Whole documents drawn at random, at most SAMPLE_TOKENS tokens."""
        found = [(number, int(i)) for number, (_, alive) in enumerate(self._live) for i in alive]
        places = [
            found[i] for i in np.argsort(self.rows, kind="stable")
        ]  # several indexes as one: in the order of adding
        drawn = (places[place] for place in sample_order(len(places)).tolist())
        return sampled(self._live[number][0].decode(position) for number, position in drawn)

    def copy_into(self, writer: SegmentWriter) -> None:
        """Write every document: codes as they are, where the writer's codec has made them."""
        for segment, alive in self._live:
            doclens = segment.doclens
            for positions in _batches(doclens, alive):
                writer.copy(segment, positions, doclens[positions])


@dataclass(frozen=True, eq=False)
class TrainedCodec:
    """A codec, and what is known of its training.

    Attributes:
        codec: The codec.
        error: What coding loses, as a mean over tokens that it was not trained on.
        tokens: How many tokens there were to train it on.
    """

    codec: Codec
    error: float
    tokens: int

    @classmethod
    def of(cls, source: Source, nbits: int, expected_tokens: int | None = None) -> TrainedCodec:
        """Train a codec on a sample; expected_tokens as `Source.train` has it, None for those that are there."""
        codec, error = source.train(nbits, source.tokens if expected_tokens is None else expected_tokens)
        return cls(codec, error, source.tokens)


def sample_order(documents: int) -> Int64:
    """(documents,) int64: the order in which documents are drawn into the sample that a codec is trained on."""
    return np.random.default_rng(_SAMPLE_SEED).permutation(documents).astype(np.int64, copy=False)


def sampled(drawn: Iterable[Float], room: int = SAMPLE_TOKENS) -> list[Float]:
    """Whole documents, as long as there is room for so many tokens.

    Args:
        drawn: Vectors of one document after another, in the order of `sample_order`; no more are taken than needed.
        room: Tokens, at most.
    """
    vectors: list[Float] = []
    for rows in drawn:
        if len(rows) > room:
            if not vectors:
                vectors.append(rows[:room])
            break
        vectors.append(rows)
        room -= len(rows)
    return vectors


def trained_on(sample: list[Float], nbits: int, expected_tokens: int) -> tuple[Codec, float]:
    """Train a codec on documents of a sample, which is emptied; as `Source.train` has it."""
    unseen = _last(sample, min(_UNSEEN_TOKENS, sum(map(len, sample)) // 16))
    seen = np.concatenate(sample[: len(sample) - len(unseen)])
    sample.clear()  # its memory is wanted for training
    codec, error = train_codec(seen, nbits=nbits, total_tokens=expected_tokens, threads=default_threads())
    return codec, coding_error(codec, np.concatenate(unseen), default_threads()) if unseen else error


def _last(documents: list[Float], tokens: int) -> list[Float]:
    """The last documents, of at most so many tokens together."""
    sizes = np.cumsum([len(rows) for rows in reversed(documents)])
    count = int(np.searchsorted(sizes, tokens, side="right"))
    return documents[len(documents) - count :]


def _batches(doclens: Int64, alive: Int64) -> Iterator[Int64]:
    """Positions in parts of about _BATCH_TOKENS tokens."""
    if not len(alive):
        return
    ends = np.cumsum(doclens[alive])
    cuts = np.searchsorted(ends, np.arange(_BATCH_TOKENS, int(ends[-1]), _BATCH_TOKENS)) + 1
    yield from (part for part in np.split(alive, np.unique(cuts)) if len(part))
