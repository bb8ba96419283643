"""Arithmetic of the backbone: fp32, bf16, fp16 or int8, and the choice between them by measurement.

int8: weights per output row, activations by the range they have, products in int32 (torch's FBGEMM kernels). A few
input dimensions of transformers are tens of times larger than the rest and would coarsen all others: they are found
on sample texts, clamped, and what the clamp takes off is added back in full precision. (The observation is that of
LLM.int8, Dettmers et al. 2022, arXiv:2208.07339.) A batch's range covers all its texts, so int8 vectors depend a
little on their neighbors.
"""

from __future__ import annotations

import logging
import statistics
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from polyvec.encoder.samples import DOCUMENTS, QUERIES
from polyvec.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from polyvec.encoder.tokens import Piece, TextTokenizer
    from polyvec.encoder.torch.forward import Forward
    from polyvec.encoder.torch.lean import Linear, MakeLinear

logger = logging.getLogger(__name__)

_OUTLIERS = 8  # input dimensions of each layer that may be handled apart
_OUTLYING = 1.5  # times larger than the largest ordinary one, from which it pays
_LEAST_COSINE = 0.99  # mean, between fp32's and int8's vectors of a token
_LEAST_CORRELATION = 0.99  # of any query's scores of the sample documents, fp32's with int8's
_LEAST_SPEEDUP = 1.15
_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Choice:
    """What `auto` chose, and the numbers it rests on."""

    precision: str
    speedup: float  # int8 over fp32, sample documents
    cosine: float  # mean, between the two vectors of a token
    correlation: float  # least over the sample queries, between the two lists of MaxSim scores
    same_best: bool  # whether every sample query finds the same best document
    reason: str


def weight_dtype(precision: str, device: str) -> str:
    """The type that weights are loaded in."""
    if precision == "auto" and device != "cpu":
        import torch

        return "bfloat16" if device.startswith("cuda") and torch.cuda.is_bf16_supported() else "float16"
    return {"bf16": "bfloat16", "fp16": "float16"}.get(precision, "float32")


def int8_linear(forward: Forward, tokens: TextTokenizer) -> MakeLinear:
    """int8 layers for a model whose fp32 forward pass is given.

    Raises:
        InputError: torch has no int8 kernels here.
    """
    import torch

    if "fbgemm" not in torch.backends.quantized.supported_engines or not hasattr(torch, "quantize_per_channel"):
        raise InputError(
            "precision='int8' needs torch's FBGEMM kernels, which this build has not. Choose fp32 or auto."
        )
    ranges = _input_ranges(forward, tokens)
    position = iter(range(len(ranges)))

    def make(weight: Tensor, bias: Tensor) -> Linear:
        return _int8(weight.float(), bias.float(), ranges[next(position)])

    return make


def _input_ranges(forward: Forward, tokens: TextTokenizer) -> list[Tensor]:
    """For each linear layer, in the order they are made: the largest magnitude of every input dimension."""
    import torch

    ranges: list[Tensor] = []

    def recording(weight: Tensor, bias: Tensor) -> Linear:
        number = len(ranges)
        ranges.append(torch.zeros(weight.shape[1]))

        def linear(x: Tensor) -> Tensor:
            ranges[number] = torch.maximum(ranges[number], x.abs().amax(0).float())
            return torch.nn.functional.linear(x, weight, bias)

        return linear

    forward.with_linear(recording)(sample_pieces(tokens))
    return ranges


def _int8(weight: Tensor, bias: Tensor, largest: Tensor) -> Linear:
    """One int8 layer.

    Args:
        weight: (n, k).
        bias: (n,).
        largest: (k,) magnitudes seen in each input dimension.
    """
    import torch

    packed = _packed(weight, bias)
    multiply = torch.ops.quantized.linear_dynamic
    top = torch.topk(largest, min(_OUTLIERS + 1, len(largest)))
    limit = float(top.values[-1])
    outlying = top.indices[:-1][top.values[:-1] > _OUTLYING * limit]
    if not len(outlying):
        return lambda x: multiply(x, packed, False)
    columns = weight[:, outlying].T.contiguous()

    def linear(x: Tensor) -> Tensor:
        large = x[:, outlying]
        result: Tensor = multiply(x.clamp(-limit, limit), packed, False)
        return result.addmm_(large - large.clamp(-limit, limit), columns)

    return linear


def _packed(weight: Tensor, bias: Tensor) -> Any:
    import torch

    scales = weight.abs().amax(1).clamp_min(1e-8).double() / 127
    zeros = torch.zeros(len(weight), dtype=torch.long)
    with _fbgemm(), warnings.catch_warnings():
        # torch means to replace this kind of tensor; until it does, no other int8 product here is as fast on a CPU.
        warnings.filterwarnings("ignore", message=".*quantized tensor creation functions.*")
        rows = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
        return torch.ops.quantized.linear_prepack(rows, bias)


@contextmanager
def _fbgemm() -> Iterator[None]:
    """Pack for FBGEMM, whatever engine the process prefers."""
    import torch

    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = "fbgemm"
    try:
        yield
    finally:
        torch.backends.quantized.engine = before


# -- auto --------------------------------------------------------------------------------------------------------------


def choose(forward: Forward, tokens: TextTokenizer) -> tuple[Forward, Choice]:
    """The faster of fp32 and int8 on this machine, int8 only where its vectors and scores agree with fp32's."""
    try:
        small = forward.with_linear(int8_linear(forward, tokens))
    except InputError as error:
        return forward, Choice("fp32", 1.0, 1.0, 1.0, True, str(error))
    documents, queries = sample_pieces(tokens), tokens.queries(QUERIES)
    exact, rough = forward(documents), small(documents)
    cosine = float(np.mean([(a * b).sum(1).mean() for a, b in zip(exact, rough, strict=True)]))
    before, after = _scores(forward(queries), exact), _scores(small(queries), rough)
    correlation = min(float(np.corrcoef(one, other)[0, 1]) for one, other in zip(before, after, strict=True))
    same_best = bool((before.argmax(axis=1) == after.argmax(axis=1)).all())
    speedup = _speedup(forward, small, documents)
    agrees = cosine >= _LEAST_COSINE and correlation >= _LEAST_CORRELATION and same_best
    reason = f"int8 is {speedup:.2f} times as fast, cosine {cosine:.4f}, scores correlate at {correlation:.4f} or more"
    chosen = "int8" if agrees and speedup >= _LEAST_SPEEDUP else "fp32"
    logger.info("precision auto: %s (%s)", chosen, reason)
    return (small if chosen == "int8" else forward), Choice(chosen, speedup, cosine, correlation, same_best, reason)


def sample_pieces(tokens: TextTokenizer) -> list[Piece]:
    """The sample documents, sorted by length as batches are."""
    return sorted((pieces[0] for pieces in tokens.documents(DOCUMENTS)), key=len)


def _scores(
    queries: Sequence[npt.NDArray[np.float32]], documents: Sequence[npt.NDArray[np.float32]]
) -> npt.NDArray[np.float64]:
    return np.array([[float((q @ d.T).max(axis=1).sum()) for d in documents] for q in queries])


def _speedup(exact: Forward, small: Forward, pieces: list[Piece]) -> float:
    """Median over interleaved rounds, so that a busy moment hits both."""
    ratios = []
    for _ in range(_ROUNDS):
        times = []
        for forward in (exact, small):
            started = time.perf_counter()
            forward(pieces)
            times.append(time.perf_counter() - started)
        ratios.append(times[0] / times[1])
    return statistics.median(ratios)
