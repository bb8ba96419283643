"""The index a user holds: documents in, hits out.

Joins an encoder (text -> token vectors), the index on disk, and search. An index is a folder: one SQLite catalog, immutable
segment files. Opening one loads no model: that happens on the first text, and never for vectors.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from polyvec.asking import asked_texts
from polyvec.data import Document, as_documents
from polyvec.errors import IndexIncompleteError, InputError, StorageError
from polyvec.incoming import encoded_documents, paired_vectors
from polyvec.index.catalog import CATALOG_FILE
from polyvec.index.checking import index_facts, problems_of
from polyvec.index.copying import copy_index
from polyvec.index.folder import make_folder
from polyvec.index.options import Mode
from polyvec.index.vectors import checked_vectors
from polyvec.index.views import View, Views
from polyvec.index.writer import AddReport, Arrival, Existing, Writer
from polyvec.provenance import DEFAULT_NBITS, NBITS, check_model, load_model, new_settings
from polyvec.search import Asked, Hit, SearchOptions, allowed_rows, search_each

if TYPE_CHECKING:
    from polyvec.encoder import Encoder

__all__ = ["DEFAULT_NBITS", "NBITS", "Index"]

_LOG_BYTES = 16 << 20  # of SQLite's log, from which it is begun anew when nobody reads an older state


class Index:
    """A late-interaction index in one folder. Make with `create` or `open`; usable as a context manager.

    Readers keep the state they opened until `refresh()`; the first writing call takes the writer's lock and keeps it until
    `close()`. Safe to share between threads for searching.
    """

    def __init__(
        self, path: Path, *, encoder: Encoder | None, resume: bool = False, auto_refresh: bool = False
    ) -> None:
        self.path = path
        self._given_encoder = encoder
        self._encoder: Encoder | None = None
        self._writer: Writer | None = None
        self._lock = threading.RLock()  # held while writing
        self._loading = threading.Lock()
        self._views = Views(path)
        try:
            if self._meta["state"] != "ready" and not resume:
                raise IndexIncompleteError(
                    f"{path} is not complete: building it was interrupted. Run the same `polyvec index` command again to "
                    "resume, or delete the folder."
                )
            if encoder is not None:
                check_model(path, self._meta, encoder)
            if auto_refresh:
                self._views.follow()
        except BaseException:
            self.close()
            raise

    @property
    def _view(self) -> View:
        return self._views.view

    @property
    def _meta(self) -> dict[str, Any]:
        return self._view.meta

    # -- opening and closing -------------------------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        *,
        encoder: Encoder | None = None,
        dim: int | None = None,
        nbits: int = DEFAULT_NBITS,
    ) -> Index:
        """Make a new, empty index.

        encoder: the model that turns texts into token vectors · dim: of the token vectors, for an index of vectors only ·
        nbits: bits a dimension, 1, 2, 4 or 8 once `compact` has trained a codec on what there is; 16 keeps fp16.
        Raises StorageError where something is in the way or the folder cannot be written, InputError for bad options.
        """
        return cls._create(Path(path), encoder, dim, nbits, state="ready")

    @classmethod
    def create_resumable(cls, path: Path, *, encoder: Encoder, nbits: int, source: str) -> Index:
        """Make an index that nobody can open until `finish()`, or go on with one that the same source began."""
        if (path / CATALOG_FILE).is_file():
            index = cls(path, encoder=encoder, resume=True)
            begun = index._meta.get("source")
            if index._meta["state"] == "ready" or begun != source:
                index.close()
                what = "is an index already" if index._meta["state"] == "ready" else f"was begun from {begun}"
                raise StorageError(
                    f"{path} {what}. Add to it with `polyvec add`, choose another path, or delete the folder."
                )
            return index
        return cls._create(path, encoder, None, nbits, state="building", source=source)

    @classmethod
    def _create(
        cls, path: Path, encoder: Encoder | None, dim: int | None, nbits: int, *, state: str, source: str | None = None
    ) -> Index:
        meta = new_settings(encoder=encoder, dim=dim, nbits=nbits, state=state, source=source)
        make_folder(path, meta)
        return cls(path, encoder=encoder, resume=True)

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, encoder: Encoder | None = None, auto_refresh: bool = False) -> Index:
        """Open an index.

        encoder: to share one that is loaded already; otherwise the index loads its own on first use · auto_refresh: whether
        every search looks at the newest committed state; otherwise `refresh()` moves on to it.
        Raises IndexMissingError, IndexIncompleteError, IndexCorruptError, or ModelMismatchError for another model.
        """
        return cls(Path(path), encoder=encoder, auto_refresh=auto_refresh)

    def close(self) -> None:
        """Let go of files and the writer's lock; safe to call twice."""
        with self._lock:
            self._views.close()  # first: SQLite's log is emptied by the writer, where nobody reads an older state
            if self._writer is not None:
                self._writer.close()
                self._writer = None

    def __enter__(self) -> Index:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def refresh(self) -> None:
        """Move on to the newest committed state, as another process may have written it. Searches under way keep theirs."""
        self._views.refresh()

    @contextmanager
    def _current(self) -> Iterator[View]:
        """The state to read, kept open: with what this object wrote, and with auto_refresh what anybody did."""
        with self._views.current() as view:
            yield view

    # -- what it is ----------------------------------------------------------------------------------------------------

    @property
    def dim(self) -> int:
        """Dimensions of a token vector."""
        return int(self._meta["dim"])

    @property
    def encoder(self) -> Encoder:
        """The model of this index, loaded on first use.

        Raises InputError for an index of vectors only, ModelMismatchError where the model's weights have changed.
        """
        if self._encoder is None:
            with self._loading:
                if self._encoder is None:
                    self._encoder = self._given_encoder or load_model(self.path, self._meta)
        return self._encoder

    def __len__(self) -> int:
        with self._current() as view:
            return len(view.catalog)

    def __contains__(self, document_id: str) -> bool:
        with self._current() as view:
            return bool(view.catalog.rows_of([document_id]))

    def get(self, ids: Iterable[str]) -> list[Document | None]:
        """The stored documents in the order asked for, None where an id is not stored."""
        wanted = list(ids)
        with self._current() as view:
            found = view.catalog.documents(view.catalog.rows_of(wanted).values())
        stored = {d.id: Document(d.id, d.text or "", d.metadata) for d in found.values()}
        return [stored.get(document_id) for document_id in wanted]

    def documents(self) -> Iterator[Document]:
        """Every stored document in the order of adding, streamed."""
        with self._current() as view:
            for d in view.catalog.all_documents():
                yield Document(d.id, d.text or "", d.metadata)

    def info(self) -> dict[str, Any]:
        """Counts, sizes in bytes, languages, model and codec, as plain JSON values."""
        with self._current() as view:
            return index_facts(self.path, view)

    def verify(self) -> list[str]:
        """Read every checksum and check every rule between the files; an empty list is good news."""
        with self._current() as view:
            return problems_of(view.catalog, view.snapshot)

    def copy(
        self,
        path: str | os.PathLike[str],
        *,
        hard_links: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> int:
        """Copy the newest committed state to an index of its own, also while it is written, and verify the copy.

        Args:
            path: Where the copy goes: a path that is free, or an empty folder.
            hard_links: Whether the copy shares segment files with this index where the disk allows it: no space is taken,
                and a failing disk harms both.
            progress: Called with the bytes done and the bytes in all.

        Returns:
            The size of the copy, in bytes.

        Raises:
            IndexCorruptError: Where a file of this index is damaged; no copy is left then.
            StorageError: Where the copy cannot be written, or something else is there.
        """
        with self._current():
            return copy_index(self.path, Path(path), hard_links=hard_links, progress=progress)

    # -- writing -------------------------------------------------------------------------------------------------------

    def add(
        self,
        documents: Iterable[Document | Mapping[str, Any]],
        *,
        existing: Existing = "error",
        progress: Callable[[int], None] | None = None,
    ) -> AddReport:
        """Encode and store documents; durable on return, all of them or none.

        documents: any iterable of dicts with id, text and any other fields; it is streamed · existing: what to do with an
        id that is stored already · progress: called with the number of documents just encoded.
        Raises InputError for a document that cannot be stored, IndexLockedError where another process writes.
        """
        report = AddReport()
        encoder = self.encoder
        with self._lock:
            writer = self._open_writer()
            checked = writer.check(as_documents(documents), lambda document: document.id, existing, report)
            writer.add(encoded_documents(encoder, checked, progress), report, dim=self.dim)
            writer.keep_up(dim=self.dim, nbits=int(self._meta["nbits"]))
            self._written(writer)
        return report

    def update(
        self, documents: Iterable[Document | Mapping[str, Any]], *, progress: Callable[[int], None] | None = None
    ) -> AddReport:
        """Replace documents by id, and add the ones that are new; durable on return, all of them or none."""
        return self.add(documents, existing="replace", progress=progress)

    def add_vectors(
        self,
        ids: Iterable[str],
        vectors: Iterable[npt.ArrayLike],
        *,
        metadata: Iterable[Mapping[str, Any]] | None = None,
        existing: Existing = "error",
    ) -> AddReport:
        """Store token vectors of your own, one (t, dim) array of unit rows an id; durable on return, all or none.

        Raises InputError for a wrong dim, no rows, NaN or infinity, and for lists of different lengths.
        """
        report = AddReport()
        with self._lock:
            writer = self._open_writer()
            pairs = writer.check(paired_vectors(ids, vectors, metadata), lambda pair: pair[0].id, existing, report)
            arrivals = (
                Arrival(
                    document=document,
                    vectors=checked_vectors(array, dim=self.dim, name=f"vectors of document {document.id!r}"),
                    has_text=False,
                )
                for document, array in pairs
            )
            writer.add(arrivals, report, dim=self.dim)
            writer.keep_up(dim=self.dim, nbits=int(self._meta["nbits"]))
            self._written(writer)
        return report

    def delete(self, ids: Iterable[str]) -> int:
        """Delete documents by id; durable on return. Returns how many there were; unknown ids are passed over."""
        if isinstance(ids, str):
            raise InputError(f"delete({ids!r}): expected a list of ids, not one string.")
        with self._lock:
            writer = self._open_writer()
            deleted = writer.delete(ids)
            self._written(writer)
        return deleted

    def compact(self, *, retrain: bool = False) -> None:
        """Merge segments into one, put vectors into codes where nbits is below 16, and erase what was deleted from disk.

        retrain: fit the codec anew to what the index holds by now; see `info()["codec"]["drift"]`.
        """
        with self._lock:
            writer = self._open_writer()
            writer.compact(dim=self.dim, nbits=int(self._meta["nbits"]), retrain=retrain)
            self._views.vacuum(writer.catalog)

    def finish(self) -> None:
        """Complete a resumable build: merge its segments, and let others open the index."""
        with self._lock:
            self.compact()
            self._open_writer().set_meta({"state": "ready"})
            self.refresh()

    # -- searching -----------------------------------------------------------------------------------------------------

    @overload
    def search(  # type: ignore[overload-overlap]  # a string is a sequence of strings too
        self,
        query: str,
        *,
        k: int | None = ...,
        mode: Mode | None = ...,
        filter: Mapping[str, Any] | None = ...,
        subset: Sequence[str] | None = ...,
        min_score: float | None = ...,
        options: SearchOptions | None = ...,
        threads: int | None = ...,
    ) -> list[Hit]: ...
    @overload
    def search(
        self,
        query: Sequence[str],
        *,
        k: int | None = ...,
        mode: Mode | None = ...,
        filter: Mapping[str, Any] | None = ...,
        subset: Sequence[str] | None = ...,
        min_score: float | None = ...,
        options: SearchOptions | None = ...,
        threads: int | None = ...,
    ) -> list[list[Hit]]: ...
    def search(
        self,
        query: str | Sequence[str],
        *,
        k: int | None = None,
        mode: Mode | None = None,
        filter: Mapping[str, Any] | None = None,
        subset: Sequence[str] | None = None,
        min_score: float | None = None,
        options: SearchOptions | None = None,
        threads: int | None = None,
    ) -> list[Hit] | list[list[Hit]]:
        """The best documents for a question in any language; a list of questions gives a list of lists.

        k: hits to return, default SearchOptions.k · mode: "late" (MaxSim), "keyword" (BM25, needs no model) or "hybrid" ·
        filter: on metadata, see polyvec.index.filters · subset: ids to choose from · min_score: least normalised score of a hit,
        from 0 to 1 · options: how to search · threads: default all cores. Raises InputError for an empty query.
        """
        chosen = _chosen(options, k=k, mode=mode, min_score=min_score)
        texts = [query] if isinstance(query, str) else list(query)
        with self._current() as view:
            allowed = allowed_rows(view.catalog, subset, filter)
            asked = asked_texts(texts, chosen, lambda: self.encoder, view.snapshot)
            results = search_each(view.snapshot, view.catalog, asked, chosen, allowed=allowed, threads=threads)
        return results[0] if isinstance(query, str) else results

    def search_vectors(
        self,
        query: npt.ArrayLike | Sequence[npt.ArrayLike],
        *,
        k: int | None = None,
        filter: Mapping[str, Any] | None = None,
        subset: Sequence[str] | None = None,
        min_score: float | None = None,
        options: SearchOptions | None = None,
        threads: int | None = None,
    ) -> list[Hit] | list[list[Hit]]:
        """The best documents for a query's token vectors, (q, dim); a list of arrays gives a list of lists. Needs no model.

        Raises InputError for a wrong dim, no rows, NaN or infinity.
        """
        chosen = _chosen(options, k=k, min_score=min_score)
        single = isinstance(query, np.ndarray) and query.ndim == 2
        arrays: list[Any] = [query] if single else list(query)  # type: ignore[arg-type]
        asked = [Asked(vectors=checked_vectors(one, dim=self.dim, name=f"query {i}")) for i, one in enumerate(arrays)]
        with self._current() as view:
            allowed = allowed_rows(view.catalog, subset, filter)
            results = search_each(view.snapshot, view.catalog, asked, chosen, allowed=allowed, threads=threads)
        return results[0] if single else results

    # -- inside --------------------------------------------------------------------------------------------------------

    def _open_writer(self) -> Writer:
        if self._writer is None:
            self._writer = Writer(self.path)
        return self._writer

    def _written(self, writer: Writer) -> None:
        """What was committed is read from now on; SQLite's log begins anew where it has grown long."""
        self._views.outdate()
        if writer.catalog.log_bytes() > _LOG_BYTES:
            self._views.checkpoint(writer.catalog)


def _chosen(options: SearchOptions | None, **given: Any) -> SearchOptions:
    given = {name: value for name, value in given.items() if value is not None}
    chosen = options or SearchOptions()
    return replace(chosen, **given) if given else chosen
