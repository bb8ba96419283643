"""Objects of a build: what is read is what was written, or an error that names the object."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from polyvec.cluster.building.work import Block, Piece, Work
from polyvec.data import Document
from polyvec.errors import IndexCorruptError, StorageError
from polyvec.index.codec.codec import Codes
from polyvec.publish.store import ObjectMissingError


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(str(tmp_path / "work"), make=True)


def test_documents_travel_unchanged(work: Work) -> None:
    documents = [
        Document(
            "a\u2028b", "line\nline\u2028\u0085 é 😀", {"n": 1.5, "big": 10**300, "list": [None, True, {"x": ""}]}
        ),
        Document("b", "\\n", {}),
    ]
    block = Block(1, 2, 3, 2)
    work.put_documents(block, documents)
    assert work.documents(block) == documents
    with pytest.raises(IndexCorruptError, match="holds 2 documents, not 3"):
        work.documents(Block(1, 2, 3, 3))


def test_pieces_travel_unchanged(work: Work) -> None:
    doclens, cut = np.array([2, 1], np.int64), np.array([True, False])
    codes = Codes(
        np.array([1, 2, 3], np.uint32), np.array([4, 5, 6], np.uint8), np.arange(6, dtype=np.uint8).reshape(3, 2)
    )
    block = Block(0, 0, 0, 2)
    work.put_piece(block, Piece(doclens, cut, codes, None))
    found = work.piece(block)
    assert found.codes_of_all is not None
    assert (found.codes_of_all.packed == codes.packed).all()
    assert found.truncated.tolist() == [True, False]
    work.put_piece(block, Piece(doclens, cut, None, np.ones((3, 4), np.float16)))
    found = work.piece(block)
    assert found.codes(np.arange(2), "x") is None
    assert [found.decode(position).shape for position in range(2)] == [(2, 4), (1, 4)]
    with pytest.raises(IndexCorruptError, match="holds 2 documents, not 9"):
        work.piece(Block(0, 0, 0, 9))


def test_a_changed_byte_is_noticed(work: Work, tmp_path: Path) -> None:
    work.put("inputs/x", b"something")
    path = tmp_path / "work" / "inputs" / "x"
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        with pytest.raises(IndexCorruptError, match=r"inputs/x is damaged"):
            work.get("inputs/x")
    path.write_bytes(content[:5])
    with pytest.raises(IndexCorruptError):
        work.get("inputs/x")


def test_what_is_not_there(work: Work, tmp_path: Path) -> None:
    assert work.find("x") is None
    assert work.find_json("x") is None
    with pytest.raises(ObjectMissingError):
        work.get("x")
    with pytest.raises(StorageError, match="does not see the folder"):
        Work(str(tmp_path / "nowhere"))


def test_clearing_leaves_nothing(work: Work) -> None:
    for name in ("plan.json", "inputs/1", "pieces/2"):
        work.put(name, b"")
    assert work.names("pieces/") == {"2"}
    work.clear()
    assert work.store.listed("") == []
