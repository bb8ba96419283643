"""The layers of BERT, RoBERTa, XLM-R and the rotary backbone, run without anything around them.

Token ids of several texts, one after another -> hidden states. The same arithmetic as transformers' modules on the
same weights, with query, key and value in one product, no padding, no mask, and linear layers whose arithmetic can be
exchanged (`precision.py`). Post-norm layers with exact GELU only; other backbones run through transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Linear = Callable[[Tensor], Tensor]
MakeLinear = Callable[[Tensor, Tensor], Linear]
Norm = tuple[Tensor, Tensor, float]

SUPPORTED = frozenset({"bert", "roberta", "xlm-roberta", "camembert", "jina_embeddings_v3"})
_FEW_ROWS = 64
_REORDERED_WEIGHTS = 100_000_000
_NAMES = {
    "jina_embeddings_v3": (
        "layers",
        ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.fc1", "mlp.fc2"),
        ("post_attention_layernorm", "post_mlp_layernorm"),
    ),
}
_BERT_NAMES = (
    "encoder.layer",
    (
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
        "attention.output.dense",
        "intermediate.dense",
        "output.dense",
    ),
    ("attention.output.LayerNorm", "output.LayerNorm"),
)


@dataclass(frozen=True, slots=True)
class Run:
    """Neighboring texts of one length: `count` texts of `length` tokens, of which each sees the first `attended`."""

    length: int
    attended: int
    count: int


@dataclass(frozen=True, slots=True)
class _Layer:
    qkv: Linear
    out: Linear
    up: Linear
    down: Linear
    attention_norm: Norm
    output_norm: Norm


class UnpaddedBackbone:
    """A read-only view of a transformers model. Weights changed later are seen only in part: make a new one.

    make_linear: (weight (n, k), bias (n,)) -> a function of (..., k) tensors; exchanging it exchanges the arithmetic.
    """

    def __init__(self, model: Any, make_linear: MakeLinear) -> None:
        config = model.config
        self._heads = config.num_attention_heads
        table = model.embeddings
        self._words, self._type = table.word_embeddings.weight.detach(), table.token_type_embeddings.weight.detach()[0]
        positions = getattr(table, "position_embeddings", None)
        self._positions = None if positions is None else positions.weight.detach()
        self._norm = _norm(table.LayerNorm)
        self._rotary = getattr(model, "rotary_emb", None)
        stack, linears, norms = _NAMES.get(config.model_type, _BERT_NAMES)
        self._layers = [_layer(layer, linears, norms, make_linear) for layer in model.get_submodule(stack)]

    def __call__(self, ids: Tensor, positions: Tensor, runs: Sequence[Run]) -> Tensor:
        """(T,) token ids and positions -> (T, hidden) states; `runs` says how the T tokens divide into texts."""
        x = functional.embedding(ids, self._words) + self._type
        if self._positions is not None:
            x = x + functional.embedding(positions, self._positions)
        x = _normalized(x, self._norm)
        turn = self._turn(x, positions)
        for layer in self._layers:
            attended = self._attention(layer.qkv(x), turn, runs)
            x = _normalized(layer.out(attended) + x, layer.attention_norm)
            x = _normalized(layer.down(functional.gelu(layer.up(x))) + x, layer.output_norm)
        return x

    def _turn(self, x: Tensor, positions: Tensor) -> tuple[Tensor, Tensor] | None:
        """Cosines and signed sines of the rotary embedding, (T, 1, size) each."""
        if self._rotary is None:
            return None
        cos, sin = self._rotary(x, positions[None])
        half = sin.shape[-1] // 2
        return cos[0, :, None], torch.cat((-sin[0, :, None, :half], sin[0, :, None, half:]), dim=-1)

    def _attention(self, qkv: Tensor, turn: tuple[Tensor, Tensor] | None, runs: Sequence[Run]) -> Tensor:
        total, width = qkv.shape[0], qkv.shape[1] // 3
        parts = qkv.view(total, 3, self._heads, width // self._heads)
        query, key, value = parts.unbind(1)
        if turn is not None:
            query, key = _rotated(query, *turn), _rotated(key, *turn)
        results, start = [], 0
        for run in runs:
            stop = start + run.length * run.count
            q, k, v = (
                rows[start:stop].unflatten(0, (run.count, run.length)).transpose(1, 2)  # type: ignore[no-untyped-call]
                for rows in (query, key, value)
            )
            if run.attended < run.length:
                k, v = k[:, :, : run.attended], v[:, :, : run.attended]
            result = functional.scaled_dot_product_attention(q, k, v)
            results.append(result.transpose(1, 2).reshape(stop - start, width))
            start = stop
        return results[0] if len(results) == 1 else torch.cat(results)


def plain_linear(weight: Tensor, bias: Tensor) -> Linear:
    """The product in the weights' own type."""
    return lambda x: functional.linear(x, weight, bias)


def few_rows_linear(weight: Tensor, bias: Tensor) -> Linear:
    """fp32 on a CPU: a query's few rows go through oneDNN with its weights reordered once, the rest as usual.

    Measured on AVX2, 11 rows, 384 to 1536: .13 ms against .22; from a few hundred rows on the usual product is faster.
    """
    reordered: list[Tensor] = []

    def linear(x: Tensor) -> Tensor:
        if x.shape[0] > _FEW_ROWS:
            return functional.linear(x, weight, bias)
        if not reordered:
            reordered.append(torch.ops.mkldnn._reorder_linear_weight(weight, _FEW_ROWS))
        result: Tensor = torch.ops.mkldnn._linear_pointwise(x, reordered[0], bias, "none", [], "")
        return result

    return linear


def fitting_linear(model: Any) -> MakeLinear:
    """The fastest plain product for this model: reordered weights take their size again, so only where that is small."""
    size = sum(parameter.numel() for name, parameter in model.named_parameters() if "embeddings" not in name)
    quick = (
        next(model.parameters()).dtype == torch.float32
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and size <= _REORDERED_WEIGHTS
    )
    return few_rows_linear if quick else plain_linear


def _layer(layer: Any, linears: Sequence[str], norms: Sequence[str], make_linear: MakeLinear) -> _Layer:
    query, key, value, out, up, down = (layer.get_submodule(name) for name in linears)
    qkv = [torch.cat([part.weight.detach() for part in (query, key, value)])]
    qkv.append(torch.cat([part.bias.detach() for part in (query, key, value)]))
    one, two = (_norm(layer.get_submodule(name)) for name in norms)

    def made(module: Any) -> Linear:
        return make_linear(module.weight.detach(), module.bias.detach())

    return _Layer(make_linear(*qkv), made(out), made(up), made(down), one, two)


def _norm(module: nn.LayerNorm) -> Norm:
    return module.weight.detach(), module.bias.detach(), module.eps


def _normalized(x: Tensor, norm: Norm) -> Tensor:
    weight, bias, eps = norm
    return functional.layer_norm(x, weight.shape, weight, bias, eps)


def _rotated(x: Tensor, cos: Tensor, signed_sin: Tensor) -> Tensor:
    """(T, heads, size) rotated: each half turned by the other."""
    half = x.shape[-1] // 2
    return x * cos + torch.cat((x[..., half:], x[..., :half]), dim=-1) * signed_sin
