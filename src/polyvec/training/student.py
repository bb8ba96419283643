"""A model folder <-> the model in training: backbone, untied heads, and the tokenization that searching uses.

Wraps `polyvec.Encoder`, so that what is trained is exactly what is used later. Knows nothing about losses or data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from polyvec.encoder import Encoder
from polyvec.encoder.tokens import Piece
from polyvec.encoder.torch.heads import MatryoshkaHeads
from polyvec.encoder.torch.settings import bigrams_of
from polyvec.errors import InputError


class Student(nn.Module):
    """A late-interaction model whose vectors of every head can be had at once, with gradients.

    Attributes:
        folder: Of a native model, e.g. what stage start wrote.
        tied: Heads are slices of the largest one.

    Raises:
        InputError: A model without Matryoshka heads.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        tied: bool = False,
        dropout: float = 0.0,
        query_length: int = 0,
        attend_to_mask: bool | None = None,
        bigrams: float = 0.0,
        fold_capitals: bool = False,
    ) -> None:
        super().__init__()
        padded: dict[str, Any] = {}
        if query_length:
            padded = {"query_augmentation": "fixed", "query_length": query_length, "attend_to_mask": attend_to_mask}
        if bigrams:
            padded["bigrams"] = bigrams
        self.encoder = Encoder(Path(folder), device="cpu", backend="torch", **padded)
        model = self.encoder.model
        if fold_capitals:
            model.tokenizer.init_kwargs["fold_capitals"] = True  # what its folder will say
            self.encoder._tokens.layout = replace(self.encoder._tokens.layout, fold_capitals=True)
        heads = next((module for module in model if isinstance(module, MatryoshkaHeads)), None)
        if heads is None:
            raise InputError(f"{folder} has no Matryoshka heads to train. Begin with a recipe of stage start.")
        self.backbone: Any = model[0].model
        self.heads = heads
        self.bigrams = bigrams_of(model)
        self.tied = tied
        for module in self.backbone.modules():
            if isinstance(module, nn.Dropout):
                module.p = dropout
            elif hasattr(module, "attention_dropout"):  # read from the configuration long before
                module.attention_dropout = 0.0
        self.backbone.config.attention_probs_dropout_prob = 0.0

    def pieces(self, texts: Sequence[str], role: str, longest: int) -> list[Piece]:
        """Texts as queries or documents, cut after `longest` tokens."""
        tokens = self.encoder._tokens
        found = tokens.queries(texts) if role == "query" else [parts[0] for parts in tokens.documents(texts)]
        return [shortened(piece, longest) for piece in found]

    def hidden(self, pieces: Sequence[Piece]) -> tuple[Tensor, Tensor]:
        """(n, t, hidden) states and the (n, t) mask of the tokens that count."""
        states, kept, _ = self._read(pieces)
        return states, kept

    def vectors(self, pieces: Sequence[Piece]) -> tuple[dict[int, Tensor], Tensor]:
        """Unit vectors of every head as searching sees them, (n, t, size) by size, and the (n, t) mask of those that count."""
        states, kept, ids = self._read(pieces)
        found = self.project(states)
        if self.bigrams is not None:
            added = {size: self.bigrams.added(vectors, ids) for size, vectors in found.items()}
            found = {size: nn.functional.normalize(vectors, dim=-1) for size, vectors in added.items()}
        return found, kept

    def _read(self, pieces: Sequence[Piece]) -> tuple[Tensor, Tensor, Tensor]:
        """States, mask and token ids of one padded batch."""
        device = self.backbone.device
        longest = max(len(piece) for piece in pieces)
        ids = torch.full((len(pieces), longest), self.encoder.model.tokenizer.pad_token_id or 0)
        attended = torch.zeros((len(pieces), longest), dtype=torch.long)
        kept = torch.zeros((len(pieces), longest), dtype=torch.bool)
        for i, piece in enumerate(pieces):
            ids[i, : len(piece)] = torch.from_numpy(piece.ids)
            attended[i, : piece.attended] = 1
            kept[i, : len(piece)] = torch.from_numpy(piece.keep)
        ids = ids.to(device)
        states = self.backbone(input_ids=ids, attention_mask=attended.to(device)).last_hidden_state
        return states, kept.to(device), ids

    def project(self, states: Tensor) -> dict[int, Tensor]:
        """Unit vectors of every head, by size; what they mean, without hashed bigrams."""
        if self.tied:
            widest = self.heads.project(states, max(self.heads.sizes))
            found = {size: widest[..., :size] for size in self.heads.sizes}
        else:
            found = self.heads.project_all(states)
        return {size: nn.functional.normalize(vectors.float(), dim=-1) for size, vectors in found.items()}

    def save(self, folder: Path) -> None:
        """Write the model's folder, whole or not at all.

        Raises:
            StorageError: Something is in the way.
        """
        if self.tied:
            with torch.no_grad():
                widest = self.heads.head(max(self.heads.sizes)).weight
                for size in self.heads.sizes:
                    self.heads.head(size).weight.copy_(widest[:size])
        self.encoder.save(folder)


def shortened(piece: Piece, longest: int) -> Piece:
    """The first `longest` - 1 tokens of a sequence and its last one, which ends every sequence."""
    if len(piece) <= longest:
        return piece
    chosen = [*range(longest - 1), len(piece) - 1]
    return Piece(piece.ids[chosen], piece.offsets[chosen], piece.keep[chosen], min(piece.attended, longest), True)
