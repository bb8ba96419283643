"""Whatever is flipped, cut or blanked in any file of a small index: repaired, it is sound, and no healthy document is lost."""

from __future__ import annotations

import random
import shutil
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polyvec import Index
from polyvec.collection.repair import repair_index
from polyvec.errors import IndexCorruptError, PolyvecError
from polyvec.index import coded_segment
from polyvec.index.format import PAGE
from tests.conftest import WordEncoder
from tests.index.files import blocks_of

DOCUMENTS, DIM = 90, 16
CHANCES = 14  # of each kind of damage, for each kind of index


def _vectors(number: int) -> np.ndarray:
    rows = np.random.default_rng(number).standard_normal((2 + number % 5, DIM)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _text(number: int) -> str:
    return " ".join(f"w{number * 7 + i}" for i in range(2 + number % 5))


@pytest.fixture(scope="module", params=[(16, False), (8, False), (4, False), (16, True), (4, True)], ids=str)
def sound(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bool]:
    """An index of two segments with deleted documents in both, and postings where it is in codes."""
    nbits, texts = request.param
    path = tmp_path_factory.mktemp("sound") / "i"
    before, coded_segment.POSTINGS_FROM = coded_segment.POSTINGS_FROM, 16
    try:
        with Index.create(
            path, encoder=WordEncoder(DIM) if texts else None, dim=None if texts else DIM, nbits=nbits
        ) as index:
            for part in (range(70), range(70, DOCUMENTS)):
                if texts:
                    index.add([{"id": f"d{i}", "text": _text(i)} for i in part])
                else:
                    index.add_vectors([f"d{i}" for i in part], [_vectors(i) for i in part])
                if part.start == 0:
                    index.compact()
            index.delete(["d5", "d40", "d41", "d60", "d72"])
            assert index.verify() == []
    finally:
        coded_segment.POSTINGS_FROM = before
    return path, texts


def stored(path: Path) -> dict[str, np.ndarray]:
    """The vectors of each document, as search sees them."""
    with Index.open(path) as index, index._current() as view:
        return {d.id: view.snapshot.vectors(d.row) for d in view.catalog.all_documents()}


def harm(path: Path, kind: str, chance: random.Random) -> tuple[int, int]:
    """Damage a file; which bytes of it."""
    data = bytearray(path.read_bytes())
    place = chance.choice(
        [chance.randrange(len(data)), chance.randrange(PAGE), chance.randrange(min(PAGE, len(data) - 1), len(data))]
    )
    begin, end = place, place + 1
    if kind == "flip":
        data[place] ^= 1 << chance.randrange(8)
    elif kind == "byte":
        data[place] ^= chance.randrange(1, 256)
    elif kind == "blank":
        begin = place // 512 * 512
        end = min(begin + 512, len(data))
        data[begin:end] = bytes(end - begin)
    elif kind == "noise":
        end = min(begin + chance.randrange(2, 700), len(data))
        data[begin:end] = chance.randbytes(end - begin)
    elif kind == "longer":
        begin = end = len(data)
        data += chance.randbytes(300)
    elif kind == "cut":
        end = len(data)
        del data[place:]
    path.unlink()
    if kind != "gone":
        path.write_bytes(data)
    return (0, 1 << 60) if kind == "gone" else (begin, end)


def differs(path: Path, content: bytes) -> bool:
    """Whether anything but the room between blocks has changed."""
    old = path.read_bytes()
    if len(old) != len(content) or old[:PAGE] != content[:PAGE]:
        return True
    blocks = blocks_of(path).values()
    return any(old[b.offset : b.offset + b.size] != content[b.offset : b.offset + b.size] for b in blocks)


def touched(path: Path, whole: Path, name: str, where: tuple[int, int]) -> set[str]:
    """Documents whose own vectors or codes are in these bytes, or all in its codes for damage to a codec."""
    with Index.open(whole) as index, index._current() as view:
        ids = {d.row: d.id for d in view.catalog.all_documents()}
        hurt: set[str] = set()
        for live in view.snapshot.segments:
            if name.endswith(".codec"):
                if live.record.coded:
                    hurt |= {ids[row] for row in live.rows.tolist() if row in ids}
                continue
            if live.record.file != name:
                continue
            blocks = blocks_of(whole / "segments" / name)
            ends = np.cumsum(live.segment.doclens)
            for block in ("vectors", "residuals", "codes", "scales"):
                if block not in blocks:
                    continue
                width = blocks[block].size // len(blocks[block].array)
                for row, begin, end in zip(live.rows.tolist(), ends - live.segment.doclens, ends, strict=True):
                    first, last = blocks[block].offset + begin * width, blocks[block].offset + end * width
                    if row in ids and first < where[1] and where[0] < last:
                        hurt.add(ids[row])
    return hurt


@pytest.mark.parametrize("kind", ["flip", "byte", "blank", "noise", "longer", "cut", "gone"])
def test_no_healthy_document_is_lost(sound: tuple[Path, bool], kind: str, tmp_path: Path) -> None:
    whole, texts = sound
    before = stored(whole)
    encoder: Any = WordEncoder(DIM) if texts else None
    names = sorted(file.name for file in (whole / "segments").iterdir())
    for number in range(len(names) if kind == "gone" else CHANCES):
        chance = random.Random(zlib.crc32(f"{kind} {number}".encode()))
        path = tmp_path / f"{number}"
        shutil.copytree(whole, path)
        name = names[number % len(names)]
        where = harm(path / "segments" / name, kind, chance)
        content = None if kind == "gone" else (path / "segments" / name).read_bytes()
        changed = content is None or differs(whole / "segments" / name, content)
        case = f"{kind} of {name}, bytes {where}, try {number}"

        files = {file.name: file.read_bytes() for file in (path / "segments").iterdir()}
        said = repair_index(path, encoder=encoder, dry_run=True)
        assert files == {file.name: file.read_bytes() for file in (path / "segments").iterdir()}, case
        done = repair_index(path, encoder=encoder)
        assert (said.lost, said.altered, said.encoded) == (done.lost, done.altered, done.encoded), case

        with Index.open(path, encoder=encoder) as index:
            assert index.verify() == [], case
        after = stored(path)
        hurt = touched(path, whole, name, where)
        assert set(before) - set(after) == set(done.lost), case
        assert set(done.lost) <= hurt, case
        assert not texts or not done.lost, case
        for id_, vectors in after.items():
            if id_ not in hurt:
                assert np.allclose(vectors, before[id_], atol=0.25 if texts else 2e-3), f"{case}: {id_}"
            elif id_ not in done.altered and not texts:
                assert np.allclose(vectors, before[id_], atol=2e-3), f"{case}: {id_} was altered in silence"
        if kind == "flip":
            assert (done.lost, done.altered, done.encoded) == ([], [], 0), case
        if changed and content is not None:
            aside = [file.read_bytes() for file in (path / "damaged").iterdir()]
            assert content in aside, case
        assert bool(done.actions) == changed, case
        assert repair_index(path, encoder=encoder).actions == [], case
        shutil.rmtree(path)


@pytest.mark.parametrize("kind", ["blank", "noise", "cut"])
def test_a_damaged_catalog_is_not_made_worse(sound: tuple[Path, bool], kind: str, tmp_path: Path) -> None:
    whole, _ = sound
    for number in range(6):
        path = tmp_path / f"{number}"
        shutil.copytree(whole, path)
        harm(path / "catalog.sqlite", kind, random.Random(number))
        harmed = (path / "catalog.sqlite").read_bytes()
        try:
            repair_index(path)
        except IndexCorruptError as error:
            assert "restore" in str(error) or "damaged" in str(error)  # noqa: PT017
            assert (path / "catalog.sqlite").read_bytes() == harmed
        except PolyvecError:
            assert (path / "catalog.sqlite").read_bytes() == harmed
