"""A loaded encoder -> what it read from where, what is unusual, and whether it does what it says.

Silent misloading is the field's most common failure: a dropped projection, a marker split in pieces, mask tokens
handled the other way round. Each check computes something the model's settings promise.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from polyvec.encoder.checks import Check, apart
from polyvec.encoder.installed import torch_is_installed
from polyvec.encoder.model_folder.license import license
from polyvec.encoder.samples import DOCUMENTS, QUERIES

if TYPE_CHECKING:
    from polyvec.encoder.encoder import Encoder

_TEXTS = list(DOCUMENTS)
_QUERY = QUERIES[0]
# Arithmetic decides how far two ways to the same vector may be apart.
_TOLERANCE = {"fp32": 1e-4, "bf16": 5e-2, "fp16": 1e-2, "int8": 1.5e-1}
_LEFT_OUT = (
    "Not checked without torch: the projection, and whether stock sentence-transformers gives the same vectors. "
    "pip install 'polyvec[torch]'"
)
_OF_NATIVE = 1e-5  # on native kernels a text's vectors depend on nothing but the text
_WHERE = {
    "native": ("config_sentence_transformers.json", "sentence_bert_config.json", "the MultiVectorMask folder"),
    "pylate": ("config_sentence_transformers.json",) * 3,
    "stanford": ("artifact.metadata",) * 3,
    "jina": ("artifact.metadata",) * 3,
    "plain": ("nowhere: none are set", "the tokenizer's limit", "nowhere: none is set"),
    "memory": ("the model in memory",) * 3,
}


@dataclass(frozen=True, slots=True)
class Fact:
    """One setting, its value, and the file it was read from."""

    what: str
    value: str
    source: str


@dataclass(frozen=True, slots=True)
class Report:
    """What `polyvec doctor` shows.

    Attributes:
        facts: What the model says of itself.
        unusual: What a user should know, a sentence each.
        checks: What was tried.
        left_out: What could not be tried, and why; None where nothing was left out.
    """

    facts: list[Fact]
    unusual: list[str]
    checks: list[Check]
    left_out: str | None = None

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return all(check.ok for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return {**asdict(self), "ok": self.ok}


def examine(encoder: Encoder) -> Report:
    """Look at a loaded encoder and try it out. Takes a few forward passes.

    The projection, and stock sentence-transformers, are compared only where torch is installed.
    """
    log = logging.getLogger("polyvec.encoder")
    level = log.level
    log.setLevel(logging.ERROR)  # the texts tried here may be longer than the model's limit
    try:
        checks = _checks(encoder)
        if not torch_is_installed():
            return Report(_facts(encoder), _unusual(encoder), checks, _LEFT_OUT)
        return Report(_facts(encoder), _unusual(encoder), [*checks, *_checks_with_torch(encoder)])
    finally:
        log.setLevel(level)


def _facts(encoder: Encoder) -> list[Fact]:
    model, layout = encoder.description, encoder.layout
    markers, lengths, skips = _WHERE[model.kind]
    given = encoder.options.given()
    said = {"document_length": lengths, "query_augmentation": lengths, "skiplist": skips}
    source = {key: "the caller" if key in given else value for key, value in said.items()}
    shape = f"{model.layers} layers x {model.hidden}, {model.parameters / 1e6:.1f} M parameters"
    bases = ", ".join(f"{base:g}" for base in model.rotary_bases)
    return [
        Fact("checkpoint", f"{encoder.name} ({model.kind})", str(model.folder)),
        Fact("backbone", f"{model.architecture}, {shape}", "config.json"),
        Fact("positions", f"rotary, base {bases}" if bases else "a table of absolute positions", "config.json"),
        Fact("vocabulary", f"{model.vocabulary:,} tokens", "tokenizer.json"),
        Fact(
            "projection",
            "; ".join(model.projection) or f"none: hidden states of {encoder.dim} dimensions",
            "the weights",
        ),
        Fact("query marker", repr(layout.query_prompt) if layout.query_prompt else "none", markers),
        Fact("document marker", repr(layout.document_prompt) if layout.document_prompt else "none", markers),
        Fact("query augmentation", _augmentation(encoder), source["query_augmentation"]),
        Fact("document length", f"{encoder.document_length} of {layout.max_length} tokens", source["document_length"]),
        Fact(
            "long documents", layout.long_documents, "the caller" if "long_documents" in given else "polyvec's default"
        ),
        Fact("skiplist", f"{len(layout.document_skip)} tokens", source["skiplist"]),
        Fact(
            "arithmetic",
            f"{encoder.backend}, {encoder.precision}, {'packed' if encoder.packed else 'padded'} batches",
            "this machine",
        ),
        Fact("license", license(model.folder) or "not said", "README.md"),
        Fact("fingerprint", encoder.fingerprint, "weights, configuration and settings"),
    ]


def _augmentation(encoder: Encoder) -> str:
    layout = encoder.layout
    if layout.augmentation == "none":
        return "none"
    (token,) = encoder.tokenizer.convert_ids_to_tokens([layout.mask_id])
    seen = "attended to" if layout.attend_to_mask else "not attended to"
    return f"{layout.augmentation}, to {layout.query_length} tokens with {token}, {seen}"


def _unusual(encoder: Encoder) -> list[str]:
    layout, notes = encoder.layout, list(encoder.description.unusual)
    if encoder.document_length < layout.max_length // 4 and layout.long_documents == "cut":
        notes.append(
            f"documents are cut at {encoder.document_length} tokens although the model takes {layout.max_length}: "
            "set document_length, or long_documents='window'"
        )
    if bool(layout.query_prompt) != bool(layout.document_prompt):
        notes.append("only one of queries and documents has a marker")
    if encoder.tokenizer.unk_token_id in layout.document_skip:
        notes.append("the skiplist drops the unknown token, and real words with it")
    if not encoder.packed:
        notes.append(f"batches are padded: packing is not known to work for {encoder.description.architecture}")
    return notes


# -- checks ------------------------------------------------------------------------------------------------------------


def _checks(encoder: Encoder) -> list[Check]:
    tolerance = _OF_NATIVE if encoder.backend == "native" else _TOLERANCE[encoder.precision]
    checks = [_unit_rows(encoder), _order(encoder, tolerance), _padding(encoder, tolerance)]
    return [*checks, _marker(encoder, "query"), _marker(encoder, "document"), _mask_tokens(encoder, tolerance)]


def _checks_with_torch(encoder: Encoder) -> list[Check]:
    from polyvec.encoder.torch.doctor import check_projection, check_stock

    tolerance, texts = _TOLERANCE[encoder.precision], _TEXTS[:2]
    piece = encoder._tokens.documents([_TEXTS[0]])[0][0]
    projection = check_projection(encoder.model, encoder._forward, piece, tolerance)
    return [projection, check_stock(encoder.model, texts, encoder.encode_document(texts), tolerance)]


def _unit_rows(encoder: Encoder) -> Check:
    rows = np.concatenate([*encoder.encode_document(_TEXTS), encoder.encode_query(_QUERY)])
    off = float(np.abs(np.linalg.norm(rows, axis=1) - 1).max())
    return Check("every vector has length 1", bool(np.isfinite(rows).all()) and off < 1e-4, f"off by at most {off:.1e}")


def _order(encoder: Encoder, tolerance: float) -> Check:
    forwards, backwards = encoder.encode_document(_TEXTS), encoder.encode_document(_TEXTS[::-1])[::-1]
    return apart("the order of a batch does not matter", forwards, backwards, tolerance)


def _padding(encoder: Encoder, tolerance: float) -> Check:
    together, alone = encoder.encode_document(_TEXTS), [encoder.encode_document(text) for text in _TEXTS]
    return apart("neighbors in a batch do not matter", together, alone, tolerance)


def _marker(encoder: Encoder, task: str) -> Check:
    what, layout = f"the {task} marker is in its place", encoder.layout
    prompt = layout.query_prompt if task == "query" else layout.document_prompt
    if not prompt.strip():
        return Check(what, True, "this model has none")
    piece = encoder._tokens.queries([_QUERY])[0] if task == "query" else encoder._tokens.documents([_QUERY])[0][0]
    tokenizer = encoder.tokenizer
    vocabulary = tokenizer.get_vocab()
    wanted = next((vocabulary[form] for form in (prompt, prompt.strip()) if form in vocabulary), None)
    if wanted is None:
        spelled = tokenizer.convert_ids_to_tokens(tokenizer.encode(prompt, add_special_tokens=False))
        return Check(what, True, f"{prompt!r} is ordinary text here: {' '.join(spelled)}")
    found = piece.ids[:3].tolist()
    return Check(
        what,
        wanted in found,
        f"token {wanted} {'among' if wanted in found else 'is not among'} the first three: {found}",
    )


def _mask_tokens(encoder: Encoder, tolerance: float) -> Check:
    layout, what = encoder.layout, "queries are padded as the settings say"
    (encoded,) = encoder.stream_queries([_QUERY])
    if layout.augmentation == "none":
        masks = int((encoded.token_ids == (encoder.tokenizer.mask_token_id or -1)).sum())
        return Check(what, masks == 0, f"not padded: {len(encoded.vectors)} vectors")
    real = int((encoded.token_ids != layout.mask_id).sum())
    bare = encoder._forward([encoder._tokens.bare_query(_QUERY)])[0]
    change = float(np.abs(bare - encoded.vectors[: len(bare)]).max())
    seen = change > tolerance
    ok = len(encoded.vectors) >= min(layout.query_length, real) and seen == layout.attend_to_mask
    return Check(
        what,
        ok,
        f"{real} tokens and {len(encoded.vectors) - real} masks, {'seen' if seen else 'not seen'} by the others",
    )
