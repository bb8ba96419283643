"""A loaded model and the caller's options -> the layout of its texts.

Reads what the checkpoint says from its sentence-transformers modules, and lets the options win. Options are written
back into the modules, so that saving the model saves them too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from polyvec.encoder.layout import (
    TextSettings,
    bigram_specials,
    check_document_length,
    chosen_expansion,
    size_to_cut,
    text_layout,
)
from polyvec.encoder.options import EncoderOptions
from polyvec.encoder.skiplist import skiplist_pieces
from polyvec.encoder.tokens import Layout
from polyvec.encoder.torch.forward import position_offset
from polyvec.errors import InputError, ModelError

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

    from polyvec.encoder.torch.loaded import Loaded

_UNLIMITED = 1 << 20  # tokenizers write 10^30 where they know no limit


def apply_options(loaded: Loaded, options: EncoderOptions) -> None:
    """Write the caller's options into the model's modules.

    Raises:
        InputError: The model cannot follow one.
    """
    backbone, mask = loaded.model[0], mask_of(loaded.model)
    if options.dim is not None:
        choose_dim(loaded, options.dim, truncate=options.truncate)
    if options.skiplist is not None:
        mask.skiplist_words = skiplist_pieces(loaded.model.tokenizer, options.skiplist)
        mask.resolve_with_tokenizer(loaded.model.tokenizer)
    limit = max_length(loaded.model)
    check_document_length(options, limit, loaded.located.name)
    backbone.document_length = options.document_length or backbone.document_length
    expansion = chosen_expansion(backbone.query_expansion, options, limit, loaded.located.name)
    if expansion is not None:
        backbone.query_length = None
    backbone.query_expansion = expansion
    if options.bigrams is not None:
        set_bigrams(loaded.model, options.bigrams)
    if options.pool_factor > 1:
        from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling

        loaded.model.append(HierarchicalTokenPooling(options.pool_factor))


def device_for(wanted: str | None) -> str:
    """The device asked for, else a GPU where there is one.

    Raises:
        InputError: The device is not here.
    """
    import torch
    from sentence_transformers.util import get_device_name

    if wanted is None:
        return str(get_device_name())
    try:
        torch.empty(1, device=wanted)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device={wanted!r} is not available here ({str(error).splitlines()[0]}).") from error
    return wanted


def choose_dim(loaded: Loaded, dim: int, *, truncate: bool) -> None:
    """Use the head of this size; where there is none, cut the next larger one if told to."""
    from polyvec.encoder.torch.heads import MatryoshkaHeads

    model, name = loaded.model, loaded.located.name
    heads = next((module for module in model if isinstance(module, MatryoshkaHeads)), None)
    sizes = heads.sizes if heads is not None else [int(model.get_embedding_dimension())]
    if dim in sizes:
        if heads is not None:
            heads.active = dim
        return
    if loaded.kind in ("native", "pylate") and _swap_dense(loaded, dim):
        return
    size = size_to_cut(sizes, dim, truncate=truncate, name=name)
    if heads is not None:
        heads.active = size
    _cut(model, size, dim)


def _swap_dense(loaded: Loaded, dim: int) -> bool:
    """Replace the last Dense module by its sister of another size, where the folder has one (2_Dense_64 beside
    2_Dense)."""
    from sentence_transformers.base.modules.dense import Dense

    model = loaded.model
    last = max((i for i, module in enumerate(model) if isinstance(module, Dense)), default=None)
    sister = f"{last}_Dense_{dim}"
    if last is None or not (loaded.located.folder / sister).is_dir():
        return False
    defaults = {"module_input_name": "token_embeddings"}
    replacement = Dense.load(
        str(loaded.located.folder), subfolder=sister, local_files_only=True, init_defaults=defaults
    )
    if replacement.out_features != dim or replacement.in_features != model[last].in_features:
        raise ModelError(
            f"{loaded.located.folder / sister} is a projection from {replacement.in_features} to "
            f"{replacement.out_features}, expected {model[last].in_features} to {dim}."
        )
    model[last] = replacement.to(device=model.device, dtype=model.dtype)
    return True


def _cut(model: MultiVectorEncoder, size: int, dim: int) -> None:
    """Keep the first `dim` of `size` dimensions: a Dense module with rows of the identity, which every reader knows."""
    import torch
    from sentence_transformers.base.modules.dense import Dense

    cut = Dense(
        size,
        dim,
        bias=False,
        activation_function=torch.nn.Identity(),
        init_weight=torch.eye(dim, size),
        module_input_name="token_embeddings",
    )
    model.insert(_projection(model) + 1, cut.to(device=model.device, dtype=model.dtype))


def _projection(model: MultiVectorEncoder) -> int:
    """Place of the module that vectors have their size from: the last projection, or the backbone."""
    return max(i for i, module in enumerate(model) if callable(getattr(module, "get_embedding_dimension", None)))


def layout_of(model: MultiVectorEncoder, options: EncoderOptions) -> Layout:
    """How this model wants its texts."""
    backbone, mask = model[0], mask_of(model)
    said = TextSettings(
        tokenizer=model.tokenizer,
        prompts=model.prompts,
        default_prompt=model.default_prompt_name,
        max_length=max_length(model),
        document_length=backbone.document_length,
        query_expansion=backbone.query_expansion,
        skipped=frozenset() if mask._skiplist_ids is None else frozenset(int(i) for i in mask._skiplist_ids),
        skiplist_tasks=mask.skiplist_tasks,
    )
    return text_layout(said, options)


def mask_of(model: MultiVectorEncoder) -> Any:
    """The module that holds the skiplist."""
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    for module in model:
        if isinstance(module, MultiVectorMask):
            return module
    mask = MultiVectorMask()
    model.append(mask)
    return mask


def bigrams_of(model: MultiVectorEncoder) -> Any:
    """The module that adds hashed bigrams, None where there is none."""
    from polyvec.encoder.torch.bigrams import HashedBigrams

    return next((module for module in model if isinstance(module, HashedBigrams)), None)


def set_bigrams(model: MultiVectorEncoder, weight: float) -> None:
    """Add hashed bigrams behind the projection with this weight, or change it; 0 takes them out."""
    from polyvec.encoder.torch.bigrams import HashedBigrams

    old = next((place for place, module in enumerate(model) if isinstance(module, HashedBigrams)), None)
    if old is not None:
        del model[old]
    if weight:
        special = bigram_specials(model.tokenizer, model.prompts.values())
        model.insert(_projection(model) + 1, HashedBigrams(weight, special).to(model.device))


def poolings_of(model: MultiVectorEncoder) -> list[Any]:
    """The modules that merge a text's vectors, in order."""
    from sentence_transformers.multi_vector_encoder.modules import BaseTokenPooling

    return [module for module in model if isinstance(module, BaseTokenPooling)]


def max_length(model: MultiVectorEncoder) -> int:
    """Tokens the model takes: as many as it has positions; where it does not say, what its tokenizer says."""
    backbone = model[0]
    positions = getattr(backbone.config, "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        return positions - position_offset(backbone.model)
    return int(min(backbone.tokenizer.model_max_length, _UNLIMITED))
