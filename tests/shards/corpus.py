"""Small documents that share words, with many equal scores among them, in several scripts."""

from __future__ import annotations

from typing import Any

import numpy as np

WORDS = ("tea", "green", "black", "water", "東京タワー", "京都", "水", "чай", "ชาเขียว", "river", "the")
QUESTIONS = ("green tea", "京", "東京タワー the the", "чай water", "nothing here", "เขียว river", "the")
FILTERS = ({"lang": "de"}, {"n": {"$gte": 40}}, {"$or": [{"lang": "ja"}, {"n": {"$lt": 10}}]}, {"lang": "xx"})


def document(number: int, *, seed: int = 3) -> dict[str, Any]:
    """The same for the same number and seed."""
    rng = np.random.default_rng([seed, number])
    words = rng.choice(WORDS, size=int(rng.integers(1, 9)))
    fields: dict[str, Any] = {
        "id": f"d{number}",
        "text": " ".join(words),
        "lang": "de" if number % 3 else "ja",
        "n": number,
    }
    return {**fields, "title": "tea time"} if number % 10 == 0 else fields


def documents(count: int, *, first: int = 0, seed: int = 3) -> list[dict[str, Any]]:
    """One after another."""
    return [document(number, seed=seed) for number in range(first, first + count)]


def vectors(number: int, dim: int = 8) -> np.ndarray:
    """(1 to 6, dim) float32."""
    rng = np.random.default_rng([7, number])
    return rng.standard_normal((1 + number % 6, dim)).astype(np.float32)
