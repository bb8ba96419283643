"""Stage start: an English encoder and text in many languages -> a multilingual model, ready to be trained.

A vocabulary is learned from the text; each of its pieces takes the vector of the English pieces that spell it, or of those it is
translated with; untied heads begin as the main directions of the teacher's token vectors. Nothing is trained yet, and
yet words mean something.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from polyvec.atomic import staged
from polyvec.data.files import named
from polyvec.encoder import Encoder
from polyvec.encoder.checkpoints.rotary import replace_vocabulary, to_rotary
from polyvec.encoder.locate import locate
from polyvec.encoder.skiplist import skiplist_pieces
from polyvec.encoder.torch.strict import assemble, build_transformer, quiet
from polyvec.errors import InputError
from polyvec.training.associations import associations, token_matrix
from polyvec.training.recipe import Data, Recipe
from polyvec.training.rows import (
    PairRow,
    ParallelRow,
    TextRow,
    language,
    pair_row,
    parallel_row,
    placed,
    read_rows,
    short_language,
    text_row,
)
from polyvec.training.vocabulary import balanced, kept_vocabulary, save_vocabulary, train_vocabulary

log = logging.getLogger(__name__)

TEACHER = "all-MiniLM-L6-v2"
_CLEAR = 0.04  # an association below this says nothing
_READ = 3_000  # texts that the directions come from where the vocabulary is taken over
_COMMON = 128  # positions that most tokens have
_SAMPLE = 20_000  # English texts that the heads' directions come from
_PAIRS = 250_000  # translations that are counted, at most, a file


def start(recipe: Recipe) -> dict[str, Any]:
    """Write the untrained model of a recipe into its output folder; returns counts for its card."""
    import torch
    from sentence_transformers.base.modules import Normalize
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
    from transformers import AutoModel, AutoTokenizer

    from polyvec.encoder.torch.heads import MatryoshkaHeads

    settings = recipe.model
    source = locate(settings.start or TEACHER).folder
    with quiet():
        old = AutoTokenizer.from_pretrained(str(source), local_files_only=True)
        bert = AutoModel.from_pretrained(str(source), local_files_only=True)
    absolute, most = settings.positions == "absolute", bert.config.max_position_embeddings
    if bert.config.model_type != "bert":  # the others count positions from after the padding's
        most -= bert.config.pad_token_id + 1
    if absolute and settings.max_length > most:
        raise InputError(
            f"model.max_length = {settings.max_length}: {source.name} has {most} absolute positions. Lower it, or use "
            "rotary positions."
        )
    if settings.layers and max(settings.layers) >= bert.config.num_hidden_layers:
        raise InputError(
            f"model.layers = {list(settings.layers)}: {source.name} has {bert.config.num_hidden_layers} layers."
        )
    log.info(
        "%s a vocabulary of %d pieces", "learning" if recipe.vocabulary.learned else "choosing", recipe.vocabulary.size
    )
    sample = balanced(
        _texts(recipe), recipe.vocabulary.characters, power=recipe.vocabulary.language_power, seed=recipe.seed
    )
    if recipe.vocabulary.learned:
        tokenizer = train_vocabulary(sample, recipe.vocabulary.size, max_length=settings.max_length)
    else:
        tokenizer = kept_vocabulary(old, sample, recipe.vocabulary.size, max_length=settings.max_length)
        directions = state_directions(bert, old, sample[:: max(len(sample) // _READ, 1)], max(settings.heads))
        if not absolute:
            _without_positions(bert)
    if settings.layers:
        bert.encoder.layer = torch.nn.ModuleList([bert.encoder.layer[i] for i in settings.layers])
        bert.config.num_hidden_layers = len(settings.layers)
    model = bert if absolute else to_rotary(bert, max_length=settings.max_length)
    report: dict[str, Any] = replace_vocabulary(model, old, tokenizer, seed=recipe.seed)
    if recipe.vocabulary.learned:
        log.info("counting translations")
        english, report["translated"] = _translate(model, tokenizer, recipe)
        log.info("taking the heads' directions from %d English texts", len(english))
        teacher = Encoder(settings.teacher or TEACHER)
        directions = principal_directions(teacher, english, max(settings.heads))
    with tempfile.TemporaryDirectory() as folder, quiet():
        save_vocabulary(tokenizer, Path(folder))
        model.save_pretrained(folder)
        transformer = build_transformer(Path(folder), dtype="float32",
                                        document_length=settings.document_length)  # fmt: skip
        heads = MatryoshkaHeads(model.config.hidden_size, settings.heads)
        for size in settings.heads:
            heads.set_weight(size, torch.from_numpy(directions[:size]))
        modules = [
            transformer,
            heads,
            MultiVectorMask(skiplist_words=skiplist_pieces(transformer.tokenizer, "unicode")),
            Normalize(module_input_name="token_embeddings"),
        ]
        prompts = {"query": "[QueryMarker] " + settings.query_instruction, "document": "[DocumentMarker] "}
        made = assemble(modules, device="cpu", prompts=prompts)
        with staged(Path(recipe.output)) as staging:
            made.save_pretrained(str(staging), create_model_card=False)
    return report


def principal_directions(teacher: Any, texts: list[str], size: int) -> npt.NDArray[np.float32]:
    """(size, hidden) orthonormal rows: the directions that carry most of the teacher's token vectors, best first."""
    moments: npt.NDArray[np.float64] | None = None
    for encoded in teacher.stream_documents(texts):
        vectors = encoded.vectors.astype(np.float64)
        moments = vectors.T @ vectors if moments is None else moments + vectors.T @ vectors
    if moments is None or len(moments) < size:
        raise InputError(f"heads of {size} dimensions need a teacher with at least as many, and some English text.")
    _, directions = np.linalg.eigh(moments)
    best = directions[:, ::-1][:, :size].T
    signs = np.sign(best[np.arange(size), np.abs(best).argmax(axis=1)])  # eigenvectors have no sign of their own
    return np.ascontiguousarray(best * signs[:, None], dtype=np.float32)


def state_directions(bert: Any, tokenizer: Any, texts: list[str], size: int) -> npt.NDArray[np.float32]:
    """(size, hidden) rows: the main directions in which an encoder's token vectors differ, best first.

    What all tokens share is left out, and a direction is scaled by its spread to the power -1/2, so that few do not decide all.
    """
    import torch

    width = bert.config.hidden_size
    total, moments, count = np.zeros(width), np.zeros((width, width)), 0
    for start in range(0, len(texts), 32):
        batch = tokenizer(texts[start : start + 32], padding=True, truncation=True, max_length=128, return_tensors="pt")
        with torch.no_grad():
            states = bert(**batch).last_hidden_state[batch["attention_mask"].bool()].double().numpy()
        total, moments, count = total + states.sum(0), moments + states.T @ states, count + len(states)
    if not count or width < size:
        raise InputError(f"heads of {size} dimensions need an encoder with at least as many, and some text.")
    mean = total / count
    shared = mean / np.linalg.norm(mean)
    apart = np.eye(width) - np.outer(shared, shared)
    spread, directions = np.linalg.eigh(apart @ (moments / count - np.outer(mean, mean)) @ apart)
    best = directions[:, ::-1][:, :size].T
    signs = np.sign(best[np.arange(size), np.abs(best).argmax(axis=1)])
    widths = np.sqrt(np.maximum(spread[::-1][:size], 1e-9))
    return np.ascontiguousarray(best * signs[:, None] / np.sqrt(widths)[:, None], dtype=np.float32)


def _without_positions(bert: Any) -> None:
    """Give every token what the position table has on average, since rotary layers know none."""
    import torch

    with torch.no_grad():
        bert.embeddings.token_type_embeddings.weight += bert.embeddings.position_embeddings.weight[:_COMMON].mean(0)


def _texts(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """(language and file, text) of everything the recipe names, a repeated English side once.

    A vocabulary balanced over both is not swallowed by the one file that has most of a language.
    """
    seen: set[str] = set()
    for data in recipe.data:
        for row in _wanted(data):
            code = f"{language(row.lang)} of {data.path}"
            if isinstance(row, PairRow):
                fresh, repeated, of = row.query, row.document, code
            elif isinstance(row, ParallelRow):
                fresh, repeated, of = row.text, row.en, f"en of {data.path}"
            else:
                yield code, row.text
                continue
            yield code, fresh
            if repeated not in seen:
                seen.add(repeated)
                yield of, repeated


def _wanted(data: Data) -> Iterator[TextRow | ParallelRow | PairRow]:
    """The rows of one file in the languages that the recipe asks for."""
    wanted = {language(code) for code in data.languages}
    where, empty = named(data.path), True
    for row, place in placed(read_rows(Path(data.path)), where):
        empty = False
        found: TextRow | ParallelRow | PairRow
        if data.kind == "parallel":
            found = parallel_row(row, place)
        elif data.kind == "pairs":
            found = pair_row(row, place)
        else:
            found = text_row(row, place, text_field=data.text_field)
        if not wanted or short_language(found.lang, place) in wanted:
            yield found
    if empty:
        raise InputError(f"{where} has no rows. Expected rows of kind {data.kind}.")


def _translate(model: Any, tokenizer: Any, recipe: Recipe) -> tuple[list[str], int]:
    """Give pieces the mean vector of the English pieces they are translated with; returns some English texts, and how
    many pieces.
    """
    import torch
    from scipy.sparse import vstack

    generator = np.random.default_rng(recipe.seed)
    sides: list[tuple[Any, Any]] = []
    english: set[str] = set()
    for data in (one for one in recipe.data if one.kind == "parallel"):
        found = (row for row in _wanted(data) if isinstance(row, ParallelRow))
        rows = [(row.text, row.en) for row in found if row.text != row.en]
        chosen = generator.permutation(len(rows))[:_PAIRS]
        rows = [rows[i] for i in chosen.tolist()]
        sides.append(
            (token_matrix(tokenizer, [text for text, _ in rows]), token_matrix(tokenizer, [text for _, text in rows]))
        )
        english.update(text for _, text in rows[:_SAMPLE])
    texts = sorted(english)
    if not sides:
        return texts, 0
    foreign, english_side = vstack([side[0] for side in sides]).tocsr(), vstack([side[1] for side in sides]).tocsr()
    weights, clearness = associations(foreign, english_side)
    table = model.get_input_embeddings().weight.detach().numpy().copy()
    translated = weights @ table
    here = np.asarray(foreign.sum(axis=0)).ravel() * (clearness >= _CLEAR)
    there = np.asarray(english_side.sum(axis=0)).ravel()  # how often the piece is English itself
    share = (here / np.maximum(here + there, 1))[:, None]
    changed = (here > 0) & (np.asarray(weights.sum(axis=1)).ravel() > 0)
    rows_now = np.where(changed[:, None], share * translated + (1 - share) * table, table)
    lengths = np.linalg.norm(rows_now, axis=1, keepdims=True)
    usual = np.median(np.linalg.norm(table, axis=1))
    rows_now *= np.where(changed[:, None], usual / np.maximum(lengths, 1e-6), 1.0)  # a mean of vectors is too short
    with torch.no_grad():
        model.get_input_embeddings().weight.copy_(torch.from_numpy(rows_now.astype(np.float32)))
    return [texts[i] for i in generator.permutation(len(texts))[:_SAMPLE].tolist()], int(changed.sum())
