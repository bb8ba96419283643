"""Stage pairs: questions and passages, or two sides of a translation -> a student that finds one from the other among the batch.

Symmetric in-batch contrast on MaxSim, summed over untied heads. Large batches go through gradient caching (Gao et al.,
2021): vectors
first without gradients, their gradients from the loss, then each part again with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from polyvec.training.losses import contrast_with_negatives, maxsim_all, over_heads, symmetric_contrast
from polyvec.training.mixing import Batch
from polyvec.training.recipe import Recipe
from polyvec.training.student import Student
from polyvec.training.trainer import Stage

if TYPE_CHECKING:
    from polyvec.encoder.tokens import Piece

Encoded = tuple[
    dict[int, Tensor], Tensor
]  # unit vectors by head size, (n, t, size), and the (n, t) mask of those that count


class Pairs(Stage):
    """The student and its contrastive loss.

    Raises:
        InputError: A model without heads.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        settings = recipe.model
        self._recipe = recipe
        self.student = Student(
            settings.start,
            tied=settings.tied,
            dropout=settings.dropout,
            query_length=settings.query_length,
            attend_to_mask=settings.attend_to_mask,
            bigrams=settings.bigrams,
        )
        self._weights = settings.head_weights or tuple(1.0 for _ in self.student.heads.sizes)

    def loss(self, batch: Batch) -> Tensor:
        """Contrast of the batch; every other translation is read from the other language's side.

        So a question of either language has negatives of both, and its own language is no sign of an answer.
        """
        queries, documents = self.tokenized(batch).pieces
        if "documents" in batch.rows[0]:
            return self._against_negatives(batch, self.encoded(queries), self.encoded(documents))
        small = self._recipe.batches.micro_rows
        if small and len(batch.rows) > small:
            return self._cached(queries, documents, small)
        return self._contrast(self.encoded(queries), self.encoded(documents))

    def tokenized(self, batch: Batch) -> Batch:
        """With the tokens of what asks, and of what is to be found."""
        if batch.pieces:
            return batch
        if "documents" in batch.rows[0]:
            return self._with_negatives(batch)
        names = ("query", "document") if "query" in batch.rows[0] else ("text", "en")
        sides = [(row[names[0]], row[names[1]]) for row in batch.rows]
        if names[0] == "text":
            sides = [side if (batch.number + i) % 2 else side[::-1] for i, side in enumerate(sides)]
        settings = self._recipe.batches
        queries = self.student.pieces([side[0] for side in sides], "query", settings.query_tokens)
        documents = self.student.pieces([side[1] for side in sides], "document", settings.document_tokens)
        return replace(batch, pieces=(queries, documents))

    def _with_negatives(self, batch: Batch) -> Batch:
        settings = self._recipe.batches
        texts = [text for row in batch.rows for text in self._found(row)]
        queries = self.student.pieces([row["query"] for row in batch.rows], "query", settings.query_tokens)
        return replace(batch, pieces=(queries, self.student.pieces(texts, "document", settings.document_tokens)))

    def _found(self, row: dict[str, Any]) -> list[str]:
        found: list[str] = row["documents"][: self._recipe.objective.candidates]
        return found

    def _against_negatives(self, batch: Batch, queries: Encoded, documents: Encoded) -> Tensor:
        """Contrast with the documents of all rows, those that look like answers among them."""
        candidates = [self._found(row) for row in batch.rows]
        texts = [text for found in candidates for text in found]
        ends = list(accumulate(map(len, candidates)))
        first = torch.tensor([0, *ends[:-1]], device=self.student.backbone.device)
        same = torch.tensor([[text == found[0] for text in texts] for found in candidates], device=first.device)
        objective = self._recipe.objective

        def one(size: int) -> Tensor:
            scores = maxsim_all(
                queries[0][size], queries[1], documents[0][size], documents[1], normalize=objective.normalize
            )
            return contrast_with_negatives(scores, first, same, objective.temperature)

        return over_heads(self.student.heads.sizes, self._weights, one)

    def encoded(self, pieces: Sequence[Piece]) -> Encoded:
        """Vectors of every head."""
        return self.student.vectors(pieces)

    def _contrast(self, queries: Encoded, documents: Encoded) -> Tensor:
        objective = self._recipe.objective

        def one(size: int) -> Tensor:
            scores = maxsim_all(
                queries[0][size], queries[1], documents[0][size], documents[1], normalize=objective.normalize
            )
            return symmetric_contrast(scores, objective.temperature)

        return over_heads(self.student.heads.sizes, self._weights, one)

    def _cached(self, queries: list[Piece], documents: list[Piece], small: int) -> Tensor:
        """The loss of the whole batch, whose gradients reach the weights a part at a time: memory is that of one part."""
        sides = [_parts(queries, small), _parts(documents, small)]
        chances: list[Tensor] = []  # dropout draws the same twice
        with torch.no_grad():
            first = [[self._drawing(part, chances) for part in side] for side in sides]
        torch.clear_autocast_cache()  # weights cast above carry no gradient
        leaves = [_joined(side) for side in first]
        flat = [vectors[size].requires_grad_() for vectors, _ in leaves for size in vectors]
        with torch.enable_grad():
            loss = self._contrast(*leaves)
        gradients = iter(torch.autograd.grad(loss, flat))
        wanted = [{size: next(gradients) for size in vectors} for vectors, _ in leaves]
        parts = [
            (part, {size: values[start : start + len(part)] for size, values in by_size.items()})
            for side, by_size in zip(sides, wanted, strict=True)
            for start, part in zip(range(0, len(queries), small), side, strict=True)
        ]
        for (part, by_size), chance in zip(parts[:-1], chances[:-1], strict=True):
            carried = self._carrying(part, by_size, chance) / self._recipe.optimizer.accumulate
            carried.backward()  # type: ignore[no-untyped-call]
        last = self._carrying(*parts[-1], chances[-1])
        return last - last.detach() + loss.detach()

    def _drawing(self, part: list[Piece], chances: list[Tensor]) -> Encoded:
        """Vectors, and the state of chance that they were made from."""
        chances.append(_chance(self.student.backbone.device))
        return self.encoded(part)

    def _carrying(self, part: list[Piece], gradients: dict[int, Tensor], chance: Tensor) -> Tensor:
        """A scalar whose gradient with respect to the weights is what these gradients of the vectors make of it."""
        device = self.student.backbone.device
        if device.type == "cuda":
            torch.cuda.set_rng_state(chance, device)
        else:
            torch.set_rng_state(chance)
        vectors, _ = self.encoded(part)
        return torch.stack(
            [(values * gradients[size][:, : values.shape[1]]).sum() for size, values in vectors.items()]
        ).sum()

    def save(self, folder: Path) -> None:
        """Write the student."""
        self.student.save(folder)


def _chance(device: torch.device) -> Tensor:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def _parts(pieces: list[Piece], size: int) -> list[list[Piece]]:
    return [pieces[start : start + size] for start in range(0, len(pieces), size)]


def _joined(parts: list[Encoded]) -> Encoded:
    """Parts of different lengths as one padded batch."""
    longest = max(kept.shape[1] for _, kept in parts)

    def padded(tensor: Tensor) -> Tensor:
        room = (0, 0) * (tensor.ndim - 2) + (0, longest - tensor.shape[1])
        return torch.nn.functional.pad(tensor, room)

    sizes = parts[0][0]
    vectors = {size: torch.cat([padded(part[0][size]) for part in parts]).detach() for size in sizes}
    return vectors, torch.cat([padded(kept) for _, kept in parts])
