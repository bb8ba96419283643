"""What a model says of its texts, and the caller's options on top -> how texts are laid out.

The decisions that every backend makes alike, on plain values. Each backend gathers these from its own objects.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polyvec.encoder.options import Augmentation, EncoderOptions
from polyvec.encoder.tokens import Layout
from polyvec.errors import InputError

logger = logging.getLogger(__name__)

_QUERY_LENGTH = 32  # where a model pads its queries and nothing says how far
_OF_DOCUMENTS = ("document", "passage", "corpus")  # names of prompts


@dataclass(frozen=True, slots=True)
class TextSettings:
    """What a model says of its texts.

    Attributes:
        tokenizer: Answers as transformers' tokenizers do.
        prompts: By role.
        default_prompt: Name of the prompt for other roles.
        max_length: Tokens that the model takes.
        document_length: Tokens that a document may have; None for what the tokenizer says.
        query_expansion: strategy, length, attend and token, as sentence-transformers has them; None for no padding.
        skipped: Ids of the skiplist.
        skiplist_tasks: "document", "query" or both.
    """

    tokenizer: Any
    prompts: Mapping[str, str | None]
    default_prompt: str | None
    max_length: int
    document_length: int | None
    query_expansion: Mapping[str, Any] | None
    skipped: frozenset[int]
    skiplist_tasks: Sequence[str]


def text_layout(said: TextSettings, options: EncoderOptions) -> Layout:
    """How a model wants its texts.

    Raises:
        InputError: Queries are padded, and the tokenizer has no token for that.
    """
    limit, expansion = said.max_length, said.query_expansion
    augmentation: Augmentation = expansion["strategy"] if expansion else "none"
    return Layout(
        query_prompt=_prompt(said, ("query",)),
        document_prompt=_prompt(said, _OF_DOCUMENTS),
        max_length=limit,
        document_length=min(said.document_length or said.tokenizer.model_max_length, limit),
        query_length=min(expansion["length"], limit) if expansion else 0,
        augmentation=augmentation,
        attend_to_mask=bool(expansion and expansion["attend"]),
        mask_id=_mask_id(said.tokenizer, expansion) if expansion else None,
        document_skip=said.skipped if "document" in said.skiplist_tasks else frozenset(),
        query_skip=said.skipped if "query" in said.skiplist_tasks else frozenset(),
        long_documents=options.long_documents,
        window_overlap=options.window_overlap,
        fold_capitals=says(said.tokenizer, "fold_capitals"),
        restore_marks=says(said.tokenizer, "restore_marks"),
        greek_question_mark=says(said.tokenizer, "greek_question_mark"),
    )


def says(tokenizer: Any, key: str) -> bool:
    """Whether a model's tokenizer_config.json says that texts are changed so before they become tokens."""
    return getattr(tokenizer, "init_kwargs", {}).get(key) is True


def _prompt(said: TextSettings, names: tuple[str, ...]) -> str:
    for name in (*names, said.default_prompt or ""):
        if name in said.prompts:
            return said.prompts[name] or ""
    return ""


def _mask_id(tokenizer: Any, expansion: Mapping[str, Any]) -> int:
    """The token queries are padded with: the one named, the mask token, or the end token of models without a mask."""
    if expansion.get("token") is not None:
        found = tokenizer.convert_tokens_to_ids(str(expansion["token"]))
    else:
        found = tokenizer.mask_token_id if tokenizer.mask_token_id is not None else tokenizer.eos_token_id
    if found is None:
        raise InputError(
            "This model's tokenizer has no mask token to pad queries with. Give query_augmentation='none'."
        )
    return int(found)


def check_document_length(options: EncoderOptions, limit: int, name: str) -> None:
    """Check document_length against what a model takes.

    Raises:
        InputError: It is more.
    """
    if options.document_length is not None and options.document_length > limit:
        raise InputError(f"document_length={options.document_length}: {name} takes at most {limit} tokens.")


def chosen_expansion(
    current: Mapping[str, Any] | None, options: EncoderOptions, limit: int, name: str
) -> dict[str, Any] | None:
    """How queries are padded.

    Args:
        current: What the model says, None where it does not pad.
        options: What the caller wants.
        limit: Tokens the model takes.
        name: Of the model, for messages.

    Returns:
        strategy, length, attend and token; None for no padding.

    Raises:
        InputError: The options say how to pad queries that are not padded, or to more than the model takes.
    """
    if options.query_length is not None and options.query_length > limit:
        raise InputError(f"query_length={options.query_length}: {name} takes at most {limit} tokens.")
    strategy = options.query_augmentation or (current["strategy"] if current else "none")
    if strategy == "none":
        if options.query_length is not None or options.attend_to_mask is not None:
            raise InputError(
                f"query_length and attend_to_mask say how queries are padded, but {name} does not pad them. "
                "Give query_augmentation='fixed' or 'min' as well."
            )
        return None
    old = current or {"length": _QUERY_LENGTH, "attend": False, "token": None}
    attend = old["attend"] if options.attend_to_mask is None else options.attend_to_mask
    length = options.query_length or old["length"]
    return {"strategy": strategy, "length": length, "attend": attend, "token": old.get("token")}


def size_to_cut(sizes: Sequence[int], dim: int, *, truncate: bool, name: str) -> int:
    """The size of vectors that are cut to `dim`: the next larger one that the model makes. Logs a warning.

    Raises:
        InputError: Every size is smaller, or cutting was not asked for.
    """
    have = f"{name} makes vectors of {' or '.join(map(str, sizes))} dimensions"
    larger = [size for size in sizes if size > dim]
    if not truncate or not larger:
        hint = f"choose one of these{', or cut them with truncate=True' if larger else ''}."
        raise InputError(f"dim={dim}: {have}; {hint}")
    logger.warning("dim=%d: %s, so their first %d are used and normalized again.", dim, have, dim)
    return min(larger)


def bigram_specials(tokenizer: Any, prompts: Iterable[str | None]) -> list[int]:
    """Ids that hashed bigrams leave alone: special tokens, and prompts that are one token, such as [unused0]."""
    spelled = [tokenizer.encode((prompt or "").strip(), add_special_tokens=False) for prompt in prompts]
    return sorted({*tokenizer.all_special_ids, *(ids[0] for ids in spelled if len(ids) == 1)})
