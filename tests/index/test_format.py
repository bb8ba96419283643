"""The file format: golden files are read by the page that describes it, and unknown blocks are skipped or refused."""

from __future__ import annotations

import json
import shutil
import sqlite3
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from polyvec import Index
from polyvec.collection.repair import repair_index
from polyvec.errors import IndexCorruptError, StorageError
from polyvec.index.codec.codec import CODED_NBITS, Codec
from polyvec.index.format import FORMAT_VERSION, MAGIC, BlockFile, BlockWriter
from polyvec.index.segment import VectorsSegment
from tests.conftest import WordEncoder
from tests.index.files import blocks_of, checksum_of, kind_of, sealed, tables_under, with_block
from tests.index.golden_files import DIM, GOLDEN, QUESTIONS, answers, query

RECORDED: dict[str, Any] = json.loads((GOLDEN / "v1.json").read_text(encoding="utf-8"))
FILES = sorted(path for path in GOLDEN.rglob("*") if path.suffix in (".seg", ".codec"))


def nbits_of(path: Path) -> int:
    codec = path.with_suffix(".codec") if path.with_suffix(".codec").exists() else next(path.parent.glob("*.codec"))
    return int(blocks_of(codec)["parameters"].array[1])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_golden_files_hold_the_blocks_that_the_page_lists(path: Path) -> None:
    blocks, kind = blocks_of(path), kind_of(path)
    listed = {row[0]: row for row in tables_under(f"Kind `{kind}`")[0]}
    for name, block in blocks.items():
        _, dtypes, shape, needed, _ = listed[name]
        assert block.array.dtype in [np.dtype(dtype) for dtype in dtypes.split(", ")]
        assert block.array.ndim == shape.count(",") + 1
        assert block.optional == (needed == "optional")
    below_eight = kind == "vectors" or nbits_of(path) < 8
    required = {
        name for name, row in listed.items() if row[3] == "required" or (row[3] == "below 8 bits" and below_eight)
    }
    assert required == {name for name, block in blocks.items() if not block.optional}


@pytest.mark.parametrize("nbits", CODED_NBITS)
def test_codes_become_vectors_as_the_page_says(nbits: int) -> None:
    segment, codec = blocks_of(GOLDEN / f"v1-{nbits}.seg"), blocks_of(GOLDEN / f"v1-{nbits}.codec")
    dim, stored_nbits = codec["parameters"].array.tolist()
    assert (dim, stored_nbits) == (DIM, nbits)
    if nbits == 8:
        v = segment["residuals"].array.view(np.int8).astype(np.int32)
    else:
        levels = np.rint(codec["steps"].array[:, None] * codec["codebook"].array).clip(-127, 127).astype(np.int32)
        windows = windows_of(segment["residuals"].array, nbits)
        level = levels[segment["scales"].array[:, None], windows]
        v = (codec["centroids"].array[segment["codes"].array].astype(np.int32) + level).clip(-127, 127)
    unit = (v / np.linalg.norm(v, axis=1, keepdims=True))[:, :dim]
    found = unrotated(unit, codec["rotation"].array)
    with np.load(GOLDEN / "v1-decoded.npz") as decoded:
        assert np.allclose(found, decoded[f"codes_{nbits}"], atol=1e-6)
    rotated = unrotated(query().astype(np.float64), codec["rotation"].array, forward=True)
    offsets, scores = segment["offsets"].array, RECORDED[f"codes-{nbits}"]["scores"]
    by_hand = [(rotated @ unit[a:b].T).max(axis=1).sum() for a, b in pairwise(offsets.tolist())]
    assert by_hand == pytest.approx(scores, abs=0.02)  # a search rounds the query to int8


def windows_of(packed: np.ndarray, nbits: int) -> np.ndarray:
    """Step 1 of the page, bit by bit."""
    windows = np.zeros((len(packed), packed.shape[1] * 8 // nbits), np.int64)
    for token, row in enumerate(packed):
        for block in range(len(row) // (4 * nbits)):
            number = int.from_bytes(row[block * 4 * nbits : (block + 1) * 4 * nbits].tobytes(), "little")
            for dimension in range(32):
                first_bit = 8 * (dimension % (4 * nbits)) + nbits * (dimension // (4 * nbits))
                windows[token, 32 * block + dimension] = number >> first_bit & 15
    return windows


def unrotated(rows: np.ndarray, signs: np.ndarray, *, forward: bool = False) -> np.ndarray:
    """Step 4 of the page, with matrices; forward: what it undoes."""
    dim = rows.shape[1]
    size = 1 << (dim.bit_length() - 1)
    hadamard = np.array([[1.0]])
    while len(hadamard) < size:
        hadamard = np.block([[hadamard, hadamard], [hadamard, -hadamard]])
    turned = rows.copy()
    for number in range(3) if forward else reversed(range(3)):
        covered = slice(dim - size, dim) if number == 1 else slice(0, size)
        if forward:
            turned = turned * signs[number]
        turned[:, covered] = turned[:, covered] @ hadamard / np.sqrt(size)
        if not forward:
            turned = turned * signs[number]
    return turned


def test_posting_lists_are_as_the_page_says() -> None:
    blocks = blocks_of(GOLDEN / "v1-4.seg")
    stream, offsets = blocks["postings"].array.tolist(), blocks["posting_offsets"].array.tolist()
    starts, codes = blocks["offsets"].array, blocks["codes"].array
    for centroid, (begin, end) in enumerate(pairwise(offsets)):
        found, value, shift, position = [], 0, 0, 0
        for byte in stream[begin:end]:
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                position += value
                found.append(position)
                value = shift = 0
        tokens = np.flatnonzero(codes == centroid)
        assert found == np.unique(np.searchsorted(starts, tokens, side="right") - 1).tolist()


def test_the_catalog_has_the_tables_that_the_page_lists() -> None:
    listed: dict[str, list[tuple[str, str]]] = {}
    columns, keys = tables_under("The catalog")
    for table, column, kind, _ in columns:
        listed.setdefault(table, []).append((column, kind))
    connection = sqlite3.connect(f"file:{GOLDEN / 'v1-index' / 'catalog.sqlite'}?mode=ro&immutable=1", uri=True)
    try:
        for table, expected in listed.items():
            found = [(name, kind) for _, name, kind, *_ in connection.execute(f"PRAGMA table_info({table})")]
            assert found == expected
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert {name for name in tables if not name.startswith("keywords_")} == set(listed)
        optional = {key for key, meaning in keys if "Absent" in meaning}
        assert {key for (key,) in connection.execute("SELECT key FROM meta")} == {key for key, _ in keys} - optional
        assert connection.execute("PRAGMA application_id").fetchone() == (0x50564543,)
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    finally:
        connection.close()


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    """A copy of the golden index."""
    shutil.copytree(GOLDEN / "v1-index", tmp_path / "i")
    return tmp_path / "i"


def test_the_golden_index_answers_for_ever(golden: Path, encoder: WordEncoder) -> None:
    with Index.open(golden, encoder=encoder) as index:
        check_answers(index)
        info = index.info()
        assert {name: info[name] for name in RECORDED["info"]} == RECORDED["info"]
        assert index.verify() == []
        index.add([{"id": "new", "text": "salt wind"}])
        index.compact()
        assert index.verify() == []
        assert index.search("salt wind", k=1, mode="keyword")[0].id == "new"


def check_answers(index: Index) -> None:
    found = answers(index)
    assert found.keys() == RECORDED["index"].keys()
    for asked, expected in RECORDED["index"].items():
        if asked.startswith("late") or asked.startswith("filter"):  # of whole numbers: the same bits on every machine
            assert found[asked] == expected
        else:
            assert [name for name, _ in found[asked]] == [name for name, _ in expected]
            assert [score for _, score in found[asked]] == pytest.approx([score for _, score in expected])


def test_every_block_goes_through_a_file(tmp_path: Path) -> None:
    kinds = st.sampled_from(["|u1", "|i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f2", "<f4", "<f8"])
    shapes = st.one_of(st.tuples(st.integers(0, 9)), st.tuples(st.integers(0, 9), st.integers(1, 5)))
    content = st.tuples(kinds, shapes).flatmap(
        lambda one: arrays(*one, elements={"allow_nan": False} if "f" in one[0] else None)
    )

    @given(st.lists(st.tuples(content, st.booleans()), max_size=6))
    def check(blocks: list[tuple[np.ndarray, bool]]) -> None:
        path = tmp_path / "a.seg"
        writer = BlockWriter(path, "vectors")
        for i, (array, optional) in enumerate(blocks):
            writer.write(f"block{i}", array, optional=optional)
        size, checksum = writer.finish()
        assert (size, checksum) == (path.stat().st_size, checksum_of(path.read_bytes()))
        file, read = BlockFile(path, "vectors", [f"block{i}" for i in range(len(blocks))]), blocks_of(path)
        assert file.verify() == []
        for i, (array, optional) in enumerate(blocks):
            found = file.array(f"block{i}", array.dtype, array.shape[1] if array.ndim == 2 else 0)
            assert np.array_equal(found, array)
            assert np.array_equal(read[f"block{i}"].array, array)
            assert read[f"block{i}"].optional == optional

    check()


@pytest.mark.parametrize(
    ("name", "dtype"), [("a name of many letters", np.uint8), ("", np.uint8), ("größe", np.uint8), ("a", np.complex64)]
)
def test_what_the_format_does_not_have_is_not_written(tmp_path: Path, name: str, dtype: Any) -> None:
    writer = BlockWriter(tmp_path / "a", "vectors")
    with pytest.raises(ValueError, match="no such name or dtype"):
        writer.begin(name, dtype)
    writer.abort()


MORE = np.arange(12, dtype=np.float32).reshape(3, 4)


def put_into_index(index: Path, file: Path, content: bytes) -> None:
    """Put a segment's changed file into an index whose catalog knows it."""
    file.write_bytes(content)
    connection = sqlite3.connect(index / "catalog.sqlite")
    with connection:
        connection.execute(
            "UPDATE segments SET checksum = ?, size_bytes = ? WHERE file = ?",
            (checksum_of(content), len(content), file.name),
        )
    connection.close()


def test_an_optional_block_that_nobody_knows_changes_nothing(
    golden: Path, encoder: WordEncoder, tmp_path: Path
) -> None:
    for file in (golden / "segments").glob("*.seg"):
        put_into_index(golden, file, with_block(file.read_bytes(), "first_stage", MORE, flags=1))
        assert blocks_of(file)["first_stage"].optional
    with Index.open(golden, encoder=encoder) as index:
        check_answers(index)
        assert index.verify() == []
        index.copy(tmp_path / "copy")
        index.add([{"id": "new", "text": "salt wind"}])
        index.compact()
        assert index.verify() == []
    (merged,) = (golden / "segments").glob("*.seg")
    assert "first_stage" not in blocks_of(merged)
    with Index.open(tmp_path / "copy", encoder=encoder) as copied:
        check_answers(copied)


def test_a_damaged_optional_block_that_nobody_knows_is_reported_and_repaired(
    golden: Path, encoder: WordEncoder
) -> None:
    file = sorted((golden / "segments").glob("*.seg"))[0]
    put_into_index(golden, file, with_block(file.read_bytes(), "first_stage", MORE, flags=1))
    damaged = bytearray(file.read_bytes())
    damaged[blocks_of(file)["first_stage"].offset :] = b"x" * MORE.nbytes
    file.write_bytes(damaged)
    with Index.open(golden, encoder=encoder) as index:
        check_answers(index)
        (problem,) = index.verify()
        assert "block 'first_stage' is damaged" in problem
    report = repair_index(golden, encoder=encoder)
    assert (report.lost, report.altered, report.encoded) == ([], [], 0)
    with Index.open(golden, encoder=encoder) as index:
        check_answers(index)
        assert index.verify() == []


def test_a_codec_with_an_optional_block_codes_as_before(tmp_path: Path) -> None:
    whole = GOLDEN / "v1-4.codec"
    (tmp_path / "c").write_bytes(with_block(whole.read_bytes(), "statistics", MORE, flags=1))
    codec, more = Codec.load(whole), Codec.load(tmp_path / "c")
    vectors = codec.decode(codec.encode(query(), threads=1))
    assert np.array_equal(more.decode(more.encode(query(), threads=1)), vectors)


@pytest.mark.parametrize(
    ("name", "flags", "message"),
    [
        ("graph", 0, r"needs a newer polyvec: it has a block 'graph' that readers may not skip\. Upgrade polyvec\.$"),
        ("graph", 2, r"needs a newer polyvec: block 'graph' has flags 0x2\. Upgrade polyvec\.$"),
        ("graph", 3, r"needs a newer polyvec: block 'graph' has flags 0x3\. Upgrade polyvec\.$"),
    ],
)
def test_a_block_that_readers_must_know_is_refused(
    golden: Path, encoder: WordEncoder, name: str, flags: int, message: str
) -> None:
    file = sorted((golden / "segments").glob("*.seg"))[0]
    put_into_index(golden, file, with_block(file.read_bytes(), name, MORE, flags))
    calls = [lambda: Index.open(golden, encoder=encoder), lambda: repair_index(golden, encoder=encoder)]
    for call in calls:
        with pytest.raises(StorageError, match=message) as caught:
            call()
        assert not isinstance(caught.value, IndexCorruptError)
        assert "\n" not in str(caught.value)
    codec = (golden / "segments").glob("*.codec")
    path = next(codec)
    path.write_bytes(with_block(path.read_bytes(), name, MORE, flags))
    with pytest.raises(StorageError, match=message):
        Codec.load(path)


def test_two_blocks_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(with_block((GOLDEN / "v1.seg").read_bytes(), "vectors", MORE, flags=1))
    with pytest.raises(IndexCorruptError, match="the same name"):
        VectorsSegment(tmp_path / "a", DIM)


@pytest.mark.parametrize(
    ("begin", "error", "message"),
    [
        (b"POLYVEC\n\2\0\0\0", StorageError, "written by a development version of polyvec, .* Build the index again"),
        (
            MAGIC + (FORMAT_VERSION + 1).to_bytes(4, "little"),
            StorageError,
            "written by a newer polyvec .*Upgrade polyvec",
        ),
        (MAGIC + bytes(4), IndexCorruptError, "there is no format 0"),
        (b"SQLite format 3\0", IndexCorruptError, "not a polyvec file"),
    ],
)
def test_other_files_and_versions_are_refused(
    tmp_path: Path, begin: bytes, error: type[Exception], message: str
) -> None:
    whole = (GOLDEN / "v1.seg").read_bytes()
    (tmp_path / "a").write_bytes(sealed(begin + whole[len(begin) :]))
    with pytest.raises(error, match=message) as caught:
        VectorsSegment(tmp_path / "a", DIM)
    assert type(caught.value) is error


def test_a_file_of_another_kind_is_refused() -> None:
    with pytest.raises(IndexCorruptError, match="of kind 'codec', expected 'vectors'"):
        VectorsSegment(GOLDEN / "v1-4.codec", DIM)


def test_questions_are_answered_in_the_record() -> None:
    assert all(RECORDED["index"][f"{mode}: {text}"] for mode in ("late", "keyword", "filter") for text in QUESTIONS)
