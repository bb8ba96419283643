"""A recipe file -> a model folder: picks the stage, reads the data, trains, writes the card."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from polyvec.arguments import flag, function
from polyvec.atomic import check_new_folder, write_text
from polyvec.errors import InputError, MissingExtraError, StorageError
from polyvec.evaluation.dataset import load_dataset
from polyvec.training.recipe import Recipe, read_recipe

Progress = Callable[[int, int, dict[str, float]], None]  # step, steps, values


def train(path: Path, *, resume: bool = False, progress: Progress | None = None) -> dict[str, Any]:
    """Run one recipe; returns what happened: steps, seconds and history, or counts for stage start.

    Args:
        resume: Go on from the last checkpoint, with the batches that the uninterrupted run would have seen.

    Raises:
        InputError: A bad recipe or data.
        TrainingError: A loss that is not finite or a batch that does not fit.
    """
    flag("resume", resume)
    function("progress", progress)
    return run(read_recipe(path), resume=resume, progress=progress)


def run(recipe: Recipe, *, resume: bool = False, progress: Progress | None = None) -> dict[str, Any]:
    """As `train`, for a recipe that is read already."""
    if Path(recipe.output).exists():
        raise StorageError(f"{recipe.output} exists already. Delete it, or change `output` in the recipe.")
    need_packages()
    if recipe.stage == "start":
        from polyvec.training.starting import start

        if resume:
            raise InputError("Stage start has no checkpoints to resume. Run it again without --resume.")
        return start(recipe)
    return _trained(recipe, resume=resume, progress=progress)


def need_packages() -> None:
    """Check that what training needs is installed.

    Raises:
        MissingExtraError: It is not.
    """
    try:
        import datasets  # noqa: F401
        import langcodes  # noqa: F401
        import tensorboard  # noqa: F401
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            f"Training needs packages that are not installed ({error.name}): pip install 'polyvec[train]'."
        ) from error


def _trained(recipe: Recipe, *, resume: bool, progress: Progress | None) -> dict[str, Any]:
    import torch

    from polyvec.training import trainer
    from polyvec.training.card import write_card
    from polyvec.training.mixing import Mixture

    if not recipe.model.start:
        raise InputError(f"Stage {recipe.stage} needs model.start, the folder of a model. Stage start makes one.")
    torch.manual_seed(recipe.seed)
    output = Path(recipe.output)
    check_new_folder(output)
    if recipe.checkpoints.evaluate:  # read now, so that a wrong path does not end the run at its first checkpoint
        judged = load_dataset(recipe.checkpoints.evaluate)
        judged.check_judged(judged.documents())
    mixture = Mixture(recipe.data, recipe.batches, seed=recipe.seed, cache=output.with_name(output.name + ".cache"))
    result = trainer.run(recipe, _stage(recipe), mixture, resume=resume, progress=progress)
    if result:
        write_text(
            output / "training.json",
            json.dumps({**_earlier(recipe), recipe.stage: result}, indent=1, ensure_ascii=False) + "\n",
        )
        write_card(recipe, mixture, result, output)
    return result


def _stage(recipe: Recipe) -> Any:
    if recipe.stage == "mlm":
        from polyvec.training.mlm import MaskedLanguage

        return MaskedLanguage(recipe)
    if recipe.stage == "transfer":
        from polyvec.training.transfer import Transfer

        return Transfer(recipe)
    if recipe.stage == "shrink":
        from polyvec.training.shrink import Shrink

        return Shrink(recipe)
    if recipe.stage == "robust":
        from polyvec.training.robust import Robust

        return Robust(recipe)
    if recipe.stage == "distill":
        from polyvec.training.distill import Distill

        return Distill(recipe)
    from polyvec.training.pairs import Pairs

    return Pairs(recipe)


def _earlier(recipe: Recipe) -> dict[str, Any]:
    """What the model that this stage began with says of its own training."""
    path = Path(os.path.expanduser(recipe.model.start), "training.json")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found
