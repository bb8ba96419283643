"""What a build keeps between its steps: checked objects below one address, which every machine reads and writes.

    plan.json                   what is built of what; the first object, created once
    inputs/00000.json .npz      how many documents a file has, and which shard each of them belongs to
    documents/00000-003-000007  a block: some documents of one file that belong to one shard
    sample/00000                vectors of documents that the codec is trained on
    codec.json, codec           the codec
    pieces/00000-003-000007     a block, encoded: codes, or fp16 vectors
    shards/003.json             what became of a shard

Each object follows from the plan alone, so that writing it twice is the same as once: a task that is run again on another machine
changes nothing. Knows nothing about Ray.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from polyvec.data import Document
from polyvec.data.files import zstandard
from polyvec.errors import IndexCorruptError, StorageError
from polyvec.index.codec.codec import Codes
from polyvec.publish.store import ObjectMissingError, Store

_DIGEST = 16  # bytes, before every object
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Block:
    """Some documents of one file that belong to one shard, in order.

    Attributes:
        file: Number of the file.
        shard: Number of the shard.
        number: Of the block among those of this file and shard.
        documents: How many.
    """

    file: int
    shard: int
    number: int
    documents: int

    @property
    def name(self) -> str:
        """Of its objects."""
        return f"{self.file:05d}-{self.shard:03d}-{self.number:06d}"


@dataclass(frozen=True, eq=False)
class Piece:
    """A block, encoded; a `StoredDocuments`.

    Attributes:
        doclens: (n,) int64, token vectors of each document.
        truncated: (n,) bool, whether the model left out the end of a document.
        codes_of_all: Of all token vectors; None where they are kept as they are.
        vectors: (T, dim) float16; None where there are codes.
    """

    doclens: Int64
    truncated: npt.NDArray[np.bool_]
    codes_of_all: Codes | None
    vectors: npt.NDArray[np.float16] | None

    def decode(self, position: int) -> npt.NDArray[np.float32]:
        """(t, dim) float32: one document's token vectors, where they are kept."""
        assert self.vectors is not None
        end = int(self.doclens[: position + 1].sum())
        return self.vectors[end - int(self.doclens[position]) : end].astype(np.float32)

    def codes(self, positions: Int64, codec_checksum: str) -> Codes | None:
        """All codes, where there are any: positions are those of all documents."""
        return self.codes_of_all

    def to_bytes(self) -> bytes:
        """As it is stored."""
        arrays: dict[str, Any] = {"doclens": self.doclens, "truncated": self.truncated}
        if self.codes_of_all is not None:
            codes = self.codes_of_all
            arrays.update(centroids=codes.centroids, scales=codes.scales, packed=codes.packed)
        else:
            arrays["vectors"] = self.vectors
        return packed(arrays)

    @classmethod
    def from_bytes(cls, content: bytes) -> Piece:
        """Read one."""
        arrays = unpacked(content)
        codes = None
        if "packed" in arrays:
            codes = Codes(arrays["centroids"], arrays["scales"], arrays["packed"])
        return cls(arrays["doclens"], arrays["truncated"], codes, arrays.get("vectors"))


class Work:
    """The objects of one build. Safe to share between threads.

    Args:
        url: Their address, or a folder.
        make: Whether a folder is made where it is missing.

    Raises:
        StorageError: This machine does not see the folder, or the store cannot be reached.
    """

    def __init__(self, url: str, *, make: bool = False) -> None:
        if not make and "://" not in url and not Path(url).is_dir():
            import socket

            raise StorageError(
                f"{socket.gethostname()} does not see the folder {url}. With several machines, TARGET has to be an address in an "
                "object store, or a folder that all of them share."
            )
        self.store = Store(url, make=make)
        self.url = self.store.url

    def put(self, name: str, content: bytes) -> None:
        """Write an object; one of that name is replaced by the same."""
        checked = hashlib.blake2b(content, digest_size=_DIGEST).digest() + content
        self.store.write(name, io.BytesIO(checked), len(checked))

    def get(self, name: str) -> bytes:
        """Read an object.

        Raises:
            ObjectMissingError: There is none.
            IndexCorruptError: It is damaged.
        """
        stored = self.store.read(name)
        content = stored[_DIGEST:]
        if hashlib.blake2b(content, digest_size=_DIGEST).digest() != stored[:_DIGEST]:
            raise IndexCorruptError(f"{self.url}/{name} is damaged. Delete it, and run the same command again.")
        return content

    def find(self, name: str) -> bytes | None:
        """`get`, None where there is no such object."""
        try:
            return self.get(name)
        except ObjectMissingError:
            return None

    def put_json(self, name: str, value: Any) -> None:
        """Write a JSON object."""
        self.put(name, json.dumps(value, ensure_ascii=False).encode())

    def find_json(self, name: str) -> Any:
        """Read one; None where there is none."""
        content = self.find(name)
        return None if content is None else json.loads(content)

    def put_documents(self, block: Block, documents: Iterable[Document]) -> None:
        """Write a block."""
        rows = (json.dumps([one.id, one.text, one.metadata], ensure_ascii=False) for one in documents)
        self.put(f"documents/{block.name}", zstandard().compress("\n".join(rows).encode()))

    def documents(self, block: Block) -> list[Document]:
        """Read a block."""
        text = zstandard().decompress(self.get(f"documents/{block.name}")).decode()
        documents = [Document(*json.loads(row)) for row in text.split("\n")]
        if len(documents) != block.documents:
            raise IndexCorruptError(
                f"{self.url}/documents/{block.name} holds {len(documents)} documents, not "
                f"{block.documents}. Delete the folder, and build anew."
            )
        return documents

    def put_piece(self, block: Block, piece: Piece) -> None:
        """Write an encoded block."""
        self.put(f"pieces/{block.name}", piece.to_bytes())

    def piece(self, block: Block) -> Piece:
        """Read an encoded block."""
        piece = Piece.from_bytes(self.get(f"pieces/{block.name}"))
        if len(piece.doclens) != block.documents:
            raise IndexCorruptError(
                f"{self.url}/pieces/{block.name} holds {len(piece.doclens)} documents, not {block.documents}. Delete it, and run "
                "the same command again."
            )
        return piece

    def names(self, prefix: str) -> set[str]:
        """Names of the objects below a prefix, without it. prefix: ends with its slash."""
        return {one.name.removeprefix(prefix) for one in self.store.listed(prefix)}

    def clear(self) -> None:
        """Delete everything, the plan last."""
        names = [one.name for one in self.store.listed("")]
        for name in sorted(names, key=lambda name: name == "plan.json"):
            self.store.delete(name)


def packed(arrays: dict[str, Any]) -> bytes:
    """Arrays as one object."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def unpacked(content: bytes) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an object."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}
