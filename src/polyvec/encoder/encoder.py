"""The encoder a user holds: texts in, token vectors out.

Runs a model on native kernels where they have what it needs, else on torch. Loads the model when made; safe to share between
threads.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from polyvec.arguments import function, list_of, local_path, shown
from polyvec.encoder.batches import checked
from polyvec.encoder.encoded import Encoded
from polyvec.encoder.installed import need_torch, torch_is_installed
from polyvec.encoder.locate import portable_name
from polyvec.encoder.options import (
    Augmentation,
    Backend,
    EncoderOptions,
    LongDocuments,
    Precision,
    Skiplist,
    device_name,
)
from polyvec.encoder.streaming import StreamingEncoder
from polyvec.errors import InputError

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

    from polyvec.encoder.native.encoder import NativeEncoder
    from polyvec.encoder.parallel import Processes
    from polyvec.encoder.torch.loaded import Loaded
    from polyvec.encoder.torch.model import TorchModel
    from polyvec.encoder.torch.precision import Choice

_GPU_NODES = ("/dev/nvidiactl", "/dev/kfd")  # of NVIDIA's and AMD's drivers
_SHARED = frozenset({"precision", "backend", "batch_tokens"})  # arithmetic that every process takes over


class Encoder(StreamingEncoder):
    """A late-interaction model: turns a text into one unit vector a token.

    The other arguments are the fields of EncoderOptions; None means what the checkpoint says.

    Args:
        model: None for the default model that works offline, a folder, a Hugging Face name, or a MultiVectorEncoder in memory.

    Raises:
        InputError: An option makes no sense.
        ModelError: The checkpoint cannot be loaded.
        MissingExtraError: The model needs torch, which is not installed.
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
        precision: Precision | None = None,
        backend: Backend = "auto",
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
        if isinstance(model, Encoder):
            raise InputError(
                f"model={shown(model)}: an Encoder already. Use it as it is, or give the folder of its model."
            )
        self._given, self._lock = model, threading.Lock()
        self._torch: TorchModel | None = None
        self.precision_choice: Choice | None = None  # what precision="auto" measured
        native = None if hasattr(model, "encode_document") else self._native_encoder(model)
        made: NativeEncoder | TorchModel = self._torch_model() if native is None else native
        self._made = made
        self.backend = "torch" if native is None else "native"
        self.layout, self.precision, self.dim = made.layout, made.precision, made.dim
        self._tokens, self._forward = made.tokens, made.forward
        self.name, self.fingerprint, self.description = made.name, made.fingerprint, made.description
        self._named = portable_name(made.located)
        if native is None:
            self.precision_choice = self._torch_model().precision_choice

    def _native_encoder(self, model: Any) -> NativeEncoder | None:
        """The model on native kernels; None where it is for torch, by the options or because the kernels do not have it."""
        options = self.options
        if options.backend == "torch" or (options.backend == "auto" and _for_torch(options)):
            return None
        from polyvec.encoder.native.architecture import NotNativeError
        from polyvec.encoder.native.encoder import NativeEncoder

        try:
            return NativeEncoder(model, options=options)
        except NotNativeError:
            if options.backend == "native" or not torch_is_installed():
                raise
            return None

    def _torch_model(self) -> TorchModel:
        """The same model in torch, loaded when it is first asked for."""
        with self._lock:
            if self._torch is None:
                need_torch("This")
                from polyvec.encoder.torch.model import load_torch

                self._torch = load_torch(self._given, self.options)
            return self._torch

    @property
    def model(self) -> MultiVectorEncoder:
        """The sentence-transformers model, with the options in it. What changes in it changes vectors where backend="torch"."""
        return self._torch_model().loaded.model

    @property
    def loaded(self) -> Loaded:
        """The sentence-transformers model, its folder and who wrote it."""
        return self._torch_model().loaded

    # -- what it is ----------------------------------------------------------------------------------------------------

    def settings(self) -> dict[str, Any]:
        """Keyword arguments with which `Encoder` makes the same vectors, as plain JSON values.

        Raises:
            InputError: The model is in memory only: save it first.
        """
        if hasattr(self._given, "encode_document"):
            raise InputError("A model in memory cannot be found again. Save it with Encoder.save and load that folder.")
        return {"model": self._named, **self.options.of_vectors()}

    # -- encoding ------------------------------------------------------------------------------------------------------

    def stream_documents(
        self,
        texts: Iterable[str],
        *,
        progress: Callable[[int], None] | None = None,
        devices: Sequence[str] | None = None,
    ) -> Iterator[Encoded]:
        """Encode a stream of documents in order; memory does not grow with the stream.

        A warning counts the documents that were cut.

        Args:
            texts: The documents.
            progress: Called with the number of documents just encoded.
            devices: To encode in one process for each of these, such as ("cuda:0", "cuda:1"); None for this process.

        Returns:
            One encoding a document, as they are made.

        Raises:
            InputError: A text is empty, not text, or not valid Unicode; or devices is empty.
        """
        if devices is None:
            return super().stream_documents(texts, progress=progress)
        function("progress", progress)
        stream = checked(list_of("texts", texts), "document")
        devices = [device_name("devices", device) for device in list_of("devices", devices)]
        if not devices:
            raise InputError("devices=[]: expected at least one, such as 'cuda:0', or None for this process alone.")
        return self._counted(self._in_processes(stream, devices, progress))

    def _in_processes(
        self, texts: Iterator[str], devices: Sequence[str], progress: Callable[[int], None] | None
    ) -> Iterator[Encoded]:
        with processes_like(self, devices) as several:
            for encoded in several.encode(texts, "document"):
                if progress is not None:
                    progress(1)
                yield encoded

    def _pools(self, task: str) -> bool:
        return any(pooling.applies_to(task) for pooling in self._made.poolings)

    def pool(self, encoded: Encoded, task: str) -> Encoded:
        """Merge similar vectors of one text, where the model does that for this task.

        Args:
            encoded: The text's encoding.
            task: "query" or "document".

        Returns:
            The encoding with fewer vectors, or the same where nothing is merged.
        """
        return self._made.pool(encoded, task)

    # -- keeping -------------------------------------------------------------------------------------------------------

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the model with its options as a sentence-transformers folder.

        Args:
            folder: Where: a path that is free.

        Raises:
            StorageError: Something is in the way, or the folder cannot be written.
            MissingExtraError: torch is not installed.
        """
        from polyvec.encoder.checkpoints.convert import save_native

        save_native(self.loaded, local_path("folder", folder))


def processes_like(encoder: Encoder, devices: Sequence[str | None]) -> Processes:
    """Processes that encode as an encoder does; end them with `close`.

    Args:
        encoder: The encoder.
        devices: One process for each; None for the encoder's own.

    Returns:
        The processes, of which none is started yet.

    Raises:
        InputError: The model is in memory only: save it first.
    """
    from polyvec.encoder.parallel import Processes

    options = encoder.options
    arithmetic = {name: value for name, value in options.given().items() if name in _SHARED}
    return Processes(
        Encoder,
        {**encoder.settings(), **arithmetic},
        fingerprint=encoder.fingerprint,
        devices=[options.device if device is None else device for device in devices],
        batch_tokens=options.batch_tokens,
    )


def _for_torch(options: EncoderOptions) -> bool:
    """Whether torch is what these options ask for: a GPU, half precision or new heads."""
    device = options.device
    gpu = (
        any(os.path.exists(node) for node in _GPU_NODES) and torch_is_installed() if device is None else device != "cpu"
    )
    return gpu or options.precision in ("bf16", "fp16") or options.heads is not None
