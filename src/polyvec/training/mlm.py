"""Stage mlm: text in many languages -> a backbone that has read it: masked language modeling with whole words masked.

A word is what lies between spaces; in scripts without them, a stretch of a few pieces. Output weights are the vocabulary's own
table, as in BERT. Sequences grow over the run, up to the model's limit.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from polyvec.training.mixing import Batch
from polyvec.training.recipe import Recipe
from polyvec.training.student import Student
from polyvec.training.trainer import Stage

_LONGEST_WORD = 4  # pieces masked as one word, at most: a stretch of a script without spaces
_KEPT, _RANDOM = 0.1, 0.1  # shares of masked tokens that stay as they are, or become another (Devlin et al., 2019)


class MaskedLanguage(Stage):
    """The student's backbone and a bias a piece."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self._recipe = recipe
        self.student = Student(recipe.model.start, dropout=recipe.model.dropout)
        table = self.student.backbone.get_input_embeddings().weight
        inner = nn.Linear(table.shape[1], table.shape[1])
        self.transform = nn.Sequential(inner, nn.GELU(), nn.LayerNorm(table.shape[1]))
        self.bias = nn.Parameter(torch.zeros(len(table)))
        with torch.no_grad():
            inner.weight.copy_(torch.eye(table.shape[1]))
            inner.bias.zero_()
        self._mask = int(self.student.encoder.model.tokenizer.mask_token_id)
        pieces = self.student.encoder.model.tokenizer.convert_ids_to_tokens(list(range(len(table))))
        self._starts_word = np.array([piece.startswith("▁") for piece in pieces])
        self._first_piece = 256 + 7  # behind special tokens and bytes: what a random replacement is drawn from

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy of the masked tokens."""
        longest = self._length(batch.number)
        texts = [_text(row) for row in batch.rows]
        generator = np.random.default_rng([self._recipe.seed, batch.number])
        pieces = self.student.pieces(texts, "document", longest)
        limit = max(len(piece) for piece in pieces)
        ids = np.full((len(pieces), limit), self.student.encoder.model.tokenizer.pad_token_id, np.int64)
        attended = np.zeros((len(pieces), limit), np.int64)
        wanted = np.full((len(pieces), limit), -100, np.int64)
        for i, piece in enumerate(pieces):
            real = piece.ids
            chosen = self.masked(real, generator)
            ids[i, : len(real)], attended[i, : len(real)] = self._corrupted(real, chosen, generator), 1
            wanted[i, chosen] = real[chosen]
        device = self.student.backbone.device
        states = self.student.backbone(
            input_ids=torch.from_numpy(ids).to(device), attention_mask=torch.from_numpy(attended).to(device)
        ).last_hidden_state
        targets = torch.from_numpy(wanted).to(device)
        where = targets >= 0
        table = self.student.backbone.get_input_embeddings().weight
        logits = self.transform(states[where]) @ table.T + self.bias
        return nn.functional.cross_entropy(logits, targets[where])

    def masked(self, ids: npt.NDArray[np.int64], generator: np.random.Generator) -> npt.NDArray[np.int64]:
        """Places of the tokens of masked words; at least one where the text has any."""
        inner = np.arange(2, len(ids) - 1)  # between `<s> marker` and `</s>`
        words: list[list[int]] = []
        for place in inner.tolist():
            if not words or self._starts_word[ids[place]] or len(words[-1]) == _LONGEST_WORD:
                words.append([])
            words[-1].append(place)
        if not words:
            return np.zeros(0, np.int64)
        count = max(1, round(self._recipe.objective.masked * len(words)))
        places: npt.NDArray[np.int64] = np.array(
            sorted(p for i in generator.permutation(len(words))[:count] for p in words[i]), np.int64
        )
        return places

    def _corrupted(
        self, ids: npt.NDArray[np.int64], chosen: npt.NDArray[np.int64], generator: np.random.Generator
    ) -> npt.NDArray[np.int64]:
        out, draw = ids.copy(), generator.random(len(chosen))
        others = generator.integers(self._first_piece, len(self._starts_word), len(chosen))
        replaced: npt.NDArray[np.int64] = out
        replaced[chosen] = np.where(draw < _KEPT, ids[chosen], np.where(draw < _KEPT + _RANDOM, others, self._mask))
        return replaced

    def _length(self, number: int) -> int:
        lengths = self._recipe.objective.lengths
        settings, processes = self._recipe.optimizer, int(os.environ.get("WORLD_SIZE", "1"))  # as torchrun sets it
        total = max(settings.steps * settings.accumulate * processes, 1)
        return lengths[min(number * len(lengths) // total, len(lengths) - 1)]

    def save(self, folder: Path) -> None:
        """Write the student; what only the masked words needed is dropped."""
        self.student.save(folder)


def _text(row: dict[str, Any]) -> str:
    return str(row.get("text") or row.get("document"))
