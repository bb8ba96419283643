"""A loaded model and the caller's options -> the layout of its texts.

Reads what the checkpoint says from its sentence-transformers modules, and lets the options win. Options are written
back into the modules, so that saving the model saves them too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from polyvec.encoder.options import Augmentation, EncoderOptions
from polyvec.encoder.skiplist import skiplist_pieces
from polyvec.encoder.tokens import Layout
from polyvec.errors import InputError

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

    from polyvec.encoder.loading import Loaded

_QUERY_LENGTH = 32  # where a model pads its queries and nothing says how far
_UNLIMITED = 1 << 20  # tokenizers write 10^30 where they know no limit


def apply_options(loaded: Loaded, options: EncoderOptions) -> None:
    """Write the caller's options into the model's modules."""
    backbone, mask = loaded.model[0], mask_of(loaded.model)
    rule = options.skiplist or ("unicode" if loaded.located.is_default else None)
    if rule is not None:
        mask.skiplist_words = skiplist_pieces(loaded.model.tokenizer, rule)
        mask.resolve_with_tokenizer(loaded.model.tokenizer)
    limit = max_length(loaded.model)
    if options.document_length is not None:
        if options.document_length > limit:
            raise InputError(
                f"document_length={options.document_length}: {loaded.located.name} takes at most {limit} tokens."
            )
        backbone.document_length = options.document_length
    _apply_augmentation(backbone, options, limit, loaded.located.name)


def _apply_augmentation(backbone: Any, options: EncoderOptions, limit: int, name: str) -> None:
    current = backbone.query_expansion
    if options.query_length is not None and options.query_length > limit:
        raise InputError(f"query_length={options.query_length}: {name} takes at most {limit} tokens.")
    strategy = options.query_augmentation or (current["strategy"] if current else "none")
    if strategy == "none":
        if options.query_length is not None or options.attend_to_mask is not None:
            raise InputError(
                f"query_length and attend_to_mask say how queries are padded, but {name} does not pad them. "
                "Give query_augmentation='fixed' or 'min' as well."
            )
        backbone.query_expansion = None
        return
    old = current or {"length": _QUERY_LENGTH, "attend": False, "token": None}
    attend = old["attend"] if options.attend_to_mask is None else options.attend_to_mask
    backbone.query_length = None
    backbone.query_expansion = {
        "strategy": strategy,
        "length": options.query_length or old["length"],
        "attend": attend,
        "token": old.get("token"),
    }


def layout_of(model: MultiVectorEncoder, options: EncoderOptions) -> Layout:
    """How this model wants its texts."""
    backbone, mask, limit = model[0], mask_of(model), max_length(model)
    expansion = backbone.query_expansion
    skipped = frozenset() if mask._skiplist_ids is None else frozenset(int(i) for i in mask._skiplist_ids)
    augmentation: Augmentation = expansion["strategy"] if expansion else "none"
    return Layout(
        query_prompt=_prompt(model, ("query",)),
        document_prompt=_prompt(model, ("document", "passage", "corpus")),
        max_length=limit,
        document_length=min(backbone.document_length or limit, limit),
        query_length=min(expansion["length"], limit) if expansion else 0,
        augmentation=augmentation,
        attend_to_mask=bool(expansion and expansion["attend"]),
        mask_id=_mask_id(model.tokenizer, expansion) if expansion else None,
        document_skip=skipped if "document" in mask.skiplist_tasks else frozenset(),
        query_skip=skipped if "query" in mask.skiplist_tasks else frozenset(),
        long_documents=options.long_documents,
        window_overlap=options.window_overlap,
    )


def mask_of(model: MultiVectorEncoder) -> Any:
    """The module that holds the skiplist."""
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    for module in model:
        if isinstance(module, MultiVectorMask):
            return module
    mask = MultiVectorMask()
    model.append(mask)
    return mask


def max_length(model: MultiVectorEncoder) -> int:
    """Tokens the model takes: the least of what its tokenizer and its positions allow."""
    backbone = model[0]
    limits = [backbone.tokenizer.model_max_length]
    positions = getattr(backbone.config, "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        from polyvec.encoder.forward import position_offset

        limits.append(positions - position_offset(backbone.model))
    return int(min(*limits, _UNLIMITED))


def _prompt(model: MultiVectorEncoder, names: tuple[str, ...]) -> str:
    for name in names:
        if name in model.prompts:
            return model.prompts[name] or ""
    return model.prompts.get(model.default_prompt_name or "", "") or ""


def _mask_id(tokenizer: Any, expansion: dict[str, Any]) -> int:
    """The token queries are padded with: the one named, the mask token, or the end token of models without a mask."""
    if expansion.get("token") is not None:
        return int(tokenizer.convert_tokens_to_ids(expansion["token"]))
    found = tokenizer.mask_token_id if tokenizer.mask_token_id is not None else tokenizer.eos_token_id
    if found is None:
        raise InputError(
            "This model's tokenizer has no mask token to pad queries with. Give query_augmentation='none'."
        )
    return int(found)
