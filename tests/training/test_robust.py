"""Stage robust: what people type gets the vectors of what they mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from polyvec import Encoder
from polyvec.data.perturbations import PERTURBATIONS
from polyvec.errors import InputError
from polyvec.training.losses import contrast_with_versions
from polyvec.training.mixing import Batch
from polyvec.training.recipe import as_recipe
from polyvec.training.robust import Robust, _shares
from polyvec.training.stages import train
from tests.training.conftest import ENGLISH, OTHER
from tests.training.toys import batch, losses, toy

ALL = {"proper": 0.0, "twice": 0.0, "documents": 0.5}
NONE = dict.fromkeys(PERTURBATIONS, 0.0)


def robust(world: Path, **perturbations: Any) -> Robust:
    return Robust(toy(world, "robust", model={"teacher": ""}, perturbations={**ALL, **perturbations}))


def test_a_text_as_it_is_costs_nothing(world: Path) -> None:
    stage = robust(world, proper=1.0)
    for kind in ("parallel", "pairs"):
        assert float(stage.loss(batch(world, kind)).detach()) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("kind", ["parallel", "pairs"])
def test_what_is_typed_comes_near_to_what_is_meant(world: Path, kind: str) -> None:
    stage = robust(world, **{**NONE, "typos": 1.0})
    found = losses(stage, batch(world, kind), 12, rate=1e-3)
    assert found[-1] < 0.7 * found[0]


def test_the_teacher_stays_and_is_not_saved(world: Path, tmp_path: Path) -> None:
    stage = robust(world)
    before = {name: value.clone() for name, value in stage._teacher[0].state_dict().items()}
    losses(stage, batch(world, "parallel"), 3)
    for name, value in stage._teacher[0].state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    assert all("_teacher" not in name for name, _ in stage.named_parameters())


def test_batches_depend_on_their_number_alone(world: Path) -> None:
    stage, one = robust(world), batch(world, "parallel", number=4)
    first, second = stage.tokenized(one), stage.tokenized(one)
    for mine, theirs in zip(first.pieces[0], second.pieces[0], strict=True):
        np.testing.assert_array_equal(mine.ids, theirs.ids)
    other = stage.tokenized(batch(world, "parallel", number=5))
    assert any(
        len(a) != len(b) or (a.ids != b.ids).any() for a, b in zip(first.pieces[0], other.pieces[0], strict=True)
    )


def test_shares_follow_characters_whatever_is_done(world: Path) -> None:
    stage = robust(world, **{**NONE, "keywords": 1.0})
    made = stage.tokenized(batch(world, "parallel"))
    shares = _shares(*made.pieces)
    assert shares.shape[0] == 6
    for number, (mine, theirs) in enumerate(zip(*made.pieces, strict=True)):
        assert shares[number, 0, 0] == 1
        for place, (start, end) in enumerate(mine.offsets):
            if end <= start or place < 2:
                continue
            where = np.flatnonzero(shares[number, place])
            assert len(where)
            assert all(theirs.offsets[i][0] < end and theirs.offsets[i][1] > start for i in where)


@pytest.mark.parametrize("fresh", [0.0, 0.5, 1.0])
def test_questions_as_typed_learn_to_find_their_passages(world: Path, fresh: float) -> None:
    stage = robust(world, typos=1.0, ranked=1.0, fresh=fresh)
    found = losses(stage, versions(), 12, rate=2e-3)
    assert found[-1] < 0.8 * found[0]
    found = losses(stage, batch(world, "pairs"), 12, rate=2e-3)
    assert found[-1] < 0.8 * found[0]


def test_a_passage_has_to_be_found_in_every_language(world: Path) -> None:
    """With the start's own vectors for all passages, the loss is that of the definition."""
    stage, one = robust(world, proper=1.0, ranked=1.0, fresh=0.4), versions()
    encoder, size = Encoder(world / "model"), 16
    queries = [query for row in one.rows for query in row["queries"]]
    documents = [document for row in one.rows for document in row["documents"]]
    asked, given = encoder.encode_query(queries), encoder.encode_document(documents)
    scores = torch.tensor([[float((q @ d.T).max(1).mean()) for d in given] for q in asked])
    owner = torch.arange(len(one.rows)).repeat_interleave(2)
    wanted = contrast_with_versions(scores, owner[:, None] == owner[None, :], 0.1)
    stage._weights = tuple(float(head == size) for head in stage.student.heads.sizes)
    torch.testing.assert_close(stage.loss(one).detach(), wanted, rtol=2e-3, atol=2e-3)


def test_only_questions_can_be_ranked(world: Path) -> None:
    stage = robust(world, ranked=1.0, proper=1.0)
    assert float(stage.loss(batch(world, "parallel")).detach()) == pytest.approx(0, abs=1e-4)
    assert float(stage.loss(batch(world, "pairs")).detach()) > 0.01


def versions(count: int = 4) -> Batch:
    """Passages in two languages, a question in each."""
    made = []
    for i in range(count):
        texts = [" ".join(side[(i + k) % len(side)] for k in range(5)) + f" {i}." for side in (ENGLISH, OTHER)]
        queries = [" ".join(text.split()[1:4]) for text in texts]
        first = {"query": queries[0], "document": texts[0], "lang": "en", "group": str(i)}
        made.append(first | {"codes": ["en", "de"], "queries": queries, "documents": texts})
    return Batch(2, "versions", made)


def test_weights_that_do_nothing_and_other_heads_are_refused(world: Path) -> None:
    with pytest.raises(InputError, match=r"Every weight of \[perturbations\] is 0"):
        robust(world, **NONE)


def test_a_model_that_folds_capitals_says_so_in_its_folder(world: Path, tmp_path: Path) -> None:
    recipe = {
        "stage": "robust",
        "output": str(tmp_path / "out"),
        "model": {"start": str(world / "model"), "fold_capitals": True},
        "batches": {"rows": 4, "tokens": 200, "query_tokens": 16, "document_tokens": 24},
        "optimizer": {"steps": 2, "rate": 1e-3},
        "perturbations": {"upper": 1.0, "proper": 0.5},
        "data": [{"path": str(world / "parallel.jsonl"), "kind": "parallel"}],
    }
    path = tmp_path / "recipe.toml"
    path.write_text(_toml(recipe), encoding="utf-8")
    result = train(path)
    assert result["steps"] == 2
    assert as_recipe(recipe).perturbations.upper == 1.0
    assert json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())["fold_capitals"] is True
    made = Encoder(tmp_path / "out")
    np.testing.assert_allclose(made.encode_query("LIGHT PLANTS"), made.encode_query("light plants"), atol=1e-6)


def _toml(values: dict[str, Any]) -> str:
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items() if not isinstance(value, (dict, list))]
    for name, table in values.items():
        if isinstance(table, dict):
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    for one in values["data"]:
        lines += ["[[data]]", *(f"{key} = {json.dumps(value)}" for key, value in one.items())]
    return "\n".join(lines)
