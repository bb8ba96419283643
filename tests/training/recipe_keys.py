"""The dataclasses of a recipe -> the table of its keys in docs/training.md. Run as a module, it writes the table anew."""

from __future__ import annotations

import ast
import inspect
import io
import tokenize
from pathlib import Path

from polyvec.training import recipe

PAGE = Path(__file__).parents[2] / "docs" / "training.md"
BEGIN, END = "<!-- keys: begin -->\n", "<!-- keys: end -->\n"
TABLES = ["Recipe", "Data", "Model", "Vocabulary", "Batches", "Optimizer", "Objective", "Perturbations", "Checkpoints"]


def rendered() -> str:
    """One Markdown table for all keys, in the order of the source, with the comments that stand beside them."""
    source = inspect.getsource(recipe)
    comments = {
        token.start[0]: token.string.lstrip("# ").strip()
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    classes = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}
    lines = ["| key | default | what it is |", "| --- | --- | --- |"]
    for name in TABLES:
        prefix = "" if name == "Recipe" else "data[]." if name == "Data" else name.lower() + "."
        for node in classes[name].body:
            if not isinstance(node, ast.AnnAssign) or "default_factory" in ast.unparse(node):
                continue
            if name == "Recipe" and ast.unparse(node.target) == "data":
                continue
            default = "needed" if node.value is None else f"`{ast.unparse(node.value)}`"
            said = [comments[line] for line in range(node.lineno, (node.end_lineno or 0) + 1) if line in comments]
            kind = ast.unparse(node.annotation)
            if kind.startswith("Literal"):
                said.insert(0, kind.removeprefix("Literal").strip("[]").replace("'", "").replace(", ", " or "))
            lines.append(f"| `{prefix}{ast.unparse(node.target)}` | {default} | {'; '.join(said)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    head, rest = page.split(BEGIN)
    PAGE.write_text(head + BEGIN + rendered() + END + rest.split(END)[1], encoding="utf-8")
