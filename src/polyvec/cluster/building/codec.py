"""The codec of all shards, trained once on a sample of all documents: the one that an index of them all would train.

Which documents are sampled follows from how many there are; they are encoded beforehand, by whoever has room. Knows nothing about
Ray.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from polyvec.cluster.building.documents import Staged
from polyvec.cluster.building.work import Block, Int64, Work, unpacked
from polyvec.index.catalog.settings import CodecRecord
from polyvec.index.codec.codec import Codec
from polyvec.index.codec.training import SAMPLE_TOKENS, centroid_count
from polyvec.index.upkeep.merging import sample_order, sampled, trained_on

CODEC_FILE = "00000001.codec"
_FIRST = 512  # documents that are encoded to see how long documents are
_TOGETHER = 128  # documents of a task, about
_SETTLED = centroid_count(1 << 62)


class Sampling:
    """Which documents the codec is trained on: the first in the order of drawing, as many as hold SAMPLE_TOKENS tokens.

    Args:
        work: What the build keeps.
        staged: Its documents.
        room: Tokens to train on, at most.
    """

    def __init__(self, work: Work, staged: Staged, *, room: int = SAMPLE_TOKENS) -> None:
        self._work, self._staged, self._room = work, staged, room
        self._order = sample_order(staged.documents)
        self._doclens: list[int] = []  # of the documents that are encoded, in the order of drawing
        self.parts: list[
            tuple[str, list[int]]
        ] = []  # names of objects, and the places in the order of drawing of what they hold

    @property
    def mean_tokens(self) -> float:
        """Of a document, by those that are encoded."""
        return sum(self._doclens) / max(len(self._doclens), 1)

    @property
    def is_whole(self) -> bool:
        """Whether every document is in the sample, so that nothing has to be estimated."""
        return len(self._doclens) == self._staged.documents

    @property
    def tokens(self) -> int:
        """Of all documents that are encoded for it."""
        return sum(self._doclens)

    def next_tasks(self) -> list[dict[str, Any]]:
        """What to encode next, as `BlockEncoder.run` takes it; empty where the sample is complete."""
        done, total = len(self._doclens), self._staged.documents
        if done == total or self.tokens >= self._room:
            return []
        wanted = _FIRST if not done else int((self._room - self.tokens) / max(self.mean_tokens, 1) * 1.02) + 32
        end = min(done + wanted, total)
        return [self._task(part) for part in self._grouped(np.arange(done, end))]

    def take(self, answers: Sequence[dict[str, Any]]) -> None:
        """Note what the tasks of `next_tasks` found, in their order."""
        found = {
            place: tokens
            for (_, places), answer in zip(self.parts[-len(answers) :], answers, strict=True)
            for place, tokens in zip(places, answer["tokens"], strict=True)
        }
        self._doclens += [found[place] for place in sorted(found)]

    def _grouped(self, places: Int64) -> Iterator[list[tuple[Block, list[tuple[int, int]]]]]:
        """Documents by block, in parts: for each block, the places in the order of drawing and positions in the block."""
        by_block: dict[Block, list[tuple[int, int]]] = {}
        found = self._staged.places(self._work, self._order[places])
        for place, (block, position) in zip(places.tolist(), found, strict=True):
            by_block.setdefault(block, []).append((place, position))
        part: list[tuple[Block, list[tuple[int, int]]]] = []
        count = 0
        for block in sorted(by_block, key=lambda block: block.name):
            part.append((block, sorted(by_block[block])))
            count += len(by_block[block])
            if count >= _TOGETHER:
                yield part
                part, count = [], 0
        if part:
            yield part

    def _task(self, part: list[tuple[Block, list[tuple[int, int]]]]) -> dict[str, Any]:
        name = f"{len(self.parts):05d}"
        self.parts.append((name, [place for _, some in part for place, _ in some]))
        documents = [(asdict(block), [position for _, position in some]) for block, some in part]
        return {"do": "sample", "name": name, "documents": documents}


def needs_count(sampling: Sampling, staged: Staged) -> bool:
    """Whether how many tokens there are in all decides how many centroids the codec gets.

    Args:
        sampling: Whose documents are encoded.
        staged: All documents.
    """
    return not sampling.is_whole and centroid_count(int(sampling.mean_tokens * staged.documents * 0.8)) < _SETTLED


def train(work: Work, nbits: int, parts: Sequence[tuple[str, list[int]]], expected_tokens: int) -> CodecRecord:
    """Train the codec, and put it where every machine finds it; what an earlier run has trained is taken as it is.

    Args:
        work: What the build keeps.
        nbits: Bits a dimension.
        parts: As `Sampling` has them.
        expected_tokens: How many tokens there are in all.

    Returns:
        What is known of it.
    """
    if work.find_json("codec.json") is not None:
        return load_codec(work)[1]
    sample = sampled(rows.astype(np.float32) for rows in _drawn(work, parts))
    codec, error = trained_on(sample, nbits, expected_tokens)
    with tempfile.TemporaryDirectory(prefix="polyvec-codec-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / CODEC_FILE
        size, checksum = codec.save(path)
        work.put("codec", path.read_bytes())
    record = CodecRecord(file=CODEC_FILE, checksum=checksum, size_bytes=size, error=error, tokens=expected_tokens)
    work.put_json("codec.json", record.to_json())
    return record


def load_codec(work: Work) -> tuple[Codec, CodecRecord]:
    """The codec of a build.

    Args:
        work: What the build keeps.

    Returns:
        The codec, and what is known of it.
    """
    record = CodecRecord.from_json(work.find_json("codec.json"))
    with tempfile.TemporaryDirectory(prefix="polyvec-codec-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / CODEC_FILE
        path.write_bytes(work.get("codec"))
        return Codec.load(path), record


def _drawn(work: Work, parts: Sequence[tuple[str, list[int]]]) -> list[npt.NDArray[np.float16]]:
    """The vectors of the sample's documents, in the order of drawing."""
    found: dict[int, npt.NDArray[np.float16]] = {}
    for name, places in parts:
        arrays = unpacked(work.get(f"sample/{name}"))
        ends = np.cumsum(arrays["doclens"])
        found.update(zip(places, np.split(arrays["vectors"], ends[:-1]), strict=True))
    return [found[place] for place in sorted(found)]
