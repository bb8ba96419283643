"""A loaded encoder -> what it read from where, what is unusual, and whether it does what it says.

Silent misloading is the field's most common failure: a dropped projection, a marker split in pieces, mask tokens
handled the other way round. Each check computes something the model's settings promise.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from polyvec.encoder.model_folder.license import license
from polyvec.encoder.samples import DOCUMENTS, QUERIES
from polyvec.encoder.torch.forward import evaluating

if TYPE_CHECKING:
    from polyvec.encoder.encoder import Encoder

_TEXTS = list(DOCUMENTS)
_QUERY = QUERIES[0]
# Arithmetic decides how far two ways to the same vector may be apart.
_TOLERANCE = {"fp32": 1e-4, "bf16": 5e-2, "fp16": 1e-2, "int8": 1.5e-1}
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
class Check:
    """One promise, whether it is kept, and the number or reason behind that."""

    what: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Report:
    """What `polyvec doctor` shows."""

    facts: list[Fact]
    unusual: list[str]
    checks: list[Check]

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return all(check.ok for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return {**asdict(self), "ok": self.ok}


def examine(encoder: Encoder) -> Report:
    """Look at a loaded encoder and try it out. Takes a few forward passes."""
    log = logging.getLogger("polyvec.encoder")
    level = log.level
    log.setLevel(logging.ERROR)  # the texts tried here may be longer than the model's limit
    try:
        return Report(_facts(encoder), _unusual(encoder), _checks(encoder))
    finally:
        log.setLevel(level)


def _facts(encoder: Encoder) -> list[Fact]:
    loaded, layout, model = encoder.loaded, encoder.layout, encoder.model
    markers, lengths, skips = _WHERE[loaded.kind]
    config = model[0].config
    given = encoder.options.given()
    said = {"document_length": lengths, "query_augmentation": lengths, "skiplist": skips}
    source = {key: "the caller" if key in given else value for key, value in said.items()}
    parameters = sum(parameter.numel() for parameter in model.parameters())
    shape = f"{getattr(config, 'num_hidden_layers', '?')} layers x {getattr(config, 'hidden_size', '?')}"
    return [
        Fact("checkpoint", f"{encoder.name} ({loaded.kind})", str(loaded.located.folder)),
        Fact("backbone", f"{config.model_type}, {shape}, {parameters / 1e6:.1f} M parameters", "config.json"),
        Fact("positions", _positions(config), "config.json"),
        Fact("vocabulary", f"{len(model.tokenizer):,} tokens", "tokenizer.json"),
        Fact("projection", _projection(encoder), "the weights"),
        Fact("query marker", repr(layout.query_prompt) if layout.query_prompt else "none", markers),
        Fact("document marker", repr(layout.document_prompt) if layout.document_prompt else "none", markers),
        Fact("query augmentation", _augmentation(encoder), source["query_augmentation"]),
        Fact("document length", f"{encoder.document_length} of {layout.max_length} tokens", source["document_length"]),
        Fact(
            "long documents", layout.long_documents, "the caller" if "long_documents" in given else "polyvec's default"
        ),
        Fact("skiplist", f"{len(layout.document_skip)} tokens", source["skiplist"]),
        Fact("arithmetic", f"{encoder.precision}, {'packed' if encoder.packed else 'padded'} batches", "this machine"),
        Fact("license", license(loaded.located.folder) or "not said", "README.md"),
        Fact("fingerprint", encoder.fingerprint, "weights, configuration and settings"),
    ]


def _positions(config: Any) -> str:
    rope = getattr(config, "rope_parameters", None)
    if isinstance(rope, dict) and "rope_theta" in rope:
        return f"rotary, base {rope['rope_theta']:g}"
    return "rotary" if rope else "a table of absolute positions"


def _projection(encoder: Encoder) -> str:
    from polyvec.encoder.torch.bigrams import HashedBigrams
    from polyvec.encoder.torch.heads import MatryoshkaHeads

    parts = []
    for module in list(encoder.model)[1:]:
        if isinstance(module, MatryoshkaHeads):
            parts.append(f"heads {', '.join(map(str, module.sizes))}, in use {module.active}")
        elif isinstance(module, HashedBigrams):
            parts.append(f"hashed bigrams, weight {module.weight_of(encoder.dim):g}")
        elif hasattr(module, "out_features"):
            residual = " with residual" if getattr(module, "use_residual", False) else ""
            parts.append(f"{module.in_features} -> {module.out_features}{residual}")
    return "; ".join(parts) or f"none: hidden states of {encoder.dim} dimensions"


def _augmentation(encoder: Encoder) -> str:
    layout = encoder.layout
    if layout.augmentation == "none":
        return "none"
    token = encoder.model.tokenizer.convert_ids_to_tokens(layout.mask_id)
    seen = "attended to" if layout.attend_to_mask else "not attended to"
    return f"{layout.augmentation}, to {layout.query_length} tokens with {token}, {seen}"


def _unusual(encoder: Encoder) -> list[str]:
    layout, notes = encoder.layout, list(encoder.loaded.unusual)
    if encoder.document_length < layout.max_length // 4 and layout.long_documents == "cut":
        notes.append(
            f"documents are cut at {encoder.document_length} tokens although the model takes {layout.max_length}: "
            "set document_length, or long_documents='window'"
        )
    if bool(layout.query_prompt) != bool(layout.document_prompt):
        notes.append("only one of queries and documents has a marker")
    if encoder.model.tokenizer.unk_token_id in layout.document_skip:
        notes.append("the skiplist drops the unknown token, and real words with it")
    if not encoder.packed:
        notes.append(f"batches are padded: packing is not known to work for {encoder.model[0].config.model_type}")
    return notes


# -- checks ------------------------------------------------------------------------------------------------------------


def _checks(encoder: Encoder) -> list[Check]:
    tolerance = _TOLERANCE[encoder.precision]
    checks = [_unit_rows(encoder), _order(encoder, tolerance), _padding(encoder, tolerance)]
    checks += [_marker(encoder, "query"), _marker(encoder, "document"), _mask_tokens(encoder, tolerance)]
    return [*checks, _head(encoder, tolerance), _stock(encoder, tolerance)]


def _unit_rows(encoder: Encoder) -> Check:
    rows = np.concatenate([*encoder.encode_document(_TEXTS), encoder.encode_query(_QUERY)])
    off = float(np.abs(np.linalg.norm(rows, axis=1) - 1).max())
    return Check("every vector has length 1", bool(np.isfinite(rows).all()) and off < 1e-4, f"off by at most {off:.1e}")


def _order(encoder: Encoder, tolerance: float) -> Check:
    forwards, backwards = encoder.encode_document(_TEXTS), encoder.encode_document(_TEXTS[::-1])[::-1]
    return _apart("the order of a batch does not matter", forwards, backwards, tolerance)


def _padding(encoder: Encoder, tolerance: float) -> Check:
    together, alone = encoder.encode_document(_TEXTS), [encoder.encode_document(text) for text in _TEXTS]
    return _apart("neighbors in a batch do not matter", together, alone, tolerance)


def _marker(encoder: Encoder, task: str) -> Check:
    what, layout = f"the {task} marker is in its place", encoder.layout
    prompt = layout.query_prompt if task == "query" else layout.document_prompt
    if not prompt.strip():
        return Check(what, True, "this model has none")
    piece = encoder._tokens.queries([_QUERY])[0] if task == "query" else encoder._tokens.documents([_QUERY])[0][0]
    tokenizer = encoder.model.tokenizer
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
        masks = int((encoded.token_ids == (encoder.model.tokenizer.mask_token_id or -1)).sum())
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


def _head(encoder: Encoder, tolerance: float) -> Check:
    """Project the backbone's hidden states by hand, weight by weight."""
    import torch

    from polyvec.encoder.torch.bigrams import HashedBigrams

    what = "the projection is the checkpoint's"
    piece = encoder._tokens.documents([_TEXTS[0]])[0][0]
    with torch.inference_mode(), evaluating(encoder.model):
        ids = torch.from_numpy(piece.ids)[None].to(encoder.model.device)
        hidden = encoder.model[0]({"input_ids": ids, "attention_mask": torch.ones_like(ids), "modality": "text"})
        rows = hidden["token_embeddings"][0].float().cpu().numpy()
    steps = 0
    for module in list(encoder.model)[1:]:
        if hasattr(module, "out_features") or hasattr(module, "project"):
            rows = _by_hand(module, rows)
            steps += 1
        elif isinstance(module, HashedBigrams):
            rows = module.added(torch.from_numpy(rows), torch.from_numpy(piece.ids)).numpy()
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    check = _apart(what, [encoder._forward([piece])[0]], [rows], tolerance)
    return Check(
        what,
        check.ok,
        f"{steps} linear layers recomputed, {check.detail}" if steps else f"there is none, {check.detail}",
    )


def _by_hand(module: Any, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    import torch

    linear = module.head(module.active) if hasattr(module, "project") else module.linear
    weight = linear.weight.detach().float().cpu().numpy()
    out = rows @ weight.T + (0 if linear.bias is None else linear.bias.detach().float().cpu().numpy())
    if getattr(module, "activation_function", None) is not None:
        out = module.activation_function(torch.from_numpy(out)).numpy()
    if getattr(module, "use_residual", False):
        out = out + (
            rows if out.shape[1] == rows.shape[1] else rows @ module.residual.weight.detach().float().cpu().numpy().T
        )
    result: npt.NDArray[np.float32] = out
    return result


def _stock(encoder: Encoder, tolerance: float) -> Check:
    what = "stock sentence-transformers gives the same vectors"
    ours = encoder.encode_document(_TEXTS[:2])
    theirs = encoder.model.encode_document(_TEXTS[:2], convert_to_numpy=True, normalize_embeddings=True)
    return _apart(what, ours, theirs, tolerance)


def _apart(what: str, ours: list[Any], theirs: list[Any], tolerance: float) -> Check:
    if [len(a) for a in ours] != [len(b) for b in theirs]:
        return Check(what, False, f"{[len(a) for a in ours]} vectors against {[len(b) for b in theirs]}")
    apart = max(float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True))
    return Check(what, apart <= tolerance, f"at most {apart:.1e} apart")
