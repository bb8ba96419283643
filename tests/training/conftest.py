"""A small bilingual world to train on: enough to see a loss fall, small enough for a test."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from polyvec.training.recipe import as_recipe
from polyvec.training.starting import start
from tests.encoder.toy_checkpoints import bert

ENGLISH = ["light", "plants", "turn", "sugar", "world", "question", "answer", "hello", "photosynthesis"]
OTHER = ["licht", "pflanzen", "wenden", "zucker", "welt", "frage", "antwort", "hallo", "photosynthese"]


def write_rows(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with teacher/ (a tiny BERT), parallel.jsonl, pairs.jsonl and model/, what stage start makes of them."""
    folder = tmp_path_factory.mktemp("world")
    model, tokenizer = bert()
    model.save_pretrained(str(folder / "teacher"))
    tokenizer.save_pretrained(str(folder / "teacher"))
    draw = random.Random(0)
    parallel: list[dict[str, object]] = []
    for i in range(120):
        words = [draw.randrange(len(ENGLISH)) for _ in range(draw.randint(3, 9))]
        en, text = (" ".join(side[w] for w in words) + f" {i}." for side in (ENGLISH, OTHER))
        parallel.append({"lang": "de" if i % 3 else "nld", "en": en, "text": text, "group": str(i // 4)})
    write_rows(folder / "parallel.jsonl", parallel)
    pairs = [{"lang": row["lang"], "query": row["text"], "document": row["en"], "answer": "42"} for row in parallel]
    write_rows(folder / "pairs.jsonl", pairs)
    start(
        as_recipe(
            {
                "stage": "start",
                "output": str(folder / "model"),
                "model": {
                    "start": str(folder / "teacher"),
                    "teacher": str(folder / "teacher"),
                    "heads": [8, 16],
                    "max_length": 64,
                    "document_length": 32,
                },
                "vocabulary": {"size": 420, "characters": 100_000},
                "data": [{"path": str(folder / "parallel.jsonl"), "kind": "parallel"}],
            }
        )
    )
    return folder
