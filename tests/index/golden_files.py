"""Makes the golden files of format version 1, which are kept for ever: every later polyvec reads them and finds what is recorded.

    python -m tests.index.golden_files FOLDER

They were made once, by the version that introduced the format. A change of this script makes other files, not better ones.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import polyvec
from polyvec.index import coded_segment
from polyvec.index.codec.codec import CODED_NBITS, Codec
from polyvec.index.codec.training import train_codec
from polyvec.index.coded_segment import CodesSegment, CodesWriter
from polyvec.index.segment import VectorsSegment, VectorsWriter
from tests.conftest import WordEncoder

GOLDEN = Path(__file__).parent / "golden"
DIM = 24  # not a multiple of 32: rows are padded
DOCLENS = np.array([3, 1, 7, 2, 5, 4, 6, 1, 9, 2, 3, 5], np.int64)
QUESTIONS = ("red tea", "blue river at night", "stone")


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def documents() -> np.ndarray:
    """(48, 24) unit rows, document after document, by arithmetic alone."""
    places = np.arange(DOCLENS.sum() * DIM, dtype=np.float64).reshape(-1, DIM)
    return unit(np.cos(places * 0.37) + 0.5 * np.sin(places * places * 0.011))


def query() -> np.ndarray:
    return unit(np.cos(np.arange(3 * DIM, dtype=np.float64).reshape(3, DIM) * 1.7))


def rows() -> list[dict[str, Any]]:
    """Documents of the golden index."""
    words = ["red", "green", "blue", "tea", "stone", "river", "night", "house", "wind", "salt"]
    return [
        {
            "id": f"d{i}",
            "text": " ".join(words[(i * 7 + j * 3) % len(words)] for j in range(2 + i % 5)),
            "year": 1990 + i,
            "lang": "de" if i % 2 else "fr",
        }
        for i in range(40)
    ]


@contextmanager
def postings_from(tokens: int) -> Iterator[None]:
    """Segments get postings from so many tokens on."""
    before, coded_segment.POSTINGS_FROM = coded_segment.POSTINGS_FROM, tokens
    try:
        yield
    finally:
        coded_segment.POSTINGS_FROM = before


def write_vectors(path: Path) -> None:
    writer = VectorsWriter(path, DIM)
    cut = int(DOCLENS[:5].sum())
    writer.append(documents()[:cut], DOCLENS[:5])
    writer.append(documents()[cut:], DOCLENS[5:])
    writer.finish()


def write_codes(path: Path, codec: Codec, checksum: str) -> None:
    with postings_from(0):
        writer = CodesWriter(path, codec, checksum, 2)
        writer.append(documents(), DOCLENS)
        writer.finish()


def write_index(path: Path) -> None:
    """Two segments in codes of 4 bits, the first with postings, and deleted documents in both."""
    with postings_from(1), polyvec.Index.create(path, encoder=WordEncoder(16), nbits=4) as index:
        index.add(rows()[:35])
        index.compact()
        coded_segment.POSTINGS_FROM = 1 << 14
        index.add(rows()[35:])
        index.delete(["d3", "d37"])


def answers(index: polyvec.Index) -> dict[str, Any]:
    """Hits of the golden index, by what was asked."""
    found: dict[str, Any] = {}
    for text in QUESTIONS:
        for mode in ("late", "keyword", "hybrid"):
            hits = index.search(text, k=5, mode=mode)
            found[f"{mode}: {text}"] = [[hit.id, hit.score] for hit in hits]
        found[f"filter: {text}"] = [
            hit.id for hit in index.search(text, k=5, filter={"lang": "de", "year": {"$gt": 2000}})
        ]
    return found


def make(folder: Path) -> None:
    """Write every file."""
    write_vectors(folder / "v1.seg")
    recorded: dict[str, Any] = {"vectors": VectorsSegment(folder / "v1.seg", DIM).score(query(), None, 1).tolist()}
    decoded: dict[str, np.ndarray] = {}
    for nbits in CODED_NBITS:
        codec, _ = train_codec(documents(), nbits=nbits, total_tokens=480, threads=1)
        _, checksum = codec.save(folder / f"v1-{nbits}.codec")
        write_codes(folder / f"v1-{nbits}.seg", codec, checksum)
        segment = CodesSegment(folder / f"v1-{nbits}.seg", codec, checksum)
        scores = segment.score(codec.query(query()), None, 1).tolist()
        recorded[f"codes-{nbits}"] = {"codec": checksum, "scores": scores}
        decoded[f"codes_{nbits}"] = np.concatenate([segment.decode(i) for i in range(segment.n_documents)])
    np.savez(folder / "v1-decoded.npz", **decoded)
    write_index(folder / "v1-index")
    with polyvec.Index.open(folder / "v1-index", encoder=WordEncoder(16)) as index:
        recorded["index"] = answers(index)
        recorded["info"] = {
            name: index.info()[name] for name in ("documents", "tokens", "segments", "deleted_rows", "languages")
        }
    for left in ("catalog.sqlite-wal", "catalog.sqlite-shm", "writer.lock"):
        (folder / "v1-index" / left).unlink(missing_ok=True)
    (folder / "v1.json").write_text(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    target = Path(sys.argv[1])
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    make(target)
