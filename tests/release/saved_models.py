"""Makes the golden saved model of 0.1, which is kept for ever: every later polyvec loads it and makes the recorded vectors.

    python -m tests.release.saved_models FOLDER

It was made once, by the version that introduced the layout. A change of this script makes another model, not a better one.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from polyvec import Encoder

GOLDEN = Path(__file__).parent / "golden" / "model-1"
QUERIES = ["what is photosynthesis", "light, plants and sugar?"]
DOCUMENTS = ["plants turn light into sugar.", "hello world", "光合作用 is a question of light; नमस्ते"]


def main() -> None:
    from tests.encoder import toy_checkpoints

    out = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "checkpoint"
        toy_checkpoints.make_pylate(checkpoint)
        Encoder(str(checkpoint)).save(out)
    record(out)


def record(folder: Path) -> None:
    """Write what the model says of itself, and its vectors."""
    encoder = Encoder(str(folder), backend="native")
    arrays = {f"query-{i}": one for i, one in enumerate(encoder.encode_query(QUERIES))}
    arrays |= {f"document-{i}": one for i, one in enumerate(encoder.encode_document(DOCUMENTS))}
    np.savez(folder.parent / f"{folder.name}-vectors.npz", **arrays)
    facts = {"dim": encoder.dim, "document_length": encoder.document_length, "fingerprint": encoder.fingerprint}
    (folder.parent / f"{folder.name}.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
