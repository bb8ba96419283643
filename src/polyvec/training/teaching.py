"""Questions with candidates -> the same with a teacher's scores beside them, which must be logits: any cross-encoder, a dense
teacher, or a late-interaction one.

Written row by row beside the data, so that an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from polyvec.arguments import function, list_of, local_path, number, shown, whole_number
from polyvec.atomic import check_destination, publish
from polyvec.data.files import as_path, named
from polyvec.data.json_lines import parse_json
from polyvec.encoder import Encoder
from polyvec.encoder.locate import locate
from polyvec.encoder.torch.strict import one_line_errors
from polyvec.errors import InputError, StorageError
from polyvec.scoring import maxsim
from polyvec.training.rows import CandidatesRow, candidates_row, placed, read_rows

_REMEMBERED = 1 << 30  # bytes of passages' vectors that a late-interaction teacher keeps


class Teacher(Protocol):
    """Scores pairs of texts; higher is better."""

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """One score a pair."""


def cross_encoder(name: str, *, batch: int = 32) -> Teacher:
    """A sentence-transformers CrossEncoder as a teacher: its logits, before any sigmoid."""
    import torch
    from sentence_transformers import CrossEncoder

    with one_line_errors(name):
        model = CrossEncoder(name)

    def score(pairs: Sequence[tuple[str, str]]) -> list[float]:
        found = model.predict(list(pairs), batch_size=batch, activation_fn=torch.nn.Identity(), show_progress_bar=False)
        return [float(value) for value in np.asarray(found).reshape(len(pairs), -1)[:, -1]]

    return score


def dense(name: str, *, scale: float = 20.0, batch: int = 32) -> Teacher:
    """A sentence-transformers dense model as a teacher: cosine * scale."""
    from sentence_transformers import SentenceTransformer

    with one_line_errors(name):
        model = SentenceTransformer(str(locate(name).folder))

    def score(pairs: Sequence[tuple[str, str]]) -> list[float]:
        left = model.encode([a for a, _ in pairs], batch_size=batch, normalize_embeddings=True, show_progress_bar=False)
        right = model.encode(
            [b for _, b in pairs], batch_size=batch, normalize_embeddings=True, show_progress_bar=False
        )
        return [float(value) for value in scale * (left * right).sum(axis=1)]

    return score


def late(name: str, *, scale: float = 50.0) -> Teacher:
    """A late-interaction model as a teacher: the mean similarity of a query's tokens * scale, like a temperature of 1 / scale.

    Args:
        name: A folder, a hub name, or "polyvec-mini". A passage that comes again is not encoded again.
    """
    encoder = Encoder(name)
    known: dict[str, npt.NDArray[np.float16]] = {}

    def score(pairs: Sequence[tuple[str, str]]) -> list[float]:
        wanted = list(dict.fromkeys(text for _, text in pairs))
        if sum(vectors.nbytes for vectors in known.values()) > _REMEMBERED:
            known.clear()
        fresh = [text for text in wanted if text not in known]
        for text, vectors in zip(fresh, encoder.encode_document(fresh) if fresh else (), strict=True):
            known[text] = vectors.astype(np.float16)
        asked = list(dict.fromkeys(query for query, _ in pairs))
        queries = dict(zip(asked, encoder.encode_query(asked), strict=True))
        return [float(maxsim(queries[query], [known[text]])[0]) / len(queries[query]) * scale for query, text in pairs]

    return score


def teach(
    source: Path,
    output: Path,
    teacher: Teacher,
    *,
    rows_at_once: int = 32,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Write the rows of `source` with "scores", one for each of "documents"; returns how many were scored by this run.

    Where rows have "query_en" and "documents_en", the teacher reads those: it scores the English side of parallel
    data. A partial output is completed.

    Raises:
        InputError: Rows without candidates or scores that are not finite.
        StorageError: An output that is not of this source.
    """
    rows_at_once = whole_number("rows_at_once", rows_at_once, of="rows")
    if not callable(teacher):
        raise InputError(f"teacher={shown(teacher)}: expected a function that scores pairs of texts.")
    function("progress", progress)
    source, output = as_path(source, "a file of rows"), local_path("output", output)
    check_destination(output, inputs=[source], new=True)
    partial = output.with_name(output.name + ".partial")
    check_destination(partial, inputs=[source])
    total = check_source(source)
    done = _rows_done(partial, source)
    if done > total:
        raise StorageError(f"{partial} has {done} rows, {source} only {total}. Delete it to begin anew.")
    rows = islice(zip(read_rows(source), _candidates(source), strict=True), done, None)
    written = 0
    with partial.open("a", encoding="utf-8", newline="\n") as file:
        while chunk := list(islice(rows, rows_at_once)):
            pairs = [(checked.query_read, text) for _, checked in chunk for text in checked.documents_read]
            found = list(list_of("scores of the teacher", teacher(pairs), ordered=True))
            if len(found) != len(pairs):
                raise InputError(f"The teacher gave {len(found)} scores for {len(pairs)} pairs.")
            scores = iter(found)
            for row, checked in chunk:
                name = f"the teacher's score for {shown(checked.query)}"
                own = [number(name, next(scores), "a finite number", lambda _: True) for _ in checked.documents]
                file.write(json.dumps({**row, "scores": own}, ensure_ascii=False) + "\n")
            file.flush()
            written += len(chunk)
            if progress is not None:
                progress(len(chunk))
    publish(partial, output)
    return written


def check_source(source: Path) -> int:
    """How many rows the file has, each of them checked.

    Raises:
        InputError: A wrong row, or a file without any.
    """
    source = as_path(source, "a file of rows")
    total = sum(1 for _ in _candidates(source))
    if not total:
        raise InputError(
            f"{named(source)} has no rows. Expected rows with query and documents, as polyvec mine writes."
        )
    return total


def _candidates(source: Path) -> Iterator[CandidatesRow]:
    for row, place in placed(read_rows(source), named(source)):
        yield candidates_row(row, place)


def _rows_done(partial: Path, source: Path) -> int:
    """Whole rows in a partial output; a half-written last line is cut off.

    The first and the last of them must be rows of this source.
    """
    if not partial.is_file():
        return 0
    data = partial.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) != len(data):
        os.truncate(partial, len(whole))
    lines = whole.splitlines()
    for at in sorted({0, len(lines) - 1} if lines else ()):
        (row,) = list(islice(read_rows(source), at, at + 1)) or [{}]
        try:
            kept = parse_json(lines[at].decode("utf-8"), f"{partial}:{at + 1}")
        except (InputError, UnicodeDecodeError) as error:
            raise StorageError(f"{partial} is damaged ({error}). Delete it to begin anew.") from error
        if not isinstance(kept, dict) or any(kept.get(name) != row.get(name) for name in ("query", "documents")):
            raise StorageError(f"{partial} belongs to another source. Delete it to begin anew.")
    return len(lines)
