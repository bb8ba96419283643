"""A recipe -> a trained model folder: transformers' Trainer around our stages, with exact resume.

One step takes one batch of the mixture, or several where gradients are accumulated. Batches are numbered and depend on the seed
alone, so a resumed run sees what the uninterrupted one would have seen. A loss that is not finite stops the run and
names the batch.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from polyvec.encoder import Encoder
from polyvec.errors import InputError, PolyvecError, StorageError
from polyvec.evaluation.dataset import load_dataset
from polyvec.evaluation.evaluation import evaluate
from polyvec.training.mixing import Batch, Mixture
from polyvec.training.recipe import Data, Recipe

log = logging.getLogger(__name__)


class TrainingError(PolyvecError):
    """Training cannot go on; the last good checkpoint is kept."""


class Stage(nn.Module):
    """What a stage has to say: a loss for a batch, and how to save."""

    def tokenized(self, batch: Batch) -> Batch:
        """The batch with the tokens of its texts: all that can be done without the weights, by another process if need be."""
        return batch

    def loss(self, batch: Batch) -> Tensor:
        """The scalar to minimize."""
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        """Write the model."""
        raise NotImplementedError

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """What transformers' Trainer calls."""
        return {"loss": self.loss(batch)}


class _Stream(IterableDataset):  # type: ignore[type-arg]
    """Batches from a number on, with their tokens; each training process and each of its workers takes its turn."""

    def __init__(self, stage: Stage, mixture: Mixture, start: int, rank: int, world: int) -> None:
        self._stage, self._mixture, self._start, self._rank, self._world = stage, mixture, start, rank, world

    def __iter__(self) -> Iterator[Batch | PolyvecError]:
        worker = get_worker_info()
        turn, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        first = self._start + self._rank + turn * self._world
        return map(self._read, self._mixture.batches(first, self._world * workers))

    def _read(self, batch: Batch) -> Batch | PolyvecError:
        """The batch, or what is wrong with it: raised in another process, an error would lose its one line."""
        try:
            return self._stage.tokenized(batch)
        except PolyvecError as error:
            return error


def _alone(worker: int) -> None:
    """A worker tokenizes on its one thread: those of the process it was forked from did not come along."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(1)


class _Trainer(Trainer):  # type: ignore[misc]  # transformers has no types
    """transformers' Trainer, fed by a mixture."""

    def __init__(
        self, recipe: Recipe, stage: Stage, mixture: Mixture, arguments: TrainingArguments, **kwargs: Any
    ) -> None:
        super().__init__(model=stage, args=arguments, train_dataset=_Stream(stage, mixture, 0, 0, 1), **kwargs)
        self._recipe, self._stage, self._mixture = recipe, stage, mixture
        self.first_step = 0

    def get_train_dataloader(self) -> DataLoader[Batch]:
        start = self.first_step * self._recipe.optimizer.accumulate * self.args.world_size
        stream = _Stream(self._stage, self._mixture, start, self.args.process_index, self.args.world_size)
        return DataLoader(stream, batch_size=None, num_workers=self._recipe.batches.workers, worker_init_fn=_alone)

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> tuple[list[Batch], None]:
        found = [next(epoch_iterator) for _ in range(num_batches)]
        for one in found:
            if isinstance(one, PolyvecError):
                raise one
        return found, None

    def floating_point_ops(self, inputs: Any) -> int:
        return 0

    def _prepare_inputs(self, inputs: Any) -> Any:
        return inputs

    def compute_loss(self, model: Any, inputs: Batch, return_outputs: bool = False, **kwargs: Any) -> Any:
        half = self._recipe.optimizer.precision == "bf16"
        with torch.autocast(self.args.device.type, dtype=torch.bfloat16, enabled=half):
            loss = model(inputs)["loss"]
        if not torch.isfinite(loss):
            raise TrainingError(self._not_finite(f"The loss of {_named(inputs)} is {float(loss.detach())}"))
        return (loss, {"loss": loss}) if return_outputs else loss

    def training_step(self, model: Any, inputs: Batch, *args: Any, **kwargs: Any) -> Tensor:
        torch.manual_seed(
            self._recipe.seed * 1_000_003 + inputs.number
        )  # dropout depends on the batch alone, as on resume
        try:
            loss: Tensor = super().training_step(model, inputs, *args, **kwargs)
        except (RuntimeError, MemoryError) as error:
            if "deterministic" in str(error):
                raise TrainingError(f"{str(error).splitlines()[0]} Set optimizer.deterministic = false.") from error
            if not isinstance(error, MemoryError) and "memory" not in str(error).lower():
                raise
            raise TrainingError(
                f"{_named(inputs)} ({len(inputs.rows)} rows) does not fit into memory. Lower batches.tokens or "
                "batches.rows, set batches.micro_rows, or raise optimizer.accumulate in its place."
            ) from error
        sums = [parameter.grad.sum() for parameter in self.model.parameters() if parameter.grad is not None]
        if sums and not torch.isfinite(torch.stack(sums)).all():  # before it reaches a weight, and a checkpoint
            raise TrainingError(self._not_finite(f"A gradient of {_named(inputs)} is not finite"))
        return loss

    def _not_finite(self, what: str) -> str:
        return (
            f"{what}. The last good checkpoint is kept in {self.args.output_dir}; lower optimizer.rate and run again "
            "with --resume."
        )

    def create_optimizer(self, *args: Any, **kwargs: Any) -> Any:
        settings = self._recipe.optimizer
        groups: dict[tuple[str, float], list[nn.Parameter]] = {}
        rates = {
            "table": settings.embedding_rate or settings.rate,
            "heads": settings.head_rate or settings.rate,
            "other": settings.rate,
        }
        for name, parameter in self.model.named_parameters():
            if not parameter.requires_grad:
                continue
            part = "table" if _is_table(name) else "heads" if ".heads." in name else "other"
            decay = settings.decay if parameter.ndim > 1 and "embed" not in name else 0.0
            groups.setdefault((part, decay), []).append(parameter)
        listed = [
            {"params": members, "lr": rates[part], "weight_decay": decay} for (part, decay), members in groups.items()
        ]
        self.optimizer = torch.optim.AdamW(listed, lr=settings.rate, betas=(0.9, 0.98), eps=1e-6, fused=True)
        return self.optimizer

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """The optimizer as it was, at the rates that the recipe gives now."""
        wanted = [group["initial_lr"] for group in self.optimizer.param_groups] if checkpoint else []
        super()._load_optimizer_and_scheduler(checkpoint)
        if not checkpoint:
            return
        inner: Any = getattr(self.lr_scheduler, "scheduler", self.lr_scheduler)
        inner.base_lrs = wanted
        for group, rate, course in zip(self.optimizer.param_groups, wanted, inner.lr_lambdas, strict=True):
            group["initial_lr"], group["lr"] = rate, rate * course(inner.last_epoch)
        inner._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)
        if not self.args.should_save:  # another process writes
            return
        Path(output_dir or self.args.output_dir, "recipe.json").write_text(_fingerprint(self._recipe), encoding="utf-8")


class _Report(TrainerCallback):  # type: ignore[misc]
    """Evaluation at each checkpoint, and what a person wants to see."""

    def __init__(self, recipe: Recipe, stage: Stage, progress: Any) -> None:
        self._recipe, self._stage, self._progress = recipe, stage, progress

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if self._progress is not None and logs and state.is_world_process_zero:
            self._progress(state.global_step, state.max_steps, {k: v for k, v in logs.items() if isinstance(v, float)})

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        folder = self._recipe.checkpoints.evaluate
        if not folder or not state.is_world_process_zero:
            return
        self._stage.eval()
        with tempfile.TemporaryDirectory() as now:  # measured as it will be used
            self._stage.save(Path(now, "model"))
            result = evaluate(load_dataset(folder), encoder=Encoder(Path(now, "model")))
        self._stage.train()
        value = result.measures["nDCG@10"]
        log.info("step %d: nDCG@10 %.4f", state.global_step, value)
        state.log_history.append({"step": state.global_step, "nDCG@10": value})
        if self._progress is not None:
            self._progress(state.global_step, state.max_steps, {"nDCG@10": value})


def run(recipe: Recipe, stage: Stage, mixture: Mixture, *, resume: bool, progress: Any = None) -> dict[str, Any]:
    """Train, save into recipe.output, and return what happened.

    Args:
        progress: Called with (step, steps, values).
        resume: Go on from the last checkpoint of the same recipe.

    Raises:
        TrainingError: The loss is not finite or memory runs out.
        InputError: A checkpoint of another recipe.
        StorageError: The output exists.
    """
    output = Path(recipe.output)
    work = output.with_name(output.name + ".training")
    if output.exists():
        raise StorageError(f"{output} exists already. Delete it, or change `output` in the recipe.")
    checkpoint = _last_checkpoint(work)
    if checkpoint is None and resume:
        raise InputError(f"There is no checkpoint in {work} to resume. Run without --resume to begin.")
    if checkpoint is not None and not resume:
        raise StorageError(f"{work} holds checkpoints of an earlier run. Add --resume to go on, or delete it.")
    if checkpoint is not None:
        _same_recipe(checkpoint, recipe)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when a GPU is first used; see _on_gpu
    if recipe.optimizer.frozen_table:
        for name, parameter in stage.named_parameters():
            if _is_table(name):
                parameter.requires_grad_(False)
    trainer = _Trainer(recipe, stage, mixture, _arguments(recipe, work), callbacks=[_Report(recipe, stage, progress)])
    trainer.remove_callback(PrinterCallback)  # only the command prints
    if checkpoint is not None:
        trainer.first_step = _step(checkpoint)
    began = time.monotonic()
    stage.train()
    with _on_gpu(recipe.optimizer.deterministic):
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
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


@contextmanager
def _on_gpu(deterministic: bool) -> Iterator[None]:
    """Settings of a GPU for the time of a run; elsewhere nothing.

    cuDNN's attention plans every new shape, and nearly every batch has one: on an H200 a step of 30,000 tokens took 1.2 s, not .12.
    deterministic: sums are taken in an order of their own; by default it is any, and so the last digit of a loss.
    """
    if not torch.cuda.is_available():
        yield
        return
    planned = torch.backends.cuda.cudnn_sdp_enabled()  # type: ignore[no-untyped-call]
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    torch.backends.cuda.enable_cudnn_sdp(False)
    if deterministic:
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch.backends.cuda.enable_cudnn_sdp(planned)
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]


def _arguments(recipe: Recipe, work: Path) -> TrainingArguments:
    settings, kept = recipe.optimizer, recipe.checkpoints
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


def _is_table(name: str) -> bool:
    """Whether a parameter is the vocabulary's table."""
    return "word_embeddings" in name or "embed_tokens" in name


def _named(batch: Batch) -> str:
    return f"batch {batch.number} of {batch.source}"


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rsplit("-", 1)[1])


def _last_checkpoint(work: Path) -> Path | None:
    """The newest checkpoint that was written to its end: its state comes last."""
    for folder in sorted(work.glob("checkpoint-*"), key=_step, reverse=True):
        try:
            json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            log.warning("%s was interrupted while it was written; it is passed over.", folder)
            continue
        return folder
    return None


def _fingerprint(recipe: Recipe) -> str:
    """What a checkpoint remembers of its recipe; how often to save or log may change."""
    values = asdict(recipe)
    del values["checkpoints"], values["output"]
    return json.dumps(values, sort_keys=True)


def _same_recipe(checkpoint: Path, recipe: Recipe) -> None:
    """Everything but the rates and the number of steps, which may be lowered on the way."""
    path = checkpoint / "recipe.json"
    before = _given(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
    now = _given(json.loads(_fingerprint(recipe)))
    if before != now:
        raise InputError(
            f"{checkpoint} was written by another recipe. Restore that recipe, or delete {checkpoint.parent} and begin anew."
        )


def _given(values: dict[str, Any]) -> dict[str, Any]:
    """What a recipe says beyond the defaults, but for rates, steps and workers: a later version may know more keys."""
    plain = json.loads(_fingerprint(Recipe(stage="pairs", output="")))
    usual = {field.name: field.default for field in fields(Data)}
    found = {
        name: {key: value for key, value in table.items() if value != plain[name].get(key)}
        for name, table in values.items()
        if isinstance(table, dict)
    }
    for name in ("rate", "embedding_rate", "head_rate", "steps"):
        found["optimizer"].pop(name, None)
    found["batches"].pop("workers", None)
    files = [{key: value for key, value in one.items() if value not in ([], usual.get(key))} for one in values["data"]]
    return {**found, "stage": values["stage"], "seed": values["seed"], "data": files}
