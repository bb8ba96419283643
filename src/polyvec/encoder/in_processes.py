"""Documents encoded in several processes, whatever the encoder, for those who build an index."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from polyvec.encoder.batches import checked
from polyvec.encoder.encoded import Encoded
from polyvec.encoder.encoder import Encoder, processes_like
from polyvec.encoder.options import EncoderOptions
from polyvec.encoder.parallel import Processes
from polyvec.encoder.protocol import TokenEncoder
from polyvec.encoder.streaming import warned_of_cuts
from polyvec.errors import InputError


class EncodesDocuments(Protocol):
    """What building an index asks of an encoder."""

    def stream_documents(
        self, texts: Iterable[str], *, progress: Callable[[int], None] | None = None
    ) -> Iterator[Encoded]:
        """As `TokenEncoder` has it."""


@contextmanager
def encoding_in(encoder: TokenEncoder, processes: int) -> Iterator[EncodesDocuments]:
    """An encoder of documents that encodes them in so many processes, which end with the block; for one, the encoder itself.

    Args:
        encoder: A `polyvec.Encoder`, or any other that can be pickled.
        processes: How many.

    Yields:
        What encodes; vectors are those of the encoder, in the order of the texts.

    Raises:
        InputError: The encoder cannot be made again in another process.
    """
    if processes == 1:
        yield encoder
        return
    with _processes(encoder, processes) as several:
        yield _Documents(several, encoder)


class _Documents:
    def __init__(self, processes: Processes, encoder: TokenEncoder) -> None:
        self._processes, self._encoder = processes, encoder

    def stream_documents(
        self, texts: Iterable[str], *, progress: Callable[[int], None] | None = None
    ) -> Iterator[Encoded]:
        encodings = self._processes.encode(checked(texts, "document"), "document")
        if isinstance(self._encoder, Encoder):
            encodings = warned_of_cuts(encodings, self._encoder.document_length)
        for encoded in encodings:
            if progress is not None:
                progress(1)
            yield encoded


def _processes(encoder: TokenEncoder, count: int) -> Processes:
    if isinstance(encoder, Encoder):
        return processes_like(encoder, [None] * count)
    try:
        whole = pickle.dumps(encoder)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise InputError(
            f"processes={count}: the encoder {type(encoder).__name__} cannot be pickled for another process ({error}). Use one "
            "process, or a polyvec.Encoder."
        ) from error
    return Processes(
        _unpickled,
        {"encoder": whole},
        fingerprint=encoder.fingerprint,
        devices=[None] * count,
        batch_tokens=EncoderOptions().batch_tokens,
    )


def _unpickled(encoder: bytes, *, device: str | None, threads: int | None) -> Any:
    """The encoder as it was handed over; where and with how many threads it works is its own matter."""
    try:
        return pickle.loads(encoder)
    except (pickle.UnpicklingError, AttributeError, ImportError) as error:
        raise InputError(
            f"The encoder cannot be unpickled in another process ({error}). Define its class in a module, or use one process."
        ) from error
