"""A recipe -> a trained model folder: transformers' Trainer around our stages, with exact resume.

One step takes one batch of the mixture, or several where gradients are accumulated. Batches are numbered and depend on the seed
alone, so a resumed run sees what the uninterrupted one would have seen. A loss that is not finite stops the run and
names the batch.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from polyvec.errors import InputError, PolyvecError, StorageError
from polyvec.training.mixing import Batch, Mixture
from polyvec.training.recipe import Recipe

log = logging.getLogger(__name__)


class TrainingError(PolyvecError):
    """Training cannot go on; the last good checkpoint is kept."""


class Stage(nn.Module):
    """What a stage has to say: a loss for a batch, how to save, and what to evaluate."""

    def loss(self, batch: Batch) -> Tensor:
        """The scalar to minimise."""
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        """Write the model."""
        raise NotImplementedError

    def encoder(self) -> Any:
        """A polyvec.Encoder on the live weights, or None for a stage without one."""
        return None

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """What transformers' Trainer calls."""
        return {"loss": self.loss(batch)}


class _Stream(IterableDataset):  # type: ignore[type-arg]
    """Batches from a number on; with several processes each takes its turn."""

    def __init__(self, mixture: Mixture, start: int, rank: int, world: int) -> None:
        self._mixture, self._start, self._rank, self._world = mixture, start, rank, world

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._mixture.batches(self._start):
            if batch.number % self._world == self._rank:
                yield batch


class _Trainer(Trainer):  # type: ignore[misc]  # transformers has no types
    """transformers' Trainer, fed by a mixture."""

    def __init__(
        self, recipe: Recipe, stage: Stage, mixture: Mixture, arguments: TrainingArguments, **kwargs: Any
    ) -> None:
        super().__init__(model=stage, args=arguments, train_dataset=_Stream(mixture, 0, 0, 1), **kwargs)
        self._recipe, self._mixture = recipe, mixture
        self.first_step = 0

    def get_train_dataloader(self) -> DataLoader[Batch]:
        start = self.first_step * self._recipe.optimiser.accumulate * self.args.world_size
        stream = _Stream(self._mixture, start, self.args.process_index, self.args.world_size)
        return DataLoader(stream, batch_size=None)

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> tuple[list[Batch], None]:
        return [next(epoch_iterator) for _ in range(num_batches)], None

    def floating_point_ops(self, inputs: Any) -> int:
        return 0

    def _prepare_inputs(self, inputs: Any) -> Any:
        return inputs

    def compute_loss(self, model: Any, inputs: Batch, return_outputs: bool = False, **kwargs: Any) -> Any:
        half = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[self._recipe.optimiser.precision]
        with torch.autocast(self.args.device.type, dtype=half, enabled=half is not torch.float32):
            try:
                loss = model(inputs)["loss"]
            except RuntimeError as error:
                if "memory" not in str(error).lower():
                    raise
                raise TrainingError(
                    f"Batch {inputs.number} of {inputs.source} ({len(inputs.rows)} rows) does not fit into "
                    f"memory. Lower batches.tokens "
                    "or batches.rows, set batches.micro_rows, or raise optimiser.accumulate in its place."
                ) from error
        if not torch.isfinite(loss):
            raise TrainingError(
                f"The loss of batch {inputs.number} ({inputs.source}) is {float(loss.detach())}. The last "
                f"good checkpoint is kept in "
                f"{self.args.output_dir}; lower optimiser.rate and run again with --resume."
            )
        return (loss, {"loss": loss}) if return_outputs else loss

    def create_optimizer(self, *args: Any, **kwargs: Any) -> Any:
        settings = self._recipe.optimiser
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in self.model.named_parameters():
            if not parameter.requires_grad:
                continue
            rate = settings.rate
            if "word_embeddings" in name or "embed_tokens" in name:
                rate = settings.embedding_rate or rate
            elif ".heads." in name:
                rate = settings.head_rate or rate
            decay = settings.decay if parameter.ndim > 1 and "embed" not in name else 0.0
            groups.setdefault((rate, decay), []).append(parameter)
        listed = [{"params": members, "lr": rate, "weight_decay": decay} for (rate, decay), members in groups.items()]
        self.optimizer = torch.optim.AdamW(listed, lr=settings.rate, betas=(0.9, 0.98), eps=1e-6, fused=True)
        return self.optimizer

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)
        Path(output_dir or self.args.output_dir, "recipe.json").write_text(_fingerprint(self._recipe), encoding="utf-8")


class _Report(TrainerCallback):  # type: ignore[misc]
    """Evaluation at each checkpoint, and what a person wants to see."""

    def __init__(self, recipe: Recipe, stage: Stage, told: Any) -> None:
        self._recipe, self._stage, self._told = recipe, stage, told

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if self._told is not None and logs:
            self._told(state.global_step, state.max_steps, {k: v for k, v in logs.items() if isinstance(v, float)})

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        folder = self._recipe.checkpoints.evaluate
        if not folder or not state.is_world_process_zero:
            return
        encoder = self._stage.encoder()
        if encoder is None:
            return
        from polyvec.evaluation.dataset import load_dataset
        from polyvec.evaluation.evaluation import evaluate

        self._stage.eval()
        result = evaluate(load_dataset(folder), encoder=encoder)
        self._stage.train()
        value = result.measures["nDCG@10"]
        log.info("step %d: nDCG@10 %.4f", state.global_step, value)
        state.log_history.append({"step": state.global_step, "nDCG@10": value})
        if self._told is not None:
            self._told(state.global_step, state.max_steps, {"nDCG@10": value})


def run(recipe: Recipe, stage: Stage, mixture: Mixture, *, resume: bool, told: Any = None) -> dict[str, Any]:
    """Train, save into recipe.output, and return what happened.

    told: called with (step, steps, values) · resume: go on from the last checkpoint of the same recipe.
    Raises TrainingError where the loss is not finite or memory runs out, InputError for a checkpoint of another recipe,
    StorageError where the output exists.
    """
    output = Path(recipe.output)
    work = output.with_name(output.name + ".training")
    if output.exists():
        raise StorageError(f"{output} exists already. Delete it, or change `output` in the recipe.")
    checkpoint = get_last_checkpoint(str(work)) if work.is_dir() else None
    if checkpoint is None and resume:
        raise InputError(f"There is no checkpoint in {work} to resume. Run without --resume to begin.")
    if checkpoint is not None and not resume:
        raise StorageError(f"{work} holds checkpoints of an earlier run. Add --resume to go on, or delete it.")
    if checkpoint is not None:
        _same_recipe(Path(checkpoint), recipe)
    trainer = _Trainer(recipe, stage, mixture, _arguments(recipe, work), callbacks=[_Report(recipe, stage, told)])
    if checkpoint is not None:
        trainer.first_step = int(Path(checkpoint).name.rsplit("-", 1)[1])
    began = time.monotonic()
    stage.train()
    trainer.train(resume_from_checkpoint=checkpoint)
    if not trainer.is_world_process_zero():
        return {}
    stage.eval()
    stage.save(output)
    history = [entry for entry in trainer.state.log_history if "loss" in entry or "nDCG@10" in entry]
    result = {
        "recipe": asdict(recipe),
        "steps": trainer.state.global_step,
        "seconds": round(time.monotonic() - began, 1),
        "history": history,
    }
    shutil.rmtree(work)
    return result


def _arguments(recipe: Recipe, work: Path) -> TrainingArguments:
    settings, kept = recipe.optimiser, recipe.checkpoints
    return TrainingArguments(
        output_dir=str(work),
        max_steps=settings.steps,
        learning_rate=settings.rate,
        warmup_steps=int(settings.warmup * settings.steps),
        lr_scheduler_type="linear",
        gradient_accumulation_steps=settings.accumulate,
        max_grad_norm=settings.clip,
        per_device_train_batch_size=1,
        save_strategy="steps",
        save_steps=kept.every,
        save_total_limit=max(kept.keep, 1),
        logging_steps=kept.log_every,
        report_to=["tensorboard"],
        remove_unused_columns=False,
        ignore_data_skip=True,
        seed=recipe.seed,
        use_cpu=not torch.cuda.is_available(),
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )


def _fingerprint(recipe: Recipe) -> str:
    """What must be the same on resume; how often to save or log may change."""
    values = asdict(recipe)
    del values["checkpoints"], values["output"]
    return json.dumps(values, sort_keys=True)


def _same_recipe(checkpoint: Path, recipe: Recipe) -> None:
    path = checkpoint / "recipe.json"
    if not path.is_file() or path.read_text(encoding="utf-8") != _fingerprint(recipe):
        raise InputError(
            f"{checkpoint} was written by another recipe. Restore that recipe, or delete {checkpoint.parent} and begin anew."
        )
