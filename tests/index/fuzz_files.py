"""Damages index files over and over: each is refused with one of our errors, or answers as the whole file does.

    python tests/index/fuzz_files.py --files 100000        (`make fuzz` runs it under the address and undefined sanitizers)

Files are cut at any byte, bits are flipped, whole fields overwritten; in a third of them the checksums are put right again, so that
the bounds behind them are tried too. Those may score otherwise, but must not crash or read outside of the file.
"""

from __future__ import annotations

import argparse
import random
import struct
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from polyvec.errors import PolyvecError
from polyvec.index import coded_segment
from polyvec.index.codec.codec import Codec
from polyvec.index.codec.training import train_codec
from polyvec.index.coded_segment import CodesSegment, CodesWriter
from polyvec.index.engine.candidates import find_candidates
from polyvec.index.engine.options import SearchOptions
from polyvec.index.segment import VectorsSegment, VectorsWriter

DIM, DOCUMENTS = 24, 30
_PAGE, _ENTRIES, _ENTRY = 4096, 64, 64


@dataclass(frozen=True)
class Target:
    """A sound file, what reads all of it, and what that gives."""

    name: str
    whole: bytes
    read: Callable[[Path], list[float]]
    expected: list[float]


def targets(folder: Path) -> list[Target]:
    """A segment of vectors, and a codec and a segment with postings of every width."""
    rng = np.random.default_rng(0)
    doclens = rng.integers(1, 9, DOCUMENTS).astype(np.int64)
    rows = rng.standard_normal((int(doclens.sum()), DIM)).astype(np.float32)
    vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    query = np.ascontiguousarray(vectors[:3])
    found = [_vectors(folder, vectors, doclens, query)]
    for nbits in (1, 2, 4, 8):
        found += _coded(folder, nbits, vectors, doclens, query)
    return found


def _vectors(folder: Path, vectors: np.ndarray, doclens: np.ndarray, query: np.ndarray) -> Target:
    path = folder / "vectors.seg"
    writer = VectorsWriter(path, DIM)
    writer.append(vectors, doclens)
    writer.finish()

    def read(damaged: Path) -> list[float]:
        segment = VectorsSegment(damaged, DIM)
        for position in range(segment.n_documents):
            segment.decode(position)
        return [float(score) for score in segment.score(query, None, 1)]

    return Target("segment of vectors", path.read_bytes(), read, read(path))


def _coded(folder: Path, nbits: int, vectors: np.ndarray, doclens: np.ndarray, query: np.ndarray) -> list[Target]:
    path, codec_path = folder / f"{nbits}.seg", folder / f"{nbits}.codec"
    codec, _ = train_codec(vectors.copy(), nbits=nbits, total_tokens=len(vectors) * 8, threads=1)
    _, checksum = codec.save(codec_path)
    postings, coded_segment.POSTINGS_FROM = coded_segment.POSTINGS_FROM, 0
    try:
        writer = CodesWriter(path, codec, checksum, 1)
        writer.append(vectors, doclens)
        writer.finish()
    finally:
        coded_segment.POSTINGS_FROM = postings

    def with_codec(opened: Codec, damaged: Path) -> list[float]:
        segment, asked = CodesSegment(damaged, opened, checksum), opened.query(query)
        for position in range(segment.n_documents):
            segment.decode(position)
        if not segment.generates_candidates:  # their block lost its name
            return [float(score) for score in segment.score(asked, None, 1)]
        options = SearchOptions(k=2, nprobe=4, candidates=6)
        (positions,) = find_candidates(opened, asked, options, [segment], [None], 1)
        scores = segment.score(asked, None, 1)
        return [*map(float, positions), *map(float, scores)]

    def read_segment(damaged: Path) -> list[float]:
        return with_codec(codec, damaged)

    def read_codec(damaged: Path) -> list[float]:
        return with_codec(Codec.load(damaged), path)

    return [
        Target(f"segment of {nbits} bits", path.read_bytes(), read_segment, read_segment(path)),
        Target(f"codec of {nbits} bits", codec_path.read_bytes(), read_codec, read_codec(codec_path)),
    ]


def damaged(whole: bytes, chance: random.Random) -> tuple[bytes, bool]:
    """A damaged file, and whether its checksums were put right again."""
    content = bytearray(whole)
    if chance.random() < 0.2:
        return bytes(content[: chance.randrange(len(content))]), False
    for _ in range(chance.randint(1, 3)):
        place = chance.choice([chance.randrange(len(content)), chance.randrange(min(len(content), 1024))])
        if chance.random() < 0.7:
            content[place] ^= 1 << chance.randrange(8)
        else:
            value = chance.choice([0, 1, 0x7F, 0xFF, 1 << 31, (1 << 63) - 1, (1 << 64) - 1, chance.getrandbits(64)])
            content[place : place + 8] = value.to_bytes(8, "little")[: len(content) - place]
    if chance.random() < 1 / 3:
        _repair(content)
        return bytes(content), True
    return bytes(content), False


def _repair(content: bytearray) -> None:
    """Right checksums for wrong content, so that more than the first check is tried."""
    blocks = min(struct.unpack_from("<I", content, 12)[0], (_PAGE - _ENTRIES) // _ENTRY)
    for entry in range(_ENTRIES, _ENTRIES + blocks * _ENTRY, _ENTRY):
        offset, size = (
            struct.unpack_from("<Q", content, entry + 24)[0],
            struct.unpack_from("<Q", content, entry + 48)[0],
        )
        if offset + size <= len(content):
            struct.pack_into("<I", content, entry + 20, zlib.crc32(content[offset : offset + size]))
    struct.pack_into("<I", content, 24, 0)
    struct.pack_into("<I", content, 24, zlib.crc32(content[:_PAGE]))


def fuzz(files: int, seed: int, folder: Path) -> dict[str, int]:
    """Counts of what happened. Raises AssertionError for a wrong answer, and whatever is not one of our errors."""
    chance = random.Random(seed)
    aims = targets(folder)
    path = folder / "damaged"
    counts = {"refused": 0, "answered as before": 0, "answered otherwise, checksums put right": 0}
    for number in range(files):
        aim = chance.choice(aims)
        content, repaired = damaged(aim.whole, chance)
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        try:
            found = aim.read(path)
        except PolyvecError:
            counts["refused"] += 1
            continue
        except Exception as error:
            raise AssertionError(f"file {number} of seed {seed}, {aim.name}: {error!r}") from error
        same = np.array_equal(found, aim.expected, equal_nan=True)
        assert same or repaired, f"file {number} of seed {seed}, {aim.name}: damaged, not refused, and scored otherwise"
        counts["answered as before" if same else "answered otherwise, checksums put right"] += 1
    return counts


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000, help="Damaged files to try.")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        print(given.files, "damaged files:", fuzz(given.files, given.seed, Path(place)))
