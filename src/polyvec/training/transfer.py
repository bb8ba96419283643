"""Stage transfer: a frozen English teacher -> the student, token by token, through translations.

The teacher reads the English side, the student the other (or English itself). MaxSim in both directions finds which tokens
correspond; each text has to find its own translation among the batch, and its tokens are drawn to the teacher's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polyvec.encoder import Encoder
from polyvec.training.losses import maxsim_both, over_heads, symmetric_contrast
from polyvec.training.mixing import Batch
from polyvec.training.recipe import Recipe
from polyvec.training.starting import TEACHER
from polyvec.training.student import Student
from polyvec.training.trainer import Stage

_REMEMBERED = 1 << 31  # bytes of teacher vectors kept: the same English sentence comes in many languages


class Transfer(Stage):
    """The student and its teacher.

    Raises:
        InputError: A model without heads.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        settings = recipe.model
        self._recipe = recipe
        self.student = Student(settings.start, tied=settings.tied, dropout=settings.dropout)
        self._teacher = Encoder(settings.teacher or TEACHER, backend="torch")
        self._known: dict[str, Any] = {}
        self._bytes = 0
        sizes = self.student.heads.sizes
        self._weights = settings.head_weights or tuple(1.0 for _ in sizes)
        self._directions = self.student.heads.head(max(sizes)).weight.detach().clone().numpy()

    def loss(self, batch: Batch) -> Tensor:
        """Contrast between student and teacher, both ways, and nearness.

        Every other batch is read as queries, every eighth in English.
        """
        objective, batches = self._recipe.objective, self._recipe.batches
        side = "en" if batch.number % 8 == 0 else "text"
        role, longest = ("query", batches.query_tokens) if batch.number % 2 else ("document", batches.document_tokens)
        states, kept = self.student.hidden(self.student.pieces([row[side] for row in batch.rows], role, longest))
        targets, target_kept = self._targets([row["en"] for row in batch.rows], longest)
        mine = self.student.project(states)

        def one(size: int) -> Tensor:
            wanted = torch.nn.functional.normalize(targets[..., :size], dim=-1)
            there, back = maxsim_both(mine[size], kept, wanted, target_kept)
            near = 2 - there.diagonal().mean() - back.diagonal().mean()
            contrast = symmetric_contrast(there, objective.temperature) + symmetric_contrast(
                back, objective.temperature
            )
            return contrast / 2 + objective.nearness * near

        return over_heads(self.student.heads.sizes, self._weights, one)

    def _targets(self, texts: list[str], longest: int) -> tuple[Tensor, Tensor]:
        """(n, t, size) teacher vectors along the heads' first directions, and which of them count."""
        fresh = [text for text in dict.fromkeys(texts) if text not in self._known]
        found = {}
        here = self._teacher.model.device.type
        with torch.autocast(here, enabled=False):  # its own precision, whatever the student's
            encoded = self._teacher.encode_document(fresh) if fresh else []
        for text, vectors in zip(fresh, encoded, strict=True):
            found[text] = (vectors @ self._directions.T).astype(np.float16)
            if self._bytes < _REMEMBERED:
                self._known[text] = found[text]
                self._bytes += found[text].nbytes
        rows = [
            torch.from_numpy((found[text] if text in found else self._known[text])[:longest]).float() for text in texts
        ]
        padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        kept = torch.nn.utils.rnn.pad_sequence(
            [torch.ones(len(row), dtype=torch.bool) for row in rows], batch_first=True
        )
        device = self.student.backbone.device
        return padded.to(device), kept.to(device)

    def save(self, folder: Path) -> None:
        """Write the student."""
        self.student.save(folder)
