"""Recipes on the small bilingual world, and batches of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from polyvec.training.mixing import Batch
from polyvec.training.recipe import Recipe, as_recipe

KINDS = {"mlm": "parallel", "shrink": "parallel", "robust": "parallel", "transfer": "parallel", "pairs": "pairs"}


def values(world: Path, output: Path, stage: str = "pairs", **tables: dict[str, Any]) -> dict[str, Any]:
    """Plain values of a short recipe; `tables` are put over its own."""
    kind = KINDS.get(stage, "scored")
    made: dict[str, Any] = {
        "stage": stage,
        "output": str(output),
        "seed": 3,
        "model": {"start": str(world / "model"), "teacher": str(world / "teacher"), "heads": [8, 16]},
        "batches": {"rows": 6, "tokens": 400, "query_tokens": 16, "document_tokens": 24},
        "optimizer": {"steps": 6, "rate": 2e-3},
        "objective": {"temperature": 0.1, "lengths": [12, 24]},
        "checkpoints": {"every": 2, "log_every": 1},
        "data": [{"path": str(world / f"{kind}.jsonl"), "kind": kind}],
    }
    for name, table in tables.items():
        made[name] = {**made.get(name, {}), **table}
    return made


def toy(world: Path, stage: str = "pairs", **tables: dict[str, Any]) -> Recipe:
    """A recipe whose stage is called directly, so that nothing is written."""
    return as_recipe(values(world, Path("unused"), stage, **tables))


def batch(world: Path, kind: str, count: int = 6, number: int = 1) -> Batch:
    """The first rows of one of the world's files."""
    lines = (world / f"{kind}.jsonl").read_text(encoding="utf-8").splitlines()[:count]
    return Batch(number, kind, [json.loads(line) for line in lines])


def losses(stage: Any, one: Batch, steps: int, rate: float = 3e-3) -> list[float]:
    """What plain Adam makes of the same batch."""
    optimizer = torch.optim.Adam(stage.parameters(), lr=rate)
    found = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = stage.loss(one)
        loss.backward()
        optimizer.step()
        found.append(float(loss.detach()))
    return found
