"""A checkpoint's folder -> a sentence-transformers MultiVectorEncoder, every weight accounted for.

Recognizes who wrote the folder and reads what that writer's files say. A weight that is missing, left over or of
another shape is an error. Knows nothing about texts.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyvec.encoder.checkpoints.packed import unpacked_backbone
from polyvec.encoder.checkpoints.published import load_published, weight_names
from polyvec.encoder.locate import Located
from polyvec.encoder.model_folder.kind import kind_of
from polyvec.encoder.model_folder.packing import is_packed
from polyvec.encoder.torch.loaded import Loaded
from polyvec.encoder.torch.strict import assemble, build_encoder, build_transformer, one_line_errors, quiet
from polyvec.errors import InputError, ModelError

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

logger = logging.getLogger(__name__)

_HEADS_SEED = 0


def load(
    located: Located,
    *,
    device: str | None = None,
    dtype: str = "float32",
    heads: Sequence[int] | None = None,
) -> Loaded:
    """Load a checkpoint of any supported kind.

    Args:
        located: The folder and its name.
        device: To run on.
        dtype: Of the weights in memory.
        heads: Sizes of new, untrained heads for a plain encoder.

    Raises:
        InputError: New heads are asked for, and the model has a projection.
        ModelError: The folder is no checkpoint, or its weights do not fit.
    """
    with quiet(), one_line_errors(located.name):
        kind = kind_of(located.folder, weight_names)
        if heads is not None and kind != "plain":
            raise InputError(
                f"heads={tuple(heads)}: {located.name} has a projection already; new heads go on a plain encoder."
            )
        if kind in ("native", "pylate"):
            model = _load_native(located.folder, device=device, dtype=dtype)
            return Loaded(model, located, kind)
        if kind in ("stanford", "jina"):
            model, unusual = load_published(located, jina=kind == "jina", device=device, dtype=dtype)
            return Loaded(model, located, kind, unusual)
        return _load_plain(located, heads, device=device, dtype=dtype)


def check_text_model(model: MultiVectorEncoder, name: str) -> None:
    """Check that a model starts with a text backbone, and not with images, a router or a bag of words.

    Raises:
        ModelError: It does not.
    """
    from sentence_transformers.base.modules import Transformer

    if not isinstance(model[0], Transformer) or "text" not in model[0].modality_config or model[0].tokenizer is None:
        raise ModelError(f"{name} is not a text encoder: its first module is {type(model[0]).__name__}.")


def _load_native(folder: Path, *, device: str | None, dtype: str) -> MultiVectorEncoder:
    """A folder with modules.json; its backbone may be packed."""
    if not is_packed(folder):
        return build_encoder(folder, device=device, dtype=dtype)
    ready = unpacked_backbone(folder, dtype)
    return build_encoder(folder, device=device, dtype=dtype, ready=ready)


def _load_plain(located: Located, heads: Sequence[int] | None, *, device: str | None, dtype: str) -> Loaded:
    """An encoder without token projection: its hidden states are the vectors, or new heads are put on them."""
    import torch
    from sentence_transformers.base.modules import Normalize
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    from polyvec.encoder.torch.heads import MatryoshkaHeads

    transformer = build_transformer(located.folder, dtype=dtype)
    modules: list[Any] = [transformer]
    unusual = ["it has no projection: token vectors are its hidden states"]
    if heads is not None:
        with torch.random.fork_rng():
            torch.manual_seed(_HEADS_SEED)
            modules.append(MatryoshkaHeads(transformer.get_embedding_dimension(), heads))
        unusual = ["its heads are new and untrained: train it before use"]
    modules += [MultiVectorMask(), Normalize(module_input_name="token_embeddings")]
    return Loaded(assemble(modules, device=device), located, "plain", unusual)
