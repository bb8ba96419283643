from __future__ import annotations

from pathlib import Path

import pytest

from polyvec.errors import InputError
from polyvec.training.recipe import as_recipe, read_recipe

GOOD = {"stage": "pairs", "output": "out", "data": [{"path": "a.jsonl", "kind": "pairs"}]}


def test_defaults_stand_in_for_what_is_not_said() -> None:
    recipe = as_recipe({**GOOD, "optimizer": {"rate": 1}})
    assert recipe.optimizer.rate == 1.0
    assert recipe.optimizer.accumulate == 1
    assert recipe.data[0].weight == 1.0


@pytest.mark.parametrize(
    ("change", "progress"),
    [
        ({"stagee": "pairs"}, "unknown key 'stagee'"),
        ({"optimizer": {"ratee": 1}}, "unknown key 'ratee'"),
        ({"stage": "pretrain"}, "expected one of"),
        ({"optimizer": {"steps": 1.5}}, "expected int"),
        ({"optimizer": {"steps": -1}}, "not negative"),
        ({"data": []}, "names no data"),
        ({"data": [{"path": "a.jsonl"}]}, "kind is missing"),
        ({"data": [{"path": "a.jsonl", "kind": "scored"}]}, "takes data of kind"),
        ({"data": [{"path": "${NO_SUCH_VARIABLE}/a", "kind": "pairs"}]}, "NO_SUCH_VARIABLE is not set"),
        ({"model": {"heads": [8, 16], "head_weights": [1.0]}}, "one for each"),
        ({"model": {"heads": 8}}, "expected a list"),
        ({"model": 3}, "expected a table"),
    ],
)
def test_a_wrong_recipe_is_refused_in_one_line(change: dict[str, object], progress: str) -> None:
    with pytest.raises(InputError, match=progress) as error:
        as_recipe({**GOOD, **change})
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_toml(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text("stage = ", encoding="utf-8")
    with pytest.raises(InputError, match="is not TOML"):
        read_recipe(path)
    with pytest.raises(InputError, match="no such file"):
        read_recipe(tmp_path / "none.toml")
