"""The encoder a user holds: texts in, token vectors out.

Joins a checkpoint, its tokenizer, batching and the forward pass. Loads the model when made; safe to share between
threads.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from polyvec.arguments import function, list_of, local_path, shown
from polyvec.encoder.batches import checked, token_batches, windows
from polyvec.encoder.checkpoint import Located, locate
from polyvec.encoder.encoded import Encoded
from polyvec.encoder.options import (
    Augmentation,
    Backend,
    EncoderOptions,
    LongDocuments,
    Precision,
    Skiplist,
    device_name,
)
from polyvec.errors import InputError

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

    from polyvec.encoder.forward import Forward
    from polyvec.encoder.precision import Choice
    from polyvec.encoder.tokens import Piece

logger = logging.getLogger(__name__)

Vectors = npt.NDArray[np.float32]
_ARITHMETIC = frozenset({"precision", "backend", "device", "threads", "batch_tokens"})  # leave vectors as they are
_SHARED = frozenset({"precision", "backend", "batch_tokens"})  # arithmetic that every process takes over


class Encoder:
    """A late-interaction model: turns a text into one unit vector a token.

    model: None for the default model that works offline, a folder, a Hugging Face name, or a MultiVectorEncoder in
    memory. The other arguments are the fields of EncoderOptions; None means what the checkpoint says. Raises
    InputError for a bad option, ModelError for a checkpoint that cannot be loaded.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | MultiVectorEncoder | None = None,
        *,
        dim: int | None = None,
        truncate: bool = False,
        heads: Sequence[int] | None = None,
        query_length: int | None = None,
        document_length: int | None = None,
        query_augmentation: Augmentation | None = None,
        attend_to_mask: bool | None = None,
        skiplist: Skiplist | None = None,
        long_documents: LongDocuments = "cut",
        window_overlap: int = 32,
        bigrams: float | None = None,
        pool_factor: float = 1.0,
        precision: Precision = "fp32",
        backend: Backend = "torch",
        device: str | None = None,
        threads: int | None = None,
        batch_tokens: int = 4096,
    ) -> None:
        self.options = EncoderOptions(
            dim=dim,
            truncate=truncate,
            heads=heads,
            query_length=query_length,
            document_length=document_length,
            query_augmentation=query_augmentation,
            attend_to_mask=attend_to_mask,
            skiplist=skiplist,
            long_documents=long_documents,
            window_overlap=window_overlap,
            bigrams=bigrams,
            pool_factor=pool_factor,
            precision=precision,
            backend=backend,
            device=device,
            threads=threads,
            batch_tokens=batch_tokens,
        )
        self._build(model)

    def _build(self, model: str | os.PathLike[str] | MultiVectorEncoder | None) -> None:
        from polyvec.encoder.fingerprint import fingerprint
        from polyvec.encoder.loaded import Loaded
        from polyvec.encoder.loading import check_text_model, load
        from polyvec.encoder.precision import weight_dtype
        from polyvec.encoder.settings import apply_options, device_for, layout_of, poolings_of
        from polyvec.encoder.tokens import TextTokenizer

        options = self.options
        if isinstance(model, Encoder):
            raise InputError(
                f"model={shown(model)}: an Encoder already. Use it as it is, or give the folder of its model."
            )
        if options.threads is not None:
            import torch

            torch.set_num_threads(min(options.threads, os.cpu_count() or 1))  # with very many, the process is aborted
        if hasattr(model, "encode_document"):
            loaded = Loaded(model, Located(Path(), "a model in memory"), "memory")
        else:
            located = locate(model, backend=options.backend)
            device = device_for(options.device)
            dtype = weight_dtype(options.precision, device)
            loaded = load(located, backend=options.backend, device=device, dtype=dtype, heads=options.heads)
        check_text_model(loaded.model, loaded.located.name)
        self.loaded = loaded
        self.model = loaded.model
        apply_options(loaded, options)
        self.layout = layout_of(self.model, options)
        self._tokens = TextTokenizer(self.model.tokenizer, self.layout)
        self._forward, self.precision, self.precision_choice = self._arithmetic()
        self._poolings = poolings_of(self.model)
        self.name: str = loaded.located.name
        folder = None if loaded.kind == "memory" else loaded.located.folder
        self.fingerprint: str = fingerprint(folder, self.model, self._vector_settings())
        self._named = None if loaded.located.is_default else _portable(loaded.located)

    def _arithmetic(self) -> tuple[Forward, str, Choice | None]:
        """The forward pass in the arithmetic asked for, its name, and what `auto` measured."""
        from polyvec.encoder.forward import Forward
        from polyvec.encoder.precision import choose, int8_linear

        forward, wanted = Forward(self.model), self.options.precision
        if wanted == "int8":
            return forward.with_linear(int8_linear(forward, self._tokens)), "int8", None
        if wanted == "auto" and self.model.dtype is not None and str(self.model.dtype) == "torch.float32":
            best, choice = choose(forward, self._tokens)
            return best, choice.precision, choice
        names = {"torch.float32": "fp32", "torch.bfloat16": "bf16", "torch.float16": "fp16"}
        return forward, names.get(str(self.model.dtype), "fp32"), None

    # -- what it is ----------------------------------------------------------------------------------------------------

    @property
    def dim(self) -> int:
        """Dimensions of a token vector."""
        return int(self.model.get_embedding_dimension())

    @property
    def packed(self) -> bool:
        """Whether batches hold no padding."""
        return self._forward.packed

    @property
    def document_length(self) -> int:
        """Tokens of a document that are encoded, markers and special tokens included."""
        return min(self.layout.document_length, self.layout.max_length)

    @property
    def query_length(self) -> int:
        """Tokens that short queries are padded to; the model's limit where they are not padded."""
        return self.layout.max_length if self.layout.augmentation == "none" else self.layout.query_length

    def settings(self) -> dict[str, Any]:
        """Keyword arguments, as plain JSON values, with which `Encoder(**settings)` makes the same vectors.

        Raises InputError for a model that is in memory only: save it first.
        """
        if self.loaded.kind == "memory":
            raise InputError("A model in memory cannot be found again. Save it with Encoder.save and load that folder.")
        given = {name: value for name, value in self.options.given().items() if name not in _ARITHMETIC}
        return {"model": self._named, **given}

    def _vector_settings(self) -> dict[str, Any]:
        from polyvec.encoder.settings import bigrams_of

        layout, bigrams = self.layout, bigrams_of(self.model)
        return {
            "dim": self.dim,
            "projection": [
                [type(module).__name__, module.get_embedding_dimension()]
                for module in list(self.model)[1:]
                if hasattr(module, "get_embedding_dimension")
            ],
            "prompt": layout.document_prompt,
            "document_length": self.document_length,
            "skiplist": sorted(layout.document_skip),
            "long_documents": [layout.long_documents, layout.window_overlap]
            if layout.long_documents != "cut"
            else "cut",
            "pooling": [pooling.get_config_dict() for pooling in self._poolings],
            **({} if bigrams is None else {"bigrams": bigrams.in_vectors(self.dim)}),
        }

    # -- encoding ------------------------------------------------------------------------------------------------------

    @overload
    def encode_query(self, texts: str) -> Vectors: ...  # type: ignore[overload-overlap]  # a string is iterable too
    @overload
    def encode_query(self, texts: Iterable[str]) -> list[Vectors]: ...
    def encode_query(self, texts: str | Iterable[str]) -> Vectors | list[Vectors]:
        """Token vectors of queries: (t, dim) float32, unit rows; one array for one string, a list for several.

        Raises InputError naming the position of a text that is empty, not text, or not valid Unicode.
        """
        if isinstance(texts, str):
            return next(self.encode_queries([texts])).vectors
        return [encoded.vectors for encoded in self.encode_queries(texts)]

    @overload
    def encode_document(self, texts: str) -> Vectors: ...  # type: ignore[overload-overlap]
    @overload
    def encode_document(self, texts: Iterable[str]) -> list[Vectors]: ...
    def encode_document(self, texts: str | Iterable[str]) -> Vectors | list[Vectors]:
        """Token vectors of documents: (t, dim) float32, unit rows; one array for one string, a list for several.

        Raises InputError as `encode_query` does.
        """
        if isinstance(texts, str):
            return next(self.encode_documents([texts])).vectors
        return [encoded.vectors for encoded in self.encode_documents(texts)]

    def encode_queries(
        self, texts: Iterable[str], *, progress: Callable[[int], None] | None = None
    ) -> Iterator[Encoded]:
        """Encode a stream of queries in order; memory does not grow with the stream."""
        function("progress", progress)
        return self._queries(checked(list_of("texts", texts), "query"), progress)

    def _queries(self, texts: Iterator[str], progress: Callable[[int], None] | None) -> Iterator[Encoded]:
        for window in windows(texts, self.options.batch_tokens):
            yield from self._run([[piece] for piece in self._tokens.queries(window)], "query", progress)

    def encode_documents(
        self,
        texts: Iterable[str],
        *,
        progress: Callable[[int], None] | None = None,
        devices: Sequence[str] | None = None,
    ) -> Iterator[Encoded]:
        """Encode a stream of documents in order; memory does not grow with the stream.

        progress: called with the number of documents just encoded · devices: to encode in one process for each of
        these, such as ("cuda:0", "cuda:1"). A warning counts the documents that were cut.
        """
        function("progress", progress)
        stream = checked(list_of("texts", texts), "document")
        if devices is not None:
            devices = [device_name("devices", device) for device in list_of("devices", devices)]
            if not devices:
                raise InputError("devices: none given. Name some, such as cuda:0, or leave the argument out.")
        return self._counted(stream, devices, progress)

    def _counted(
        self, stream: Iterator[str], devices: Sequence[str] | None, progress: Callable[[int], None] | None
    ) -> Iterator[Encoded]:
        cut = total = 0
        try:
            for encoded in (
                self._in_processes(stream, devices, progress) if devices else self._documents(stream, progress)
            ):
                total += 1
                cut += encoded.truncated
                yield encoded
        finally:
            if cut:
                logger.warning(
                    "%d of %d documents are longer than document_length=%d tokens; their ends were not encoded. Raise "
                    "document_length, or encode them whole with long_documents='window'.",
                    cut,
                    total,
                    self.document_length,
                )

    def _documents(self, texts: Iterator[str], progress: Callable[[int], None] | None) -> Iterator[Encoded]:
        for window in windows(texts, self.options.batch_tokens):
            yield from self._run(self._tokens.documents(window), "document", progress)

    def _in_processes(
        self, texts: Iterator[str], devices: Sequence[str], progress: Callable[[int], None] | None
    ) -> Iterator[Encoded]:
        from polyvec.encoder.parallel import encode_in_processes

        arithmetic = {name: value for name, value in self.options.given().items() if name in _SHARED}
        settings = {**self.settings(), **arithmetic}
        for encoded in encode_in_processes(Encoder, settings, texts, "document", devices):
            if progress is not None:
                progress(1)
            yield encoded

    def _run(self, texts: list[list[Piece]], task: str, progress: Callable[[int], None] | None) -> Iterator[Encoded]:
        """Forward passes over the pieces of some texts; yields in order as soon as a text's pieces are done."""
        flat = [piece for pieces in texts for piece in pieces]
        lengths = [len(piece) for piece in flat]
        vectors: list[Vectors | None] = [None] * len(flat)
        first_piece = np.cumsum([0] + [len(pieces) for pieces in texts]).tolist()
        left = [len(pieces) for pieces in texts]
        owner = [i for i, pieces in enumerate(texts) for _ in pieces]
        for batch in token_batches(lengths, self.options.batch_tokens, padded=not self._forward.packed):
            finished = 0
            for position, result in zip(batch, self._forward([flat[i] for i in batch]), strict=True):
                vectors[position] = result[flat[position].keep]
                left[owner[position]] -= 1
                finished += left[owner[position]] == 0
            if progress is not None and finished:
                progress(finished)
        for i, pieces in enumerate(texts):
            parts = vectors[first_piece[i] : first_piece[i + 1]]
            yield self._pool(self._assemble(pieces, parts), task)  # type: ignore[arg-type]

    def _assemble(self, pieces: list[Piece], vectors: list[Vectors]) -> Encoded:
        ids = np.concatenate([piece.ids[piece.keep] for piece in pieces]).astype(np.int32)
        rows = np.ascontiguousarray(vectors[0] if len(vectors) == 1 else np.concatenate(vectors))
        return Encoded(rows, ids, np.concatenate([piece.offsets[piece.keep] for piece in pieces]), pieces[-1].truncated)

    def _pool(self, encoded: Encoded, task: str) -> Encoded:
        """Merge similar vectors of one text, as sentence-transformers does it."""
        import torch

        poolings = [pooling for pooling in self._poolings if pooling.applies_to(task)]
        if not poolings:
            return encoded
        rows = torch.from_numpy(encoded.vectors)
        for pooling in poolings:
            (rows,) = pooling.pool([rows], task=task)
        vectors = torch.nn.functional.normalize(rows, dim=-1).numpy()
        return Encoded(vectors, np.full(len(vectors), -1, dtype=np.int32), None, encoded.truncated)

    # -- keeping -------------------------------------------------------------------------------------------------------

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the model with its options as a sentence-transformers folder.

        Raises StorageError where something is in the way, or the folder cannot be written.
        """
        from polyvec.encoder.convert import save_native

        save_native(self.loaded, local_path("folder", folder))


def _portable(located: Located) -> str:
    """A hub name as it was given; a folder by its full path, so that it is found from any working directory."""
    return str(located.folder) if Path(located.name).expanduser().is_dir() else located.name
