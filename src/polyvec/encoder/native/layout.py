"""A folder's spec and the caller's options -> how texts are laid out and which projection is used.

Gathers from a spec what `polyvec.encoder.layout` decides on.
"""

from __future__ import annotations

import numpy as np

from polyvec.encoder.layout import (
    TextSettings,
    bigram_specials,
    check_document_length,
    chosen_expansion,
    size_to_cut,
    text_layout,
)
from polyvec.encoder.native.architecture import not_native
from polyvec.encoder.native.spec import Head, Spec, read_head
from polyvec.encoder.native.weights import Projection
from polyvec.encoder.options import EncoderOptions
from polyvec.encoder.pooling import TokenPooling
from polyvec.encoder.skiplist import skiplist_pieces
from polyvec.encoder.tokens import Layout
from polyvec.errors import InputError, ModelError


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
    limit = spec.architecture.max_length
    check_document_length(options, limit, name)
    spec.document_length = options.document_length or spec.document_length
    spec.query_expansion = chosen_expansion(spec.query_expansion, options, limit, name)
    if options.bigrams is not None:
        special = bigram_specials(spec.tokenizer, spec.prompts.values())
        given = {"weight": float(options.bigrams), "special_ids": special, "weight_at": {}}
        spec.bigrams = given if options.bigrams else None
    if options.pool_factor > 1:
        spec.poolings.append(TokenPooling(options.pool_factor))


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
    size = size_to_cut(sizes, dim, truncate=truncate, name=name)
    if heads is not None:
        heads.active = size
    spec.heads.append(Head("Dense", {dim: Projection(np.eye(dim, size, dtype=np.float32))}, dim))


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


def layout_of(spec: Spec, options: EncoderOptions) -> Layout:
    """How this model wants its texts."""
    said = TextSettings(
        tokenizer=spec.tokenizer,
        prompts=spec.prompts,
        default_prompt=spec.default_prompt,
        max_length=spec.architecture.max_length,
        document_length=spec.document_length,
        query_expansion=spec.query_expansion,
        skipped=frozenset(_skipped(spec)),
        skiplist_tasks=spec.skiplist_tasks,
    )
    return text_layout(said, options)


def _skipped(spec: Spec) -> list[int]:
    """Ids of the skiplist's words; those that the vocabulary does not have are left out, as they would drop unknown words."""
    tokenizer, found = spec.tokenizer, []
    for word in spec.skiplist:
        number = tokenizer.convert_tokens_to_ids(word)
        if number is not None and (number != tokenizer.unk_token_id or word == tokenizer.unk_token):
            found.append(number)
    return found
