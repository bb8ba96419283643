"""Blocks of documents -> codes, on whatever machine has room; before that, a sample for the codec.

One `BlockEncoder` is one model on one machine. Each task names what to do and where the result belongs; a result that is there
already is not made again. Knows nothing about Ray.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from polyvec.cluster.building.codec import load_codec
from polyvec.cluster.building.plan import Plan
from polyvec.cluster.building.work import Block, Piece, Work, packed, unpacked
from polyvec.collection.arrivals import encoded_documents
from polyvec.data import Document
from polyvec.encoder import Encoder, TokenEncoder
from polyvec.encoder.protocol import LocatesTokens
from polyvec.errors import ModelMismatchError
from polyvec.index.codec.codec import Codec, Codes
from polyvec.index.writing.arrivals import Arrival, in_batches

MakeEncoder = Callable[[int], TokenEncoder]  # takes how many threads it may use


class BlockEncoder:
    """Encodes blocks of one build. Nothing is loaded before the first of them.

    Args:
        url: What the build keeps.
        plan: Of the build, as `Plan.to_json` has it.
        make: Makes the model.
        threads: That it may use.
    """

    def __init__(self, url: str, plan: Mapping[str, Any], make: MakeEncoder, threads: int) -> None:
        self._url, self._plan = url, Plan.from_json(dict(plan))
        self._make, self._threads = make, threads
        self._work: Work | None = None
        self._encoder: TokenEncoder | None = None
        self._codec: Codec | None = None

    def run(self, task: Mapping[str, Any]) -> dict[str, Any]:
        """Do one task.

        Args:
            task: "do" is sample, count or encode; the rest belongs to it.

        Returns:
            What became of it, as plain JSON values.

        Raises:
            PolyvecError: It cannot be done.
        """
        if self._work is None:
            self._work = Work(self._url)
        if task["do"] == "sample":
            return self._sample(
                self._work, task["name"], [(Block(**block), places) for block, places in task["documents"]]
            )
        if task["do"] == "count":
            return self._count(self._work, Block(**task["block"]))
        return self._encode(self._work, Block(**task["block"]))

    def _sample(self, work: Work, name: str, documents: list[tuple[Block, list[int]]]) -> dict[str, Any]:
        """Vectors of some documents, as an index of fp16 holds them."""
        if (known := work.find(f"sample/{name}")) is not None:
            return {"tokens": unpacked(known)["doclens"].tolist()}
        chosen: list[Document] = []
        for block, places in documents:
            held = work.documents(block)
            chosen += [held[place] for place in places]
        arrivals = list(self._arrivals(iter(chosen)))
        doclens = np.array([len(arrival.vectors) for arrival in arrivals], np.int64)
        vectors = np.concatenate([arrival.vectors for arrival in arrivals]).astype(np.float16)
        work.put(f"sample/{name}", packed({"doclens": doclens, "vectors": vectors}))
        return {"tokens": doclens.tolist()}

    def _count(self, work: Work, block: Block) -> dict[str, Any]:
        """How many token vectors the documents of a block will have; None where only encoding shows it."""
        encoder, tokens = self._loaded(), 0
        if not isinstance(encoder, LocatesTokens):
            return {"tokens": None}
        for document in work.documents(block):
            kept = encoder.document_tokens(document.encoded_text)
            if kept is None:
                return {"tokens": None}
            tokens += len(kept.token_ids)
        return {"tokens": tokens}

    def _encode(self, work: Work, block: Block) -> dict[str, Any]:
        if (known := work.find(f"pieces/{block.name}")) is not None:
            return {"block": block.name, **_counts(Piece.from_bytes(known)), "known": True}
        piece = self._piece(work.documents(block), self._loaded_codec(work))
        work.put_piece(block, piece)
        return {"block": block.name, **_counts(piece), "known": False}

    def _piece(self, documents: list[Document], codec: Codec | None) -> Piece:
        doclens: list[int] = []
        truncated: list[bool] = []
        codes: list[Codes] = []
        kept: list[npt.NDArray[np.float16]] = []
        for batch in in_batches(self._arrivals(iter(documents))):
            doclens += [len(arrival.vectors) for arrival in batch]
            truncated += [arrival.truncated for arrival in batch]
            # An index holds fp16 until its codec is trained, so its codes are those of such vectors.
            vectors = np.concatenate([arrival.vectors for arrival in batch]).astype(np.float16)
            if codec is None:
                kept.append(vectors)
            else:
                codes.append(codec.encode(vectors.astype(np.float32), threads=self._threads))
        return Piece(
            np.array(doclens, np.int64),
            np.array(truncated, np.bool_),
            None if codec is None else _joined(codes),
            np.concatenate(kept) if codec is None else None,
        )

    def _arrivals(self, documents: Iterator[Document]) -> Iterator[Arrival]:
        return encoded_documents(self._loaded(), documents, progress=None, dim=self._plan.dim)

    def _loaded(self) -> TokenEncoder:
        if self._encoder is None:
            encoder, right = self._make(self._threads), self._plan.model
            if encoder.fingerprint != right.fingerprint:
                raise ModelMismatchError(
                    f"{socket.gethostname()} has another model {right.name} ({encoder.fingerprint}) than the machine that began "
                    f"the build ({right.fingerprint}), and their vectors do not compare. Bring the same model to every machine."
                )
            self._encoder = encoder
        return self._encoder

    def _loaded_codec(self, work: Work) -> Codec | None:
        if self._codec is None and self._plan.nbits < 16:
            self._codec = load_codec(work)[0]
        return self._codec


class DefaultEncoder:
    """Makes an `Encoder` with these arguments, on each machine that encodes."""

    def __init__(self, model: str | None = None, **options: Any) -> None:
        self._model, self._options = model, options

    def __call__(self, threads: int) -> TokenEncoder:
        return Encoder(self._model, **{"threads": threads, **self._options})


def _joined(parts: list[Codes]) -> Codes:
    return Codes(
        np.concatenate([part.centroids for part in parts]),
        np.concatenate([part.scales for part in parts]),
        np.concatenate([part.packed for part in parts]),
    )


def _counts(piece: Piece) -> dict[str, Any]:
    return {
        "documents": len(piece.doclens),
        "tokens": int(piece.doclens.sum()),
        "truncated": int(piece.truncated.sum()),
    }
