"""Codecs and coded segments that any version wrote are read for ever, and score as they did."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from polyvec.errors import StorageError
from polyvec.index.codec.codec import Codec
from polyvec.index.coded_segment import CodedSegment

GOLDEN = Path(__file__).parents[1] / "golden"
EXPECTED = {
    version: json.loads((GOLDEN / f"{version}-codes.json").read_text(encoding="utf-8")) for version in ("v1", "v2")
}


def query() -> np.ndarray:
    rows = np.cos(np.arange(3 * 24, dtype=np.float64).reshape(3, 24) * 1.7)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("version", EXPECTED)
@pytest.mark.parametrize("nbits", [1, 2, 4, 8])
def test_files_of_every_version_are_read_for_ever(nbits: int, version: str) -> None:
    expected = EXPECTED[version][str(nbits)]
    codec = Codec.load(GOLDEN / f"{version}-{nbits}.codec")
    segment = CodedSegment(GOLDEN / f"{version}-{nbits}.seg", codec, expected["codec"])
    assert (codec.dim, codec.nbits, segment.n_documents, segment.n_tokens) == (24, nbits, 12, expected["tokens"])
    scores = segment.score(codec.query(query()), None, 2)
    assert scores == pytest.approx(np.array(expected["scores"]), abs=1e-4)
    assert segment.token_ids(3) is not None
    assert segment.verify() == []


@pytest.mark.parametrize("version", EXPECTED)
@pytest.mark.parametrize("nbits", [1, 2, 4, 8])
def test_codecs_of_every_version_code_new_documents(nbits: int, version: str) -> None:
    codec = Codec.load(GOLDEN / f"{version}-{nbits}.codec")
    segment = CodedSegment(GOLDEN / f"{version}-{nbits}.seg", codec, EXPECTED[version][str(nbits)]["codec"])
    vectors = codec.decode(segment.codes(0, segment.n_documents))
    again = codec.decode(codec.encode(vectors, None, threads=1))
    assert (again * vectors).sum(axis=1).mean() > {1: 0.75, 2: 0.9, 4: 0.99, 8: 0.999}[nbits]


@pytest.mark.parametrize("version", EXPECTED)
@pytest.mark.parametrize("nbits", [1, 2, 4, 8])
def test_any_truncation_of_them_is_refused(nbits: int, version: str, tmp_path: Path) -> None:
    codec = Codec.load(GOLDEN / f"{version}-{nbits}.codec")
    whole = (GOLDEN / f"{version}-{nbits}.seg").read_bytes()
    path = tmp_path / "a.seg"
    for length in range(1, len(whole), 211):
        path.write_bytes(whole[:length])
        with pytest.raises(StorageError):
            CodedSegment(path, codec, EXPECTED[version][str(nbits)]["codec"])
