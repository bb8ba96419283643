"""Whole runs of a few steps: seeds, interruption, and everything that can be wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from polyvec.errors import InputError, PolyvecError, StorageError
from polyvec.training.mixing import Batch
from polyvec.training.pairs import Pairs
from polyvec.training.stages import train
from polyvec.training.trainer import TrainingError
from tests.training.conftest import write_rows
from tests.training.toys import values


class Killed(BaseException):
    """What nothing catches."""


def write(path: Path, made: dict[str, Any]) -> Path:
    """Plain values as TOML."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in made.items() if not isinstance(value, dict | list)]
    for name, table in made.items():
        if isinstance(table, dict):
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
        elif isinstance(table, list):
            for one in table:
                lines += [f"[[{name}]]", *(f"{key} = {json.dumps(value)}" for key, value in one.items())]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def curve(result: dict[str, Any]) -> list[tuple[int, float]]:
    return [(entry["step"], entry["loss"]) for entry in result["history"] if "loss" in entry]


def killing(at: int) -> Callable[[int, int, dict[str, float]], None]:
    def progress(step: int, steps: int, found: dict[str, float]) -> None:
        if step == at:
            raise Killed

    return progress


SHAKY: dict[str, Any] = {"model": {"dropout": 0.1}, "optimizer": {"accumulate": 2}}  # chance and accumulation too


@pytest.fixture(scope="module")
def uninterrupted(world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("whole")
    return folder / "out", train(write(folder / "r.toml", values(world, folder / "out", **SHAKY)))


@pytest.mark.parametrize("stage", ["pairs", "shrink", "mlm"])
def test_workers_that_read_ahead_change_nothing(stage: str, world: Path, tmp_path: Path) -> None:
    model = {"teacher": str(world / "model")} if stage == "shrink" else {}
    curves = []
    for workers in (0, 2):
        made = values(world, tmp_path / f"out{workers}", stage, batches={"workers": workers}, model=model)
        curves.append(curve(train(write(tmp_path / f"r{workers}.toml", made))))
    assert curves[0] == curves[1]
    assert len(curves[0]) == 6


@pytest.mark.parametrize("workers", [0, 1])
def test_what_is_wrong_with_a_batch_is_one_line_wherever_it_was_read(
    world: Path, tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: Pairs, batch: Batch) -> Batch:
        raise InputError(f"Batch {batch.number} cannot be read.")

    monkeypatch.setattr(Pairs, "tokenized", refused)
    made = values(world, tmp_path / "out", batches={"workers": workers})
    with pytest.raises(InputError) as caught:
        train(write(tmp_path / "r.toml", made))
    assert str(caught.value) == "Batch 0 cannot be read."


def test_questions_without_a_second_candidate_are_left_out(world: Path, tmp_path: Path) -> None:
    whole = [{"query": f"q{i}", "documents": [f"d{i}", "light"], "scores": [1.0, 0.0]} for i in range(8)]
    alone = [{"query": "lonely", "documents": ["sugar"], "scores": [1.0]}]
    made = values(world, tmp_path / "out", "distill")
    made["data"] = [{"path": str(write_rows(tmp_path / "some.jsonl", whole + alone)), "kind": "scored"}]
    assert len(curve(train(write(tmp_path / "r.toml", made)))) == 6
    made["data"] = [{"path": str(write_rows(tmp_path / "none.jsonl", alone)), "kind": "scored"}]
    with pytest.raises(InputError, match="gives no rows with two candidates or more"):
        train(write(tmp_path / "r.toml", {**made, "output": str(tmp_path / "other")}))


def test_resuming_after_a_kill_is_as_if_nothing_had_happened(
    world: Path, tmp_path: Path, uninterrupted: tuple[Path, dict[str, Any]]
) -> None:
    recipe = write(tmp_path / "r.toml", values(world, tmp_path / "out", **SHAKY))
    with pytest.raises(Killed):
        train(recipe, progress=killing(5))
    torn = tmp_path / "out.training" / "checkpoint-6"  # as if killed while this one was being written
    torn.mkdir()
    (torn / "recipe.json").write_text("{}", encoding="utf-8")
    torch.manual_seed(99)
    with pytest.raises(StorageError, match="--resume"):
        train(recipe)
    result = train(recipe, resume=True)
    folder, whole = uninterrupted
    assert curve(result) == curve(whole)
    assert [step for step, _ in curve(whole)] == [1, 2, 3, 4, 5, 6]
    mine, theirs = (load_file(path) for path in (weights(tmp_path / "out"), weights(folder)))
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    assert not (tmp_path / "out.training").exists()
    assert "| pairs | pairs | 1.00 | 120 | 2 |" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "out" / "training.json").read_text(encoding="utf-8"))["pairs"]["steps"] == 6


def weights(folder: Path) -> Path:
    return next(path for path in sorted(folder.rglob("model.safetensors")) if path.stat().st_size > 10_000)


def test_seeds_give_the_curve(world: Path, tmp_path: Path, uninterrupted: tuple[Path, dict[str, Any]]) -> None:
    again = train(write(tmp_path / "r.toml", values(world, tmp_path / "again", **SHAKY)))
    other = train(write(tmp_path / "o.toml", {**values(world, tmp_path / "other", **SHAKY), "seed": 4}))
    assert curve(again) == curve(uninterrupted[1])
    assert curve(other) != curve(again)


def failing(monkeypatch: pytest.MonkeyPatch, at: int, what: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Batch `at` goes wrong."""
    usual = Pairs.loss

    def loss(self: Pairs, batch: Batch) -> torch.Tensor:
        found = usual(self, batch)
        return what(found) if batch.number == at else found

    monkeypatch.setattr(Pairs, "loss", loss)


def test_a_loss_that_is_no_number_names_the_batch_and_keeps_the_checkpoint(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = values(world, tmp_path / "out", optimizer={"steps": 4})
    with monkeypatch.context() as patch:
        failing(patch, 3, lambda loss: loss * float("nan"))
        with pytest.raises(TrainingError, match=r"batch 3 of pairs is nan.*lower optimizer\.rate"):
            train(write(tmp_path / "r.toml", made))
    assert (tmp_path / "out.training" / "checkpoint-2" / "trainer_state.json").is_file()
    assert not (tmp_path / "out").exists()
    made["optimizer"]["rate"] = 1e-5  # what the message says to do
    result = train(write(tmp_path / "r.toml", made), resume=True)
    rates = {entry["step"]: entry["learning_rate"] for entry in result["history"] if "learning_rate" in entry}
    assert rates[1] > 1e-3
    assert 0 < rates[3] <= 1e-5
    assert result["steps"] == 4


def test_a_gradient_that_is_no_number_never_reaches_the_weights(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, 0, lambda loss: loss + (loss * 0).sqrt())  # finite, with an infinite slope
    with pytest.raises(TrainingError, match="gradient of batch 0 of pairs is not finite"):
        train(write(tmp_path / "r.toml", values(world, tmp_path / "out")))


def test_a_batch_too_large_says_what_to_lower(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(loss: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1099511627776 bytes.")

    failing(monkeypatch, 0, full)
    with pytest.raises(TrainingError, match=r"atch 0 of pairs \(6 rows\).*batches\.tokens.*batches\.micro_rows"):
        train(write(tmp_path / "r.toml", values(world, tmp_path / "out")))


def test_a_run_that_shall_end_sooner_ends_at_no_rate(world: Path, tmp_path: Path) -> None:
    made = values(world, tmp_path / "out", optimizer={"steps": 100, "warmup": 0.0})
    with pytest.raises(Killed):
        train(write(tmp_path / "r.toml", made), progress=killing(3))
    made["optimizer"]["steps"] = 6
    result = train(write(tmp_path / "r.toml", made), resume=True)
    rates = {entry["step"]: entry["learning_rate"] for entry in result["history"] if "learning_rate" in entry}
    assert result["steps"] == 6
    assert rates[2] == pytest.approx(2e-3, rel=0.05)
    assert [rates[step] for step in (3, 4, 5, 6)] == pytest.approx([2e-3 * (6 - step + 1) / 6 for step in (3, 4, 5, 6)])


def test_a_checkpoint_of_another_recipe_is_refused(world: Path, tmp_path: Path) -> None:
    made = values(world, tmp_path / "out")
    with pytest.raises(Killed):
        train(write(tmp_path / "r.toml", made), progress=killing(3))
    made["batches"]["rows"] = 5
    with pytest.raises(InputError, match="written by another recipe"):
        train(write(tmp_path / "r.toml", made), resume=True)


def test_a_checkpoint_from_before_a_key_existed_is_resumed(world: Path, tmp_path: Path) -> None:
    made = values(world, tmp_path / "out")
    with pytest.raises(Killed):
        train(write(tmp_path / "r.toml", made), progress=killing(3))
    for path in (tmp_path / "out.training").glob("checkpoint-*/recipe.json"):
        kept = json.loads(path.read_text(encoding="utf-8"))
        del kept["model"]["bigrams"], kept["data"][0]["together"], kept["optimizer"]["decay"]
        path.write_text(json.dumps(kept), encoding="utf-8")
    assert train(write(tmp_path / "r.toml", made), resume=True)["steps"] == 6


@pytest.mark.parametrize(
    ("change", "progress"),
    [
        ({"data": [{"path": "no.jsonl", "kind": "pairs"}]}, r"no\.jsonl is missing"),
        ({"data": [{"path": "EMPTY", "kind": "pairs"}]}, "has no rows"),
        ({"data": [{"path": "PAIRS", "kind": "pairs", "languages": ["th"]}]}, "gives no rows in th"),
        (
            {"data": [{"path": "PAIRS", "kind": "pairs", "languages": ["de", "th"]}]},
            "languages th, of which no dataset",
        ),
        ({"data": [{"path": "PAIRS", "kind": "pairs", "languages": ["?"]}]}, "not a language code"),
        ({"model": {}}, r"needs model\.start"),
        ({"model": {"start": "no-such-folder-or-model"}}, "no-such-folder-or-model"),
        ({"batches": {"rows": 1}}, r"batches\.rows = 1: expected 2 or more"),
        ({"objective": {"temperature": 0.0}}, r"objective\.temperature is 0\.0"),
        ({"optimizer": {"steps": 0}}, r"optimizer\.steps = 0"),
        ({"model": {"heads": []}}, r"model\.heads = 0"),
    ],
)
def test_what_a_recipe_may_have_wrong(world: Path, tmp_path: Path, change: dict[str, Any], progress: str) -> None:
    named = {"EMPTY": str(write_rows(tmp_path / "empty.jsonl", [])), "PAIRS": str(world / "pairs.jsonl")}
    made = {**values(world, tmp_path / "out"), **change}
    for one in made["data"]:
        one["path"] = named.get(one["path"], one["path"])
    with pytest.raises(PolyvecError, match=progress) as error:
        train(write(tmp_path / "r.toml", made))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_what_stands_in_the_way(world: Path, tmp_path: Path) -> None:
    recipe = write(tmp_path / "r.toml", values(world, tmp_path / "out"))
    with pytest.raises(InputError, match="no checkpoint"):
        train(recipe, resume=True)
    (tmp_path / "out").mkdir()
    with pytest.raises(StorageError, match="exists already"):
        train(recipe)
