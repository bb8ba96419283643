"""polyvec train: a recipe -> a model."""

from __future__ import annotations

import os
from pathlib import Path

import click

from polyvec.cli.command import command
from polyvec.cli.options import COUNT, PATH, json_option
from polyvec.cli.render import console, line, print_done, print_json
from polyvec.cli.reports import counting


@command(
    examples=[
        "polyvec train recipes/pairs.toml",
        "polyvec train recipes/pairs.toml --resume",
    ]
)
@click.argument("recipe", metavar="RECIPE.toml", type=PATH)
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint of the same recipe.")
@click.option("--threads", type=COUNT, help="Threads to compute with. Default: all cores.")
@json_option
def train(recipe: Path, resume: bool, threads: int | None, as_json: bool) -> None:
    """Run one training stage as RECIPE.toml says.

    The stages: start, mlm, shrink, transfer, pairs, distill, robust. Interrupt it when you like: --resume goes on with the
    same batches. Several GPUs or processes: torchrun -m polyvec train RECIPE.toml.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    from polyvec.training.recipe import read_recipe
    from polyvec.training.stages import train as run

    settings = read_recipe(recipe)
    with counting("Training", "steps", settings.optimizer.steps) as bar:
        done = 0

        def progress(step: int, steps: int, values: dict[str, float]) -> None:
            nonlocal done
            bar(step - done)
            done = step
            shown = [f"{name} {values[name]:.4f}" for name in ("loss", "nDCG@10") if name in values]
            if shown and not as_json:
                console.print(line(("step ", "dim"), step, (" of ", "dim"), f"{steps}  {'  '.join(shown)}"))

        result = run(recipe, resume=resume, progress=progress)
    if not result:  # one of several processes, and not the one that writes
        return
    if as_json:
        print_json(result)
    else:
        print_done(f"{settings.output} is written.")
