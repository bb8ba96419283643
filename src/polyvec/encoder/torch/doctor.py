"""What of a model can be checked with torch alone: its projection recomputed, and stock sentence-transformers beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from polyvec.encoder.checks import Check, apart
from polyvec.encoder.torch.bigrams import HashedBigrams
from polyvec.encoder.torch.forward import evaluating

if TYPE_CHECKING:
    from polyvec.encoder.streaming import ForwardPass
    from polyvec.encoder.tokens import Piece


def check_projection(model: Any, forward: ForwardPass, piece: Piece, tolerance: float) -> Check:
    """Project the backbone's hidden states by hand, weight by weight.

    Args:
        model: The MultiVectorEncoder.
        forward: What encodes; native or torch.
        piece: A tokenized text.
        tolerance: Largest difference of a component that is taken for rounding.
    """
    what = "the projection is the checkpoint's"
    with torch.inference_mode(), evaluating(model):
        ids = torch.from_numpy(piece.ids)[None].to(model.device)
        hidden = model[0]({"input_ids": ids, "attention_mask": torch.ones_like(ids), "modality": "text"})
        rows = hidden["token_embeddings"][0].float().cpu().numpy()
    steps = 0
    for module in list(model)[1:]:
        if hasattr(module, "out_features") or hasattr(module, "project"):
            rows = _by_hand(module, rows)
            steps += 1
        elif isinstance(module, HashedBigrams):
            rows = module.added(torch.from_numpy(rows), torch.from_numpy(piece.ids)).numpy()
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    check = apart(what, forward([piece]), [rows], tolerance)
    said = f"{steps} linear layers recomputed" if steps else "there is none"
    return Check(what, check.ok, f"{said}, {check.detail}")


def _by_hand(module: Any, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
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


def check_stock(model: Any, texts: list[str], ours: list[npt.NDArray[np.float32]], tolerance: float) -> Check:
    """Encode documents with sentence-transformers alone.

    Args:
        model: The MultiVectorEncoder.
        texts: Documents.
        ours: Their vectors.
        tolerance: Largest difference of a component that is taken for rounding.
    """
    theirs = model.encode_document(texts, convert_to_numpy=True, normalize_embeddings=True)
    return apart("stock sentence-transformers gives the same vectors", ours, theirs, tolerance)
