"""Stage distill: questions with scored candidates -> a student that ranks them as the teacher does (KL divergence of
the two distributions).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from polyvec.errors import InputError
from polyvec.training.losses import distillation, maxsim_all, over_heads, symmetric_contrast
from polyvec.training.mixing import Batch
from polyvec.training.pairs import Pairs


class Distill(Pairs):
    """The student and its candidates."""

    def loss(self, batch: Batch) -> Tensor:
        """KL to the teacher's scores, and contrast with the other queries' first documents where the recipe says so."""
        objective = self._recipe.objective
        count = self._candidates(batch)
        teacher = torch.tensor([row["scores"][:count] for row in batch.rows], dtype=torch.float32)
        queries, documents = map(self.encoded, self.tokenized(batch).pieces)
        own = torch.arange(len(batch.rows) * count).view(len(batch.rows), count)

        def one(size: int) -> Tensor:
            scores = maxsim_all(
                queries[0][size], queries[1], documents[0][size], documents[1], normalize=objective.normalize
            )
            mine = scores.gather(1, own.to(scores.device))
            total = distillation(mine, teacher.to(scores.device), objective.temperature, objective.teacher_temperature)
            if objective.in_batch:
                total = total + objective.in_batch * symmetric_contrast(scores[:, ::count], objective.temperature)
            return total

        return over_heads(self.student.heads.sizes, self._weights, one)

    def tokenized(self, batch: Batch) -> Batch:
        """With the tokens of the queries, and of each one's candidates in turn."""
        if batch.pieces:
            return batch
        settings, count = self._recipe.batches, self._candidates(batch)
        texts = [text for row in batch.rows for text in row["documents"][:count]]
        queries = self.student.pieces([row["query"] for row in batch.rows], "query", settings.query_tokens)
        return replace(batch, pieces=(queries, self.student.pieces(texts, "document", settings.document_tokens)))

    def _candidates(self, batch: Batch) -> int:
        count = min(self._recipe.objective.candidates, *(len(row["documents"]) for row in batch.rows))
        if count < 2:
            raise InputError(f"Batch {batch.number} of {batch.source} has a query with fewer than 2 candidates.")
        return count
