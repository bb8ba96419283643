"""Stage robust: texts as people type them -> the vectors that the model gave for the same texts written properly.

The teacher is the model itself before the stage, and never changes. A token of the changed text is drawn to the vectors of the
tokens that stood where its characters come from, for every head. It needs no questions, passages or labels; texts that are left
as they are hold the model where it was.

Beside that, with `perturbations.ranked`, questions as they are typed shall find their passages, and these in every language that
the batch has: each version of a passage has to stand before the wrong passages of all languages, the question's own among them.
Some of the passages keep the teacher's vectors (`perturbations.fresh`), which costs less and holds the others near to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from polyvec.data.perturbations import PERTURBATIONS, Perturbation, Perturbed, perturbed, then
from polyvec.errors import InputError
from polyvec.training.losses import contrast_with_versions, maxsim_all, over_heads
from polyvec.training.mixing import Batch
from polyvec.training.recipe import Recipe
from polyvec.training.student import Student
from polyvec.training.trainer import Stage

if TYPE_CHECKING:
    from polyvec.encoder.tokens import Piece

_MARKED = 2  # `<s> marker` stand before a text's own tokens


class Robust(Stage):
    """The student, and the model that it was.

    Raises:
        InputError: No perturbation has a weight, or the two models do not have the same heads.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        settings = recipe.model
        self._recipe = recipe
        self.student = Student(settings.start, dropout=settings.dropout, fold_capitals=settings.fold_capitals)
        teacher = Student(settings.teacher or settings.start).eval().requires_grad_(False)
        if teacher.heads.sizes != self.student.heads.sizes:
            raise InputError(f"model.teacher has heads of {teacher.heads.sizes}. Expected {self.student.heads.sizes}.")
        self._teacher = [teacher]  # no part of what is trained and saved
        self._weights = settings.head_weights or tuple(1.0 for _ in self.student.heads.sizes)
        chosen = asdict(recipe.perturbations)
        self._kinds: dict[Perturbation, float] = {kind: chosen[kind] for kind in PERTURBATIONS if chosen[kind] > 0}
        if not self._kinds:
            raise InputError("Every weight of [perturbations] is 0. Expected at least one above 0, such as upper = 1.")

    def loss(self, batch: Batch) -> Tensor:
        """The mean over tokens and heads of 1 - cosine between a changed text's vectors and those of the text."""
        mine, theirs = self.tokenized(batch).pieces
        if self._is_ranked(batch):
            return self._ranked(batch, mine, theirs)
        teacher = self._teacher[0].to(self.student.backbone.device)
        states, kept = self.student.hidden(mine)
        found = self.student.project(states)
        with torch.no_grad():
            given, _ = teacher.hidden(theirs)
            wanted = teacher.project(given)
        shares = torch.from_numpy(_shares(mine, theirs)).to(states.device)
        counted = kept & (shares.sum(2) > 0)
        total = shares.new_zeros(())
        for size, weight in zip(self.student.heads.sizes, self._weights, strict=True):
            target = torch.nn.functional.normalize(shares @ wanted[size].float(), dim=-1)
            near = (found[size].float() * target).sum(-1)[counted]
            total = total + weight * (1 - near).mean()
        return total / sum(self._weights)

    def _is_ranked(self, batch: Batch) -> bool:
        """Whether a batch asks for passages; its number and kind decide."""
        chance = Random(f"{self._recipe.seed}/{batch.number}/ranked")
        return "query" in batch.rows[0] and chance.random() < self._recipe.perturbations.ranked

    def _ranked(self, batch: Batch, queries: Sequence[Piece], documents: Sequence[Piece]) -> Tensor:
        """The mean over heads of what it costs that questions, as they are typed, find wrong passages before their own."""
        chance = Random(f"{self._recipe.seed}/{batch.number}/fresh")
        share = self._recipe.perturbations.fresh
        fresh = [chance.random() < share for _ in documents]
        order = [i for i, mine in enumerate(fresh) if mine] + [i for i, mine in enumerate(fresh) if not mine]
        first = sum(fresh)
        asked, asker = self.student.vectors(queries)
        given = []  # vectors and what counts, of the student's passages and of the teacher's
        if first:
            given.append(self.student.vectors([documents[i] for i in order[:first]]))
        if first < len(documents):
            with torch.no_grad():
                teacher = self._teacher[0].to(self.student.backbone.device)
                given.append(teacher.vectors([documents[i] for i in order[first:]]))
        asking = torch.tensor([i for i, row in enumerate(batch.rows) for _ in row.get("queries", (0,))])
        answering = torch.tensor([i for i, row in enumerate(batch.rows) for _ in row.get("documents", (0,))])
        own = (asking[:, None] == answering[order][None, :]).to(asker.device)
        objective = self._recipe.objective

        def one(size: int) -> Tensor:
            scores = [
                maxsim_all(asked[size], asker, vectors[size], kept, normalize=objective.normalize)
                for vectors, kept in given
            ]
            return contrast_with_versions(torch.cat(scores, dim=1), own, objective.temperature)

        return over_heads(self.student.heads.sizes, self._weights, one) / sum(self._weights)

    def tokenized(self, batch: Batch) -> Batch:
        """With the tokens of the changed texts, whose offsets are places in the proper texts, and the tokens of these.

        Where questions shall find passages: with the tokens of the questions as typed, and of the passages.
        """
        if batch.pieces:
            return batch
        settings = self._recipe.batches
        chance = Random(f"{self._recipe.seed}/{batch.number}/typed")
        if self._is_ranked(batch):
            pairs = [
                (query, code)
                for row in batch.rows
                for query, code in zip(row.get("queries", [row["query"]]), row.get("codes", [row["lang"]]), strict=True)
            ]
            typed = [self._changed(query, lang, chance).text for query, lang in pairs]
            passages = [text for row in batch.rows for text in row.get("documents", [row["document"]])]
            queries = self.student.pieces(typed, "query", settings.query_tokens)
            return replace(batch, pieces=(queries, self.student.pieces(passages, "document", settings.document_tokens)))
        role = "document" if chance.random() < self._recipe.perturbations.documents else "query"
        longest = settings.query_tokens if role == "query" else settings.document_tokens
        texts = [_read(row, role, chance) for row in batch.rows]
        theirs = self.student.pieces([text for text, _ in texts], role, longest)
        seen = [text[: _end(piece)] for (text, _), piece in zip(texts, theirs, strict=True)]  # both read as much
        changed = [self._changed(text, lang, chance) for text, (_, lang) in zip(seen, texts, strict=True)]
        mine = self.student.pieces([one.text for one in changed], role, 2 * longest)
        placed = [replace(piece, offsets=_in_origin(piece, one)) for piece, one in zip(mine, changed, strict=True)]
        return replace(batch, pieces=(placed, theirs))

    def _changed(self, text: str, lang: str, chance: Random) -> Perturbed:
        """A text as somebody types it; now and then as it is."""
        settings = self._recipe.perturbations
        now = Perturbed(text, tuple(range(len(text))))
        if chance.random() < settings.proper:
            return now
        for _ in range(2 if chance.random() < settings.twice else 1):
            (kind,) = chance.choices([*self._kinds], [*self._kinds.values()])
            now = then(now, perturbed(now.text, kind, lang=lang, chance=chance))
        return now

    def save(self, folder: Path) -> None:
        """Write the student."""
        self.student.save(folder)


def _read(row: dict[str, Any], role: str, chance: Random) -> tuple[str, str]:
    """A text of a row and its language: the question as a query, the passage as a document, of translations either side."""
    if "query" in row:
        return str(row["query" if role == "query" else "document"]), str(row["lang"])
    if "en" in row and chance.random() < 0.1:
        return str(row["en"]), "en"
    return str(row["text"]), str(row["lang"])


def _end(piece: Piece) -> int:
    """Where the part of a text ends that a sequence holds."""
    return int(piece.offsets[:, 1].max())


def _in_origin(piece: Piece, changed: Perturbed) -> npt.NDArray[np.int32]:
    """(t, 2) spans of the proper text that a changed text's tokens stand for; (0, 0) for special tokens."""
    spans = np.zeros((len(piece), 2), dtype=np.int32)
    for i, (start, end) in enumerate(piece.offsets):
        places = changed.origins[start:end]
        if places:
            spans[i] = min(places), max(places) + 1
    return spans


def _shares(mine: Sequence[Piece], theirs: Sequence[Piece]) -> npt.NDArray[np.float32]:
    """(n, s, t): how much of each token of a changed text lies in each token of the proper one; special tokens in their own.

    A token that stands at its place unchanged lies in itself alone, though several share a character (bytes do).
    """
    found = np.zeros((len(mine), max(map(len, mine)), max(map(len, theirs))), dtype=np.float32)
    for number, (changed, proper) in enumerate(zip(mine, theirs, strict=True)):
        first = np.maximum(changed.offsets[:, None, 0], proper.offsets[None, :, 0])
        last = np.minimum(changed.offsets[:, None, 1], proper.offsets[None, :, 1])
        block = np.maximum(last - first, 0).astype(np.float32)
        equal = (changed.ids[:, None] == proper.ids[None, :]) & (block > 0)
        equal &= (changed.offsets[:, None] == proper.offsets[None, :]).all(2)
        same = equal.any(1)
        block[same] = equal[same]
        if not changed.truncated:
            block[-1, -1] = 1.0
        for place in range(min(_MARKED, block.shape[0], block.shape[1])):
            block[place, place] = 1.0
        found[number, : block.shape[0], : block.shape[1]] = block
    return found
