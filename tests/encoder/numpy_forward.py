"""The published architecture in plain NumPy, from the published names: the independent witness for the loader."""

from __future__ import annotations

import math

import numpy as np

Weights = dict[str, np.ndarray]


def token_vectors(
    weights: Weights, ids: list[int], *, heads: int, rotary_base: float, head: str = "linear.weight"
) -> np.ndarray:
    """(t,) ids -> (t, dim) unit vectors. Post-norm layers, exact GELU, rotary queries and keys, every token attended
    to."""
    x = weights["roberta.embeddings.word_embeddings.weight"][ids].astype(np.float64)
    x = x + weights["roberta.embeddings.token_type_embeddings.weight"][0]
    x = layer_norm(x, weights, "roberta.emb_ln")
    layers = 1 + max(int(name.split(".")[3]) for name in weights if ".layers." in name)
    for n in range(layers):
        prefix = f"roberta.encoder.layers.{n}"
        x = layer_norm(x + attention(x, weights, f"{prefix}.mixer", heads, rotary_base), weights, f"{prefix}.norm1")
        inner = gelu(linear(x, weights, f"{prefix}.mlp.fc1"))
        x = layer_norm(x + linear(inner, weights, f"{prefix}.mlp.fc2"), weights, f"{prefix}.norm2")
    vectors = x @ weights[head].T
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def attention(x: np.ndarray, weights: Weights, name: str, heads: int, base: float) -> np.ndarray:
    t, hidden = x.shape
    size = hidden // heads
    fused = linear(x, weights, f"{name}.Wqkv").reshape(t, 3, heads, size)
    out = np.empty((t, heads, size))
    for h in range(heads):
        q, k, v = rotate(fused[:, 0, h], base), rotate(fused[:, 1, h], base), fused[:, 2, h]
        scores = q @ k.T / math.sqrt(size)
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        out[:, h] = shares / shares.sum(axis=1, keepdims=True) @ v
    return linear(out.reshape(t, hidden), weights, f"{name}.out_proj")


def rotate(x: np.ndarray, base: float) -> np.ndarray:
    """Rotary embedding, first half against second half, positions from 0."""
    t, size = x.shape
    angles = np.arange(t)[:, None] / base ** (np.arange(0, size, 2) / size)
    cos, sin = np.cos(angles), np.sin(angles)
    first, second = x[:, : size // 2], x[:, size // 2 :]
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=1)


def linear(x: np.ndarray, weights: Weights, name: str) -> np.ndarray:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def layer_norm(x: np.ndarray, weights: Weights, name: str) -> np.ndarray:
    centered = x - x.mean(axis=-1, keepdims=True)
    scaled = centered / np.sqrt((centered**2).mean(axis=-1, keepdims=True) + 1e-5)
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def gelu(x: np.ndarray) -> np.ndarray:
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))
