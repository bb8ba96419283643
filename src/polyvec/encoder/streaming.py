"""Texts in, token vectors out, as a stream: what every encoder does around its forward pass.

Reads ahead a bounded window of texts, sorts it by length, batches, and gives results back in the order they came. Knows neither
models nor torch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, overload

import numpy as np
import numpy.typing as npt

from polyvec.arguments import function, list_of
from polyvec.encoder.batches import checked, token_batches, windows
from polyvec.encoder.encoded import Encoded, TextTokens
from polyvec.encoder.options import EncoderOptions
from polyvec.encoder.tokens import Layout, Piece, TextTokenizer

logger = logging.getLogger(__name__)

Vectors = npt.NDArray[np.float32]
Progress = Callable[[int], None]


class ForwardPass(Protocol):
    """Batches of token ids -> unit vectors.

    Attributes:
        packed: Whether a batch holds no padding.
    """

    packed: bool

    def __call__(self, pieces: Sequence[Piece]) -> list[Vectors]:
        """Unit vectors of every token of every piece, in the order given."""


class StreamingEncoder:
    """An encoder but for its model: a subclass sets the attributes below before it is used."""

    options: EncoderOptions
    layout: Layout
    _tokens: TextTokenizer
    _forward: ForwardPass

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer, which answers by the names that transformers' tokenizers have."""
        return self._tokens.tokenizer

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

    @overload
    def encode_query(self, texts: str) -> Vectors: ...  # type: ignore[overload-overlap]  # a string is iterable too
    @overload
    def encode_query(self, texts: Iterable[str]) -> list[Vectors]: ...
    def encode_query(self, texts: str | Iterable[str]) -> Vectors | list[Vectors]:
        """Token vectors of queries.

        Args:
            texts: One query, or several.

        Returns:
            (t, dim) float32, unit rows, for one string; a list of such, in order, for several.

        Raises:
            InputError: A text is empty, not text, or not valid Unicode; the message has its position.
        """
        if isinstance(texts, str):
            return next(self.stream_queries([texts])).vectors
        return [encoded.vectors for encoded in self.stream_queries(texts)]

    @overload
    def encode_document(self, texts: str) -> Vectors: ...  # type: ignore[overload-overlap]
    @overload
    def encode_document(self, texts: Iterable[str]) -> list[Vectors]: ...
    def encode_document(self, texts: str | Iterable[str]) -> Vectors | list[Vectors]:
        """Token vectors of documents.

        Args:
            texts: One document, or several.

        Returns:
            (t, dim) float32, unit rows, for one string; a list of such, in order, for several.

        Raises:
            InputError: A text is empty, not text, or not valid Unicode; the message has its position.
        """
        if isinstance(texts, str):
            return next(self.stream_documents([texts])).vectors
        return [encoded.vectors for encoded in self.stream_documents(texts)]

    def stream_queries(self, texts: Iterable[str], *, progress: Progress | None = None) -> Iterator[Encoded]:
        """Encode a stream of queries in order; memory does not grow with the stream.

        Args:
            texts: The queries.
            progress: Called with the number of queries just encoded.

        Returns:
            One encoding a query, as they are made.

        Raises:
            InputError: A text is empty, not text, or not valid Unicode; the message has its position.
        """
        function("progress", progress)
        return self._queries(checked(list_of("texts", texts), "query"), progress)

    def _queries(self, texts: Iterator[str], progress: Progress | None) -> Iterator[Encoded]:
        for window in windows(texts, self.options.batch_tokens):
            yield from self._run([[piece] for piece in self._tokens.queries(window)], "query", progress)

    def stream_documents(self, texts: Iterable[str], *, progress: Progress | None = None) -> Iterator[Encoded]:
        """Encode a stream of documents in order; memory does not grow with the stream.

        A warning counts the documents that were cut.

        Args:
            texts: The documents.
            progress: Called with the number of documents just encoded.

        Returns:
            One encoding a document, as they are made.

        Raises:
            InputError: A text is empty, not text, or not valid Unicode; the message has its position.
        """
        function("progress", progress)
        return self._counted(self._documents(checked(list_of("texts", texts), "document"), progress))

    def document_tokens(self, text: str) -> TextTokens | None:
        """The tokens of a document that `stream_documents` makes vectors of, found by the tokenizer alone: no forward pass.

        Args:
            text: The document.

        Returns:
            The tokens; None where the model merges vectors, so that one stands for several tokens.

        Raises:
            InputError: The text is empty, not text, or not valid Unicode.
        """
        if self._pools("document"):
            return None
        (pieces,) = self._tokens.documents(list(checked(iter([text]), "document")))
        return _kept_tokens(pieces)

    def _counted(self, stream: Iterator[Encoded]) -> Iterator[Encoded]:
        return warned_of_cuts(stream, self.document_length)

    def _documents(self, texts: Iterator[str], progress: Progress | None) -> Iterator[Encoded]:
        for window in windows(texts, self.options.batch_tokens):
            yield from self._run(self._tokens.documents(window), "document", progress)

    def _run(self, texts: list[list[Piece]], task: str, progress: Progress | None) -> Iterator[Encoded]:
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
            yield self.pool(self._assemble(pieces, parts), task)  # type: ignore[arg-type]

    def _assemble(self, pieces: list[Piece], vectors: list[Vectors]) -> Encoded:
        tokens = _kept_tokens(pieces)
        rows = np.ascontiguousarray(vectors[0] if len(vectors) == 1 else np.concatenate(vectors))
        return Encoded(rows, tokens.token_ids, tokens.offsets, tokens.truncated)

    def _pools(self, task: str) -> bool:
        """Whether the model merges vectors of a text."""
        return False

    def pool(self, encoded: Encoded, task: str) -> Encoded:
        """Merge similar vectors of one text, where the model does that for this task.

        Args:
            encoded: The text's encoding.
            task: "query" or "document".

        Returns:
            The encoding with fewer vectors, or the same where nothing is merged.
        """
        return encoded


def warned_of_cuts(stream: Iterator[Encoded], document_length: int) -> Iterator[Encoded]:
    """The encodings of documents as they come; at the end a warning counts those that were cut.

    Args:
        stream: One encoding a document.
        document_length: Tokens of a document that are encoded.
    """
    cut = total = 0
    try:
        for encoded in stream:
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
                document_length,
            )


def _kept_tokens(pieces: Sequence[Piece]) -> TextTokens:
    ids = np.concatenate([piece.ids[piece.keep] for piece in pieces]).astype(np.int32)
    return TextTokens(ids, np.concatenate([piece.offsets[piece.keep] for piece in pieces]), pieces[-1].truncated)
