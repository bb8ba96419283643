"""Segments in codes: golden files are read and written to the bit, and what does not fit is refused."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest

from polyvec.errors import IndexCorruptError, StorageError
from polyvec.index.codec.codec import CODED_NBITS, Codec
from polyvec.index.coded_segment import CodesSegment, CodesWriter
from polyvec.index.segment import VectorsSegment, VectorsWriter
from tests.index.files import blocks_of, sealed
from tests.index.golden_files import DIM, DOCLENS, GOLDEN, documents, postings_from, query, write_codes

RECORDED = json.loads((GOLDEN / "v1.json").read_text(encoding="utf-8"))


def opened(nbits: int, path: Path | None = None) -> tuple[Codec, CodesSegment]:
    codec = Codec.load(GOLDEN / f"v1-{nbits}.codec")
    return codec, CodesSegment(path or GOLDEN / f"v1-{nbits}.seg", codec, RECORDED[f"codes-{nbits}"]["codec"])


@pytest.mark.parametrize("nbits", CODED_NBITS)
def test_golden_files_are_read_for_ever(nbits: int) -> None:
    codec, segment = opened(nbits)
    assert (segment.n_documents, segment.n_tokens) == (len(DOCLENS), DOCLENS.sum())
    assert segment.doclens.tolist() == DOCLENS.tolist()
    assert segment.score(codec.query(query()), None, 2).tolist() == RECORDED[f"codes-{nbits}"]["scores"]
    some = np.array([1, 4, 11])
    expected = [RECORDED[f"codes-{nbits}"]["scores"][i] for i in some]
    assert segment.score(codec.query(query()), some, 1).tolist() == expected
    with np.load(GOLDEN / "v1-decoded.npz") as decoded:
        found = np.concatenate([segment.decode(i) for i in range(segment.n_documents)])
        assert found.tobytes() == decoded[f"codes_{nbits}"].tobytes()
    assert segment.generates_candidates
    assert segment.verify() == []


@pytest.mark.parametrize("nbits", CODED_NBITS)
def test_the_same_documents_give_the_same_file(nbits: int, tmp_path: Path) -> None:
    codec = Codec.load(GOLDEN / f"v1-{nbits}.codec")
    write_codes(tmp_path / "a.seg", codec, RECORDED[f"codes-{nbits}"]["codec"])
    assert (tmp_path / "a.seg").read_bytes() == (GOLDEN / f"v1-{nbits}.seg").read_bytes()


@pytest.mark.parametrize("nbits", CODED_NBITS)
def test_any_truncation_is_refused(nbits: int, tmp_path: Path) -> None:
    whole = (GOLDEN / f"v1-{nbits}.seg").read_bytes()
    for length in range(1, len(whole), 211):
        (tmp_path / "a.seg").write_bytes(whole[:length])
        with pytest.raises(StorageError):
            opened(nbits, tmp_path / "a.seg")


def test_a_small_segment_has_no_postings(tmp_path: Path) -> None:
    codec = Codec.load(GOLDEN / "v1-4.codec")
    for threshold, there in ((int(DOCLENS.sum()), True), (int(DOCLENS.sum()) + 1, False)):
        with postings_from(threshold):
            writer = CodesWriter(tmp_path / "a.seg", codec, RECORDED["codes-4"]["codec"], 1)
            writer.append(documents(), DOCLENS)
            info = writer.finish()
        _, segment = opened(4, tmp_path / "a.seg")
        assert (info.n_tokens, segment.generates_candidates) == (48, there)
        assert ("postings" in blocks_of(tmp_path / "a.seg")) == there
    assert segment.for_search()["stream"] is None
    query = codec.query(documents()[:2])
    assert len(segment.score(query, None, 1)) == segment.n_documents


def test_another_codec_is_refused() -> None:
    codec = Codec.load(GOLDEN / "v1-4.codec")
    with pytest.raises(IndexCorruptError, match="another codec"):
        CodesSegment(GOLDEN / "v1-4.seg", codec, "0")


def test_codes_are_copied_by_their_own_codec_and_decoded_for_any_other(tmp_path: Path) -> None:
    codec, segment = opened(4)
    checksum = RECORDED["codes-4"]["codec"]
    chosen = np.array([0, 1, 5, 6, 9])
    writers = {
        "same": CodesWriter(tmp_path / "same", codec, checksum, 1),
        "other": CodesWriter(tmp_path / "other", Codec.load(GOLDEN / "v1-2.codec"), RECORDED["codes-2"]["codec"], 1),
        "fp16": VectorsWriter(tmp_path / "fp16", DIM),
    }
    for writer in writers.values():
        writer.copy(segment, chosen, segment.doclens[chosen])
        writer.finish()
    _, same = opened(4, tmp_path / "same")
    other = CodesSegment(tmp_path / "other", Codec.load(GOLDEN / "v1-2.codec"), RECORDED["codes-2"]["codec"])
    fp16 = VectorsSegment(tmp_path / "fp16", DIM)
    for place, position in enumerate(chosen.tolist()):
        wanted = segment.decode(position)
        assert same.decode(place).tobytes() == wanted.tobytes()
        assert fp16.decode(place) == pytest.approx(wanted, abs=1e-3)
        assert (other.decode(place) * wanted).sum(axis=1).min() > 0.6
    assert segment.codes(chosen, "0") is None
    assert fp16.codes(chosen, checksum) is None


def test_codes_that_name_no_centroid_are_noticed(tmp_path: Path) -> None:
    whole = bytearray((GOLDEN / "v1-4.seg").read_bytes())
    block = blocks_of(GOLDEN / "v1-4.seg")["codes"]
    whole[block.offset : block.offset + 2] = b"\xff\xff"
    entry = whole.index(b"codes\0", 64)  # in the block table, behind the kind of the file
    whole[entry + 20 : entry + 24] = zlib.crc32(whole[block.offset : block.offset + block.size]).to_bytes(4, "little")
    (tmp_path / "a.seg").write_bytes(sealed(whole))
    codec, segment = opened(4, tmp_path / "a.seg")
    for call in (lambda: segment.score(codec.query(query()), None, 1), lambda: segment.decode(0)):
        with pytest.raises(IndexCorruptError, match="is damaged"):
            call()


def test_lengths_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    codec = Codec.load(GOLDEN / "v1-4.codec")
    writer = CodesWriter(tmp_path / "a.seg", codec, "0", 1)
    with pytest.raises(ValueError, match="doclens add up to 47"):
        writer.append(documents(), np.append(DOCLENS[:-1], 4))
    writer.abort()
    writer.abort()
    assert list(tmp_path.iterdir()) == []
