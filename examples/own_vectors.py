"""Bring vectors of your own, such as ColPali's: one vector for each patch of a page's picture. No text, no encoder.

The vectors here are MADE UP: a page is 1,024 random patches on a grid of 32 x 32, and some of them show a "topic", a fixed
direction. Put the vectors of a real model in their place; what follows stays the same.
"""

import tempfile
from pathlib import Path

import numpy as np

import polyvec

DIM, GRID, PAGES = 128, 32, 60
TOPICS = ("invoice", "signature", "chart")
rng = np.random.default_rng(0)


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def page(topics: list[str], directions: dict[str, np.ndarray]) -> np.ndarray:
    """(1024, 128): random patches, and five in a row that show each topic."""
    patches = rng.normal(size=(GRID * GRID, DIM))
    for topic in topics:
        start = int(rng.integers(0, GRID * GRID - 5))
        patches[start : start + 5] = 30 * directions[topic] + rng.normal(size=(5, DIM))
    return unit(patches)


def main(place: Path) -> None:
    directions = {topic: unit(rng.normal(size=(1, DIM)))[0] for topic in TOPICS}
    shown = {f"scan-{n:02}": [TOPICS[n % 3]] if n % 10 == 0 else [] for n in range(PAGES)}
    vectors = {key: page(topics, directions) for key, topics in shown.items()}
    with polyvec.Index.create(place / "pages.polyvec", dim=DIM, nbits=2) as index:
        index.add_vectors(vectors.keys(), vectors.values(), metadata=({"topics": topics} for topics in shown.values()))
        index.compact()
        info = index.info()
        print(
            f"{info['documents']} pages, {info['tokens']} patches, {info['bytes_per_token']:.0f} bytes each (fp32: {4 * DIM})"
        )
        for topic in TOPICS:
            query = unit(30 * directions[topic] + rng.normal(size=(4, DIM)))  # four query tokens
            hits = index.search_vectors(query, k=2)
            patch = int((vectors[hits[0].id] @ query.mean(axis=0)).argmax())
            print(f"{topic}: {', '.join(f'{hit.id} {hit.score:.2f}' for hit in hits)}")
            print(
                f"  best patch of {hits[0].id}: row {patch // GRID}, column {patch % GRID}; shows {hits[0].metadata['topics']}"
            )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(Path(folder))
