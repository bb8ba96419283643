"""Stage shrink: an encoder of many layers -> the student's few, token by token, on any text.

Teacher and student read the same pieces; after each of its layers the student's states are drawn to those of the teacher's
layer that it stands for (TinyBERT, Jiao et al., 2020). What the teacher has learned of words that the data lack comes with the
vocabulary's table, and from texts in which pieces are replaced by any others. A teacher that is a late-interaction model itself
gives its heads, and its vectors are drawn to as well.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from polyvec.encoder.locate import locate
from polyvec.encoder.torch.heads import MatryoshkaHeads
from polyvec.encoder.torch.strict import quiet
from polyvec.errors import InputError
from polyvec.training.mixing import Batch
from polyvec.training.recipe import Recipe
from polyvec.training.student import Student
from polyvec.training.trainer import Stage
from polyvec.training.vocabulary import SPECIAL

if TYPE_CHECKING:
    from polyvec.encoder.tokens import Piece

_MARKED = 2  # `<s> marker` stand before a text's own tokens
_LEAST = 1e-4  # spread of a dimension that hardly changes


class Shrink(Stage):
    """The student and the encoder it is to be like.

    Raises:
        InputError: The recipe names no teacher, layers that it or the student does not have, or more tokens than it
            reads.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        from transformers import AutoModel, AutoTokenizer

        settings = recipe.model
        self._recipe = recipe
        if not settings.teacher:
            raise InputError("Stage shrink needs model.teacher, the folder of the BERT or XLM-R checkpoint to be like.")
        self.student = Student(settings.start, dropout=settings.dropout)
        folder = str(locate(settings.teacher).folder)
        with quiet():
            teacher = AutoModel.from_pretrained(folder, local_files_only=True).eval().requires_grad_(False)
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._teacher = [teacher]  # no part of what is trained and saved
        self._heads = _heads(Path(folder), self.student)
        mine, theirs = self.student.backbone.config.num_hidden_layers, teacher.config.num_hidden_layers
        self._layers = settings.layers or tuple(range(theirs))
        if len(self._layers) != mine or max(self._layers) >= theirs:
            raise InputError(
                f"model.layers = {list(self._layers)}: expected {mine} numbers below {theirs}, for each layer of the student "
                "the teacher's that it stands for."
            )
        self._rows, self._prefixes = _same_pieces(self.student.encoder.model.tokenizer, tokenizer, settings.prefixes)
        most = teacher.config.max_position_embeddings - max(map(len, self._prefixes))
        if teacher.config.model_type != "bert":  # the others count positions from after the padding's
            most -= teacher.config.pad_token_id + 1
        asked = max(recipe.batches.query_tokens, recipe.batches.document_tokens)
        if asked > most:
            raise InputError(
                f"batches of {asked} tokens: the teacher reads {most}. Lower batches.document_tokens and query_tokens."
            )

    def loss(self, batch: Batch) -> Tensor:
        """The share of the teacher's spread that the student misses, of the last layer and of the mean of those before.

        Every fourth batch reads its texts as queries; of rows with two sides, every fifth batch takes the other one.
        """
        (pieces,) = self.tokenized(batch).pieces
        wanted = self._states(pieces, self._prefixes[_role(batch) == "document"])
        device = self.student.backbone.device
        ids, attended = _padded([piece.ids for piece in pieces], self._pad)
        found = self.student.backbone(
            input_ids=ids.to(device), attention_mask=attended.to(device), output_hidden_states=True
        ).hidden_states[1:]
        there = attended.bool().to(device)
        there[:, _MARKED - 1] = False  # the teacher may have no marker
        missed = []
        for state, target in zip(found, wanted, strict=True):
            mine, theirs = state[there].float(), target[there].float()
            missed.append(((mine - theirs) ** 2 / (theirs.var(0) + _LEAST)).mean())
        inner = torch.stack(missed[:-1]).mean() if len(missed) > 1 else missed[-1].detach() * 0
        objective = self._recipe.objective
        total: Tensor = missed[-1] + objective.inner * inner
        if self._heads:
            total = total + objective.vectors * self._turned(found[-1][there], wanted[-1][there])
        return total

    def tokenized(self, batch: Batch) -> Batch:
        """With the tokens of its texts, some of them replaced where the recipe says so."""
        if batch.pieces:
            return batch
        role, settings = _role(batch), self._recipe.batches
        longest = settings.query_tokens if role == "query" else settings.document_tokens
        pieces = self.student.pieces([_text(row, batch.number) for row in batch.rows], role, longest)
        share = self._recipe.objective.replaced
        if share and batch.number % 2:  # every other batch is left as it is
            chance = np.random.default_rng([self._recipe.seed, batch.number])
            pieces = [replace(piece, ids=self._replaced(piece.ids, share, chance)) for piece in pieces]
        return replace(batch, pieces=(pieces,))

    def _replaced(self, ids: npt.NDArray[np.int64], share: float, chance: np.random.Generator) -> npt.NDArray[np.int64]:
        """Some of a text's own tokens, the marks around them excepted, become pieces of the vocabulary drawn at random."""
        chosen = chance.random(len(ids)) < share
        chosen[:_MARKED], chosen[-1:] = False, False
        found: npt.NDArray[np.int64] = ids.copy()
        found[chosen] = chance.integers(len(SPECIAL), len(self._rows), int(chosen.sum()))
        return found

    def _turned(self, states: Tensor, targets: Tensor) -> Tensor:
        """The mean over heads of 1 - cosine between the student's vectors and the teacher's."""
        mine = self.student.project(states)
        heads = self._heads[0]
        with torch.no_grad():
            theirs = heads.to(targets.device).project_all(targets)
        return torch.stack(
            [
                1 - torch.nn.functional.cosine_similarity(mine[size], theirs[size].float(), dim=-1).mean()
                for size in mine
            ]
        ).mean()

    @property
    def _pad(self) -> int:
        return int(self.student.encoder.model.tokenizer.pad_token_id or 0)

    def _states(self, pieces: list[Piece], prefix: list[int]) -> list[Tensor]:
        """The teacher's states of each layer wanted, at the student's places."""
        device = self.student.backbone.device
        teacher = self._teacher[0] = self._teacher[0].to(device)  # it follows the student to a GPU
        texts = [np.concatenate([self._rows[p.ids[:1]], prefix, self._rows[p.ids[_MARKED:]]]) for p in pieces]
        ids, attended = _padded(texts, int(teacher.config.pad_token_id or 0))
        with torch.no_grad():
            states = teacher(
                input_ids=ids.to(device), attention_mask=attended.to(device), output_hidden_states=True
            ).hidden_states[1:]
        moved = len(prefix) + 1 - _MARKED
        places = torch.arange(max(len(piece) for piece in pieces)) + moved
        places[:_MARKED] = 0
        return [states[layer][:, places] for layer in self._layers]

    def save(self, folder: Path) -> None:
        """Write the student."""
        self.student.save(folder)


def _same_pieces(mine: Any, theirs: Any, prefixes: tuple[str, ...]) -> tuple[npt.NDArray[np.int64], list[list[int]]]:
    """The teacher's number of each of the student's pieces, and its pieces of the prefixes of queries and documents."""
    known = theirs.get_vocab()
    rows = np.full(max(mine.get_vocab().values()) + 1, theirs.unk_token_id or 0, np.int64)
    common = 0
    for piece, number in mine.get_vocab().items():
        if piece in known:
            rows[number] = known[piece]
            common += 1
    if common < len(rows) // 2:
        raise InputError(
            f"The student shares {common} of its {len(rows)} pieces with model.teacher. Stage start with vocabulary.learned = "
            "false gives it the teacher's."
        )
    for role in ("bos_token_id", "eos_token_id", "pad_token_id"):
        rows[getattr(mine, role)] = getattr(theirs, role)
    given = [*prefixes, *[""] * 2][:2]
    return rows, [theirs.encode(text.strip(), add_special_tokens=False) if text else [] for text in given]


def _padded(texts: list[Any], pad: int) -> tuple[Tensor, Tensor]:
    """(n, t) ids and the mask of those that are attended to."""
    longest = max(len(text) for text in texts)
    ids = torch.full((len(texts), longest), pad)
    attended = torch.zeros((len(texts), longest), dtype=torch.long)
    for i, text in enumerate(texts):
        ids[i, : len(text)] = torch.from_numpy(np.asarray(text, np.int64))
        attended[i, : len(text)] = 1
    return ids, attended


def _heads(folder: Path, student: Student) -> list[MatryoshkaHeads]:
    """The teacher's heads, if it has any; the student's begin as these."""
    modules = folder / "modules.json"
    listed = json.loads(modules.read_text(encoding="utf-8")) if modules.is_file() else []
    for one in listed:
        if one["type"].endswith(".MatryoshkaHeads"):
            heads = MatryoshkaHeads.load(str(folder), subfolder=one["path"], local_files_only=True)
            wanted = student.heads
            if (heads.sizes, heads.in_features) != (wanted.sizes, wanted.in_features):
                raise InputError(
                    f"model.teacher has heads of {heads.sizes}, the student of {wanted.sizes}. Expected the same."
                )
            wanted.load_state_dict(heads.state_dict())
            return [heads.requires_grad_(False)]
    return []


def _role(batch: Batch) -> str:
    return "query" if batch.number % 4 == 0 else "document"


def _text(row: dict[str, Any], number: int) -> str:
    """The text of a row; of two sides the one that this batch takes."""
    sides = [str(row[name]) for name in ("text", "en", "document", "query") if row.get(name)]
    return sides[0] if number % 5 else sides[-1]
