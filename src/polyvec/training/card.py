"""A trained model -> its card: what it was trained from, on which data, how long, and what evaluation said on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from polyvec.atomic import write_text
from polyvec.training.mixing import Mixture
from polyvec.training.recipe import Recipe


def write_card(recipe: Recipe, mixture: Mixture, result: dict[str, Any], folder: Path) -> None:
    """Write README.md into the model's folder; the cards of earlier stages follow below."""
    before = Path(recipe.model.start, "README.md")
    heads = ", ".join(map(str, recipe.model.heads))
    lines = [
        f"# {folder.name}",
        "",
        f"A polyvec late-interaction model with heads of {heads} dimensions, stage `{recipe.stage}`, begun from "
        f"`{Path(recipe.model.start).name}`.",
        "",
        f"{result['steps']} steps in {result['seconds'] / 3600:.2f} hours, seed {recipe.seed}, rate {recipe.optimizer.rate:g}, "
        f"at most {recipe.batches.rows} rows a batch.",
        "",
        "| data | kind | share of batches | rows | languages |",
        "| --- | --- | --- | --- | --- |",
    ]
    total = sum(source.weight for source in mixture.sources)
    for source in mixture.sources:
        counts = source.counts()
        lines.append(f"| {source.name} | {source.kind} | {source.weight / total:.2f} | {len(source)} | {len(counts)} |")
    measured = [entry for entry in result["history"] if "nDCG@10" in entry]
    if measured:
        lines += ["", "| step | nDCG@10 on the set evaluated in training |", "| --- | --- |"]
        lines += [f"| {entry['step']} | {entry['nDCG@10']:.4f} |" for entry in measured]
    if before.is_file():
        lines += ["", "## Before this stage", "", before.read_text(encoding="utf-8").strip()]
    write_text(folder / "README.md", "\n".join(lines) + "\n")
