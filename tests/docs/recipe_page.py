"""docs/reference/recipe-keys.md: every key of a recipe, from the dataclasses that read it. `make docs` writes it.

python -m tests.docs.recipe_page
"""

from __future__ import annotations

from pathlib import Path

from tests.training.recipe_keys import rendered

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "recipe-keys.md"
ABOUT = """# Recipe keys

*For whoever writes a recipe for `polyvec train`.*

Generated from `src/polyvec/training/recipe.py`. A recipe is a TOML file: one table each (`[model]`, `[batches]` ...), and
`[[data]]` once a file of rows. An unknown key is an error. What the stages do: [training](../training.md).

"""


def page() -> str:
    """The page as it should be."""
    return ABOUT + rendered()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
