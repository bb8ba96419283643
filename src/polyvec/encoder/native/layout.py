"""A folder's spec and the caller's options -> how texts are laid out and which projection is used.

The same decisions as `polyvec.encoder.torch.settings` makes on sentence-transformers' objects.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from polyvec.encoder.native.architecture import not_native
from polyvec.encoder.native.spec import Head, Spec, read_head
from polyvec.encoder.native.weights import Projection
from polyvec.encoder.options import Augmentation, EncoderOptions
from polyvec.encoder.skiplist import skiplist_pieces
from polyvec.encoder.tokens import Layout
from polyvec.errors import InputError, ModelError

logger = logging.getLogger(__name__)

_QUERY_LENGTH = 32  # where a model pads its queries and nothing says how far


def apply_options(spec: Spec, options: EncoderOptions) -> None:
    """Write the caller's options into the spec.

    Raises:
        InputError: for one that the model cannot follow.
        NotNativeError: for one that needs torch.
    """
    name = spec.located.name
    if options.heads is not None:
        if spec.kind != "plain":
            raise InputError(
                f"heads={tuple(options.heads)}: {name} has a projection already; new heads go on a plain encoder."
            )
        raise not_native(name, "heads= (new, untrained heads)")
    if options.dim is not None:
        choose_dim(spec, options.dim, truncate=options.truncate)
    if options.skiplist is not None:
        spec.skiplist = skiplist_pieces(spec.tokenizer, options.skiplist)
    limit = max_length(spec)
    if options.document_length is not None:
        if options.document_length > limit:
            raise InputError(f"document_length={options.document_length}: {name} takes at most {limit} tokens.")
        spec.document_length = options.document_length
    _apply_augmentation(spec, options, limit)
    if options.bigrams is not None:
        special = sorted({*spec.tokenizer.all_special_ids, *_markers(spec)})
        given = {"weight": float(options.bigrams), "special_ids": special, "weight_at": {}}
        spec.bigrams = given if options.bigrams else None
    if options.pool_factor > 1:
        raise not_native(name, f"pool_factor={options.pool_factor}")


def choose_dim(spec: Spec, dim: int, *, truncate: bool) -> None:
    """Use the head of this size; where there is none, cut the next larger one if the caller asks for that."""
    name = spec.located.name
    heads = next((head for head in spec.heads if head.kind == "MatryoshkaHeads"), None)
    sizes = sorted(heads.sizes) if heads is not None else [spec.dim]
    if dim in sizes:
        if heads is not None:
            heads.active = dim
        return
    if spec.kind in ("native", "pylate") and _swap_dense(spec, dim):
        return
    have = f"{name} makes vectors of {' or '.join(map(str, sizes))} dimensions"
    larger = [size for size in sizes if size > dim]
    if not truncate or not larger:
        hint = f"choose one of these{', or cut them with truncate=True' if larger else ''}."
        raise InputError(f"dim={dim}: {have}; {hint}")
    if heads is not None:
        heads.active = min(larger)
    spec.heads.append(Head("Dense", {dim: Projection(np.eye(dim, min(larger), dtype=np.float32))}, dim))
    logger.warning("dim=%d: %s, so their first %d are used and normalized again.", dim, have, dim)


def _swap_dense(spec: Spec, dim: int) -> bool:
    """Replace the last projection by its sister of another size, where the folder has one (2_Dense_64 beside 2_Dense)."""
    places = [place for place, head in enumerate(spec.heads) if head.kind == "Dense"]
    if not places:
        return False
    folder = spec.located.folder / f"{places[-1] + 1}_Dense_{dim}"
    if not folder.is_dir():
        return False
    width = spec.heads[places[-1] - 1].active if places[-1] else spec.architecture.hidden
    found = read_head(folder, width, spec.located.name)
    if found.active != dim:
        raise ModelError(f"{folder} is a projection to {found.active}, expected {dim}.")
    spec.heads[places[-1]] = found
    return True


def _apply_augmentation(spec: Spec, options: EncoderOptions, limit: int) -> None:
    name, current = spec.located.name, spec.query_expansion
    if options.query_length is not None and options.query_length > limit:
        raise InputError(f"query_length={options.query_length}: {name} takes at most {limit} tokens.")
    strategy = options.query_augmentation or (current["strategy"] if current else "none")
    if strategy == "none":
        if options.query_length is not None or options.attend_to_mask is not None:
            raise InputError(
                f"query_length and attend_to_mask say how queries are padded, but {name} does not pad them. "
                "Give query_augmentation='fixed' or 'min' as well."
            )
        spec.query_expansion = None
        return
    old = current or {"length": _QUERY_LENGTH, "attend": False, "token": None}
    attend = old["attend"] if options.attend_to_mask is None else options.attend_to_mask
    length = options.query_length or old["length"]
    spec.query_expansion = {"strategy": strategy, "length": length, "attend": attend, "token": old.get("token")}


def layout_of(spec: Spec, options: EncoderOptions) -> Layout:
    """How this model wants its texts."""
    limit, expansion = max_length(spec), spec.query_expansion
    skipped = frozenset(_skipped(spec))
    augmentation: Augmentation = expansion["strategy"] if expansion else "none"
    return Layout(
        query_prompt=_prompt(spec, ("query",)),
        document_prompt=_prompt(spec, ("document", "passage", "corpus")),
        max_length=limit,
        document_length=min(spec.document_length or spec.tokenizer.model_max_length, limit),
        query_length=min(expansion["length"], limit) if expansion else 0,
        augmentation=augmentation,
        attend_to_mask=bool(expansion and expansion["attend"]),
        mask_id=_mask_id(spec, expansion) if expansion else None,
        document_skip=skipped if "document" in spec.skiplist_tasks else frozenset(),
        query_skip=skipped if "query" in spec.skiplist_tasks else frozenset(),
        long_documents=options.long_documents,
        window_overlap=options.window_overlap,
    )


def max_length(spec: Spec) -> int:
    """Tokens the model takes: as many as it has positions."""
    return spec.architecture.max_length


def _skipped(spec: Spec) -> list[int]:
    """Ids of the skiplist's words; those that the vocabulary does not have are left out, as they would drop unknown words."""
    tokenizer, found = spec.tokenizer, []
    for word in spec.skiplist:
        number = tokenizer.convert_tokens_to_ids(word)
        if number is not None and (number != tokenizer.unk_token_id or word == tokenizer.unk_token):
            found.append(number)
    return found


def _prompt(spec: Spec, names: tuple[str, ...]) -> str:
    for name in (*names, spec.default_prompt or ""):
        if name in spec.prompts:
            return spec.prompts[name]
    return ""


def _markers(spec: Spec) -> list[int]:
    """Ids of prompts that are a single token, such as [unused0]."""
    prompts = [spec.tokenizer.encode(prompt.strip(), add_special_tokens=False) for prompt in spec.prompts.values()]
    return [ids[0] for ids in prompts if len(ids) == 1]


def _mask_id(spec: Spec, expansion: dict[str, Any]) -> int:
    """The token queries are padded with: the one named, the mask token, or the end token of models without a mask."""
    tokenizer = spec.tokenizer
    if expansion.get("token") is not None:
        found = tokenizer.convert_tokens_to_ids(str(expansion["token"]))
    else:
        found = tokenizer.mask_token_id if tokenizer.mask_token_id is not None else tokenizer.eos_token_id
    if found is None:
        raise InputError(
            "This model's tokenizer has no mask token to pad queries with. Give query_augmentation='none'."
        )
    return found
