"""The index a user holds: documents in, hits out.

Joins an encoder (text -> token vectors), the index on disk, and search. An index is a folder: one SQLite catalog, immutable
segment files. Opening one loads no model: that happens on the first text, and never for vectors.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, get_args, overload

import numpy as np
import numpy.typing as npt

from polyvec.arguments import flag, function, instance, local_path, one_of, thread_count, token_encoder
from polyvec.collection.arrivals import encoded_documents, encoded_queries, given_vectors, paired_vectors, query_texts
from polyvec.collection.settings import DEFAULT_NBITS, NBITS, check_model, checked_nbits, load_model, new_settings
from polyvec.data import Document, as_documents
from polyvec.data.document import checked_id, checked_ids
from polyvec.errors import IndexIncompleteError, InputError, StorageError
from polyvec.index.catalog.catalog import CATALOG_FILE
from polyvec.index.catalog.settings import IndexSettings, State
from polyvec.index.copying import copy_index
from polyvec.index.engine.options import Fusion, Mode, SearchOptions
from polyvec.index.folder import make_folder
from polyvec.index.place import absolute
from polyvec.index.recovery.checking import index_facts, problems_of
from polyvec.index.session import Session
from polyvec.index.views import View
from polyvec.index.writing.vectors import checked_vectors, query_arrays
from polyvec.index.writing.writer import AddReport, Existing, Writer
from polyvec.scoring import default_threads
from polyvec.search.hits import Hit
from polyvec.search.queries import closed_error, explain_hit, prepared_queries
from polyvec.search.retrieve import PreparedQuery, allowed_rows, search_each

if TYPE_CHECKING:
    from polyvec.encoder import Encoded, TokenEncoder
    from polyvec.search.explain import Explanation

__all__ = ["DEFAULT_NBITS", "NBITS", "Index"]


class Index:
    """A late-interaction index in one folder. Make with `create` or `open`; usable as a context manager.

    Readers keep the state they opened until `refresh()`; the first writing call takes the writer's lock and keeps it until
    `close()`. Safe to share between threads for searching.
    """

    def __init__(
        self, path: Path, *, encoder: TokenEncoder | None, resume: bool = False, auto_refresh: bool = False
    ) -> None:
        self.path = absolute(path)
        self._given_encoder = encoder
        self._encoder: TokenEncoder | None = None
        self._session = Session(self.path)
        self._let_go = weakref.finalize(self, self._session.close_unused)  # when nobody holds this object any more
        self._let_go.atexit = False
        try:
            if self._settings.state != "ready" and not resume:
                raise IndexIncompleteError(
                    f"{path} is not complete: building it was interrupted. Run the same `polyvec index` command again to "
                    "resume, or delete the folder."
                )
            if encoder is not None:
                check_model(path, self._settings, encoder)
            if auto_refresh:
                self._session.follow()
        except BaseException:
            self.close()
            raise

    def __reduce__(self) -> NoReturn:
        raise InputError(
            f"The index {self.path} cannot be pickled or copied as an object: it holds open files and a lock. Pass its path "
            "on, and call Index.open there."
        )

    @property
    def _view(self) -> View:
        return self._session.views.view

    @property
    def _settings(self) -> IndexSettings:
        return self._session.settings

    # -- opening and closing -------------------------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        *,
        encoder: TokenEncoder | None = None,
        dim: int | None = None,
        nbits: int = DEFAULT_NBITS,
    ) -> Index:
        """Make a new, empty index.

        encoder: the model that turns texts into token vectors · dim: of the token vectors, for an index of vectors only ·
        nbits: bits a dimension, 1, 2, 4 or 8 once `compact` has trained a codec on what there is; 16 keeps fp16.
        Raises StorageError where something is in the way or the folder cannot be written, InputError for bad options.
        """
        return cls._create(absolute(local_path("path", path)), encoder, dim, nbits, state="ready")

    @classmethod
    def create_resumable(cls, path: Path, *, encoder: TokenEncoder, nbits: int, source: str) -> Index:
        """Make an index that nobody can open until `finish()`, or go on with one that the same source began, with these nbits."""
        path, nbits = absolute(path), checked_nbits(nbits)
        if (path / CATALOG_FILE).is_file():
            index = cls(path, encoder=encoder, resume=True)
            begun = index._settings.source
            if index._settings.state == "ready" or begun != source:
                index.close()
                what = "is an index already" if index._settings.state == "ready" else f"was begun from {begun}"
                raise StorageError(
                    f"{path} {what}. Add to it with `polyvec add`, choose another path, or delete the folder."
                )
            index._resume_with(nbits)
            return index
        return cls._create(path, encoder, None, nbits, state="building", source=source)

    @classmethod
    def _create(
        cls,
        path: Path,
        encoder: TokenEncoder | None,
        dim: int | None,
        nbits: int,
        *,
        state: State,
        source: str | None = None,
    ) -> Index:
        make_folder(path, new_settings(encoder=encoder, dim=dim, nbits=nbits, state=state, source=source))
        return cls(path, encoder=encoder, resume=True)

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], *, encoder: TokenEncoder | None = None, auto_refresh: bool = False
    ) -> Index:
        """Open an index.

        encoder: to share one that is loaded already; otherwise the index loads its own on first use · auto_refresh: whether
        every search looks at the newest committed state; otherwise `refresh()` moves on to it.
        Raises IndexMissingError, IndexIncompleteError, IndexCorruptError, or ModelMismatchError for another model.
        """
        if encoder is not None:
            token_encoder("encoder", encoder)
        folder = absolute(local_path("path", path))
        return cls(folder, encoder=encoder, auto_refresh=flag("auto_refresh", auto_refresh))

    def close(self) -> None:
        """Let go of files and the writer's lock; safe to call twice. Every later call but this one raises StorageError.

        Raises IndexLockedError when called by the stream of documents that this index is adding.
        """
        self._session.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def refresh(self) -> None:
        """Move on to the newest committed state, as another process may have written it. Searches under way keep theirs."""
        self._session.refresh()

    @contextmanager
    def _current(self) -> Iterator[View]:
        """The state to read, kept open: with what this object wrote, and with auto_refresh what anybody did."""
        with self._session.current() as view:
            yield view

    # -- what it is ----------------------------------------------------------------------------------------------------

    @property
    def dim(self) -> int:
        """Dimensions of a token vector."""
        return self._settings.dim

    @property
    def encoder(self) -> TokenEncoder:
        """The model of this index, loaded on first use.

        Raises InputError for an index of vectors only, ModelMismatchError where the model's weights have changed.
        """
        if self._encoder is None:
            with self._session.loading:
                if self._encoder is None:
                    self._encoder = self._given_encoder or load_model(self.path, self._settings)
        return self._encoder

    def __len__(self) -> int:
        with self._current() as view:
            return len(view.catalog)

    def __contains__(self, document_id: str) -> bool:
        wanted = checked_id(document_id, "`in`")
        with self._current() as view:
            return bool(view.catalog.rows_of([wanted]))

    def get(self, ids: Iterable[str]) -> list[Document | None]:
        """The stored documents in the order asked for, None where an id is not stored.

        Raises InputError for one string in place of a list, and for what cannot be an id.
        """
        wanted = list(checked_ids("ids", ids))
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
            self._session.check_place()  # sizes are those of the files that lie there
            return index_facts(self.path, view)

    def verify(self) -> list[str]:
        """Read every checksum and check every rule between the files. Returns the problems found; empty if there are none."""
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
        target = absolute(local_path("path", path))
        flag("hard_links", hard_links)
        function("progress", progress)
        with self._current():
            return copy_index(self.path, target, hard_links=hard_links, progress=progress)

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
        one_of("existing", existing, get_args(Existing))
        function("progress", progress)
        given = as_documents(documents)
        with self._session.writing() as writer:
            encode = partial(encoded_documents, self.encoder, progress=progress, dim=self.dim)
            report = writer.add(given, encode, existing)
            writer.keep_up(dim=self.dim, nbits=self._settings.nbits)
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
        metadata: Iterable[Mapping[str, Any] | None] | None = None,
        existing: Existing = "error",
    ) -> AddReport:
        """Store token vectors of your own, one (t, dim) array an id; durable on return, all or none.

        Rows are scaled to length 1; those that have it already stay as they are. vectors: a list, any iterable, or one array
        (n, t, dim) · metadata: a dict, or None, a document · existing: as `add` has it.
        Raises InputError for a wrong dim, no rows, a row that is all zeros or not finite, and for lists of different lengths.
        """
        one_of("existing", existing, get_args(Existing))
        given = paired_vectors(ids, vectors, metadata)
        with self._session.writing() as writer:
            report = writer.add(given, partial(given_vectors, dim=self.dim), existing)
            writer.keep_up(dim=self.dim, nbits=self._settings.nbits)
        return report

    def delete(self, ids: Iterable[str]) -> int:
        """Delete documents by id; durable on return. Returns how many there were; unknown ids are passed over."""
        wanted = list(checked_ids("ids", ids))
        with self._session.writing() as writer:
            return writer.delete(wanted)

    def compact(self, *, retrain: bool = False) -> None:
        """Merge segments into one, put vectors into codes where nbits is below 16, and erase what was deleted from disk.

        retrain: fit the codec anew to what the index holds by now; see `info()["codec"]["drift"]`.
        """
        flag("retrain", retrain)
        with self._session.writing() as writer:
            self._compact(writer, retrain=retrain)

    def finish(self) -> None:
        """Complete a resumable build: merge its segments, and let others open the index."""
        with self._session.writing() as writer:
            self._compact(writer)
            writer.set_settings(state="ready")

    def _compact(self, writer: Writer, *, retrain: bool = False) -> None:
        writer.compact(dim=self.dim, nbits=self._settings.nbits, retrain=retrain)
        self._session.vacuum()

    # -- searching -----------------------------------------------------------------------------------------------------

    @overload
    def search(  # type: ignore[overload-overlap]  # a string is a sequence of strings too
        self,
        query: str,
        *,
        k: int | None = ...,
        mode: Mode | None = ...,
        fusion: Fusion | None = ...,
        weight: float | None = ...,
        filter: Mapping[str, Any] | None = ...,
        subset: Iterable[str] | None = ...,
        min_score: float | None = ...,
        exact: bool | None = ...,
        recall: float | None = ...,
        nprobe: int | None = ...,
        candidates: int | None = ...,
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
        fusion: Fusion | None = ...,
        weight: float | None = ...,
        filter: Mapping[str, Any] | None = ...,
        subset: Iterable[str] | None = ...,
        min_score: float | None = ...,
        exact: bool | None = ...,
        recall: float | None = ...,
        nprobe: int | None = ...,
        candidates: int | None = ...,
        options: SearchOptions | None = ...,
        threads: int | None = ...,
    ) -> list[list[Hit]]: ...
    def search(
        self,
        query: str | Sequence[str],
        *,
        k: int | None = None,
        mode: Mode | None = None,
        fusion: Fusion | None = None,
        weight: float | None = None,
        filter: Mapping[str, Any] | None = None,
        subset: Iterable[str] | None = None,
        min_score: float | None = None,
        exact: bool | None = None,
        recall: float | None = None,
        nprobe: int | None = None,
        candidates: int | None = None,
        options: SearchOptions | None = None,
        threads: int | None = None,
    ) -> list[Hit] | list[list[Hit]]:
        """The best documents for a question in any language; a list of questions gives a list of lists.

        k: hits to return · mode: "late" (MaxSim), "keyword" (BM25, needs no model) or "hybrid" · filter: on metadata, see
        polyvec.index.catalog.filters · subset: ids to choose from · min_score: least normalized score of a hit, from 0 to 1 ·
        threads: default all cores. Every other one is a field of SearchOptions, which says what it means.
        options: what holds where a keyword is left out. Raises InputError for an empty query and for values that make no sense.
        """
        chosen = _chosen(
            options, k=k, mode=mode, fusion=fusion, weight=weight, filter=filter, subset=subset, min_score=min_score, exact=exact,
            recall=recall, nprobe=nprobe, candidates=candidates,
        )  # fmt: skip
        texts, single = query_texts(query)
        threads = thread_count(threads, default_threads)
        with self._current() as view:
            allowed, plain = _restricted(view, chosen)
            texts_of = prepared_queries(texts, plain, lambda: self.encoder, self._explain_found)
            asked = encoded_queries(texts_of, dim=self.dim)
            results = search_each(view.snapshot, view.catalog, asked, plain, allowed=allowed, threads=threads)
        return results[0] if single else results

    def search_vectors(
        self,
        query: npt.ArrayLike | Sequence[npt.ArrayLike],
        *,
        k: int | None = None,
        filter: Mapping[str, Any] | None = None,
        subset: Iterable[str] | None = None,
        min_score: float | None = None,
        exact: bool | None = None,
        recall: float | None = None,
        nprobe: int | None = None,
        candidates: int | None = None,
        options: SearchOptions | None = None,
        threads: int | None = None,
    ) -> list[Hit] | list[list[Hit]]:
        """The best documents for a query's token vectors. Needs no model.

        query: an array or torch tensor (q, dim) is one query and gives a list of hits; a list of them, or one array
        (n, q, dim), gives a list of lists. Rows are scaled to length 1, as `add_vectors` does · the rest: as `search` has it.
        Raises InputError for a wrong dim, no rows, a row that is all zeros or not finite.
        """
        chosen = _chosen(
            options, k=k, filter=filter, subset=subset, min_score=min_score, exact=exact, recall=recall, nprobe=nprobe,
            candidates=candidates,
        )  # fmt: skip
        arrays, single = query_arrays(query)
        asked = [
            PreparedQuery(vectors=checked_vectors(one, dim=self.dim, name=f"query {i}")) for i, one in enumerate(arrays)
        ]
        threads = thread_count(threads, default_threads)
        with self._current() as view:
            allowed, plain = _restricted(view, chosen)
            results = search_each(view.snapshot, view.catalog, asked, plain, allowed=allowed, threads=threads)
        return results[0] if single else results

    def explain(self, query: str, hit: Hit) -> Explanation:
        """Which token of the query met which token of the hit's document, and how well; as `hit.explain()` says it.

        Args:
            query: The question, as text, whatever the mode that found the hit.
            hit: A hit of this index, found in this process or another: only its id, text and metadata count.

        Returns:
            The matches, which add up to the MaxSim score.

        Raises:
            InputError: The hit has no text, or its document was deleted or has another text by now.
        """
        if not isinstance(query, str) or not isinstance(hit, Hit):
            raise InputError(
                f"explain({type(query).__name__}, {type(hit).__name__}): expected the query's text and a Hit of a search."
            )
        with self._current() as view:
            return explain_hit(view, lambda: self.encoder, query, None, hit)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _resume_with(self, nbits: int) -> None:
        """Go on building with other nbits than before, where vectors are not in codes of the earlier ones yet."""
        begun = self._settings.nbits
        if nbits == begun:
            return
        try:
            if self._settings.codec is not None:
                raise StorageError(
                    f"{self.path} was begun with nbits={begun}, and its vectors are in codes of that size by now. Resume with "
                    f"nbits={begun}, or delete the folder."
                )
            with self._session.writing() as writer:
                writer.set_settings(nbits=nbits)
            self.refresh()
        except BaseException:
            self.close()
            raise

    def _explain_found(self, query: str, encoded: Encoded | None, hit: Hit) -> Explanation:
        """`explain` for a hit found here, whose query is encoded already."""
        if self._session.views.closed:
            raise closed_error(hit)
        with self._current() as view:
            return explain_hit(view, lambda: self.encoder, query, encoded, hit)


def _chosen(options: SearchOptions | None, **given: Any) -> SearchOptions:
    """The options with what was given beside them in their place."""
    given = {name: value for name, value in given.items() if value is not None}
    if options is None:
        return SearchOptions(**given)
    chosen = instance("options", options, SearchOptions)
    return replace(chosen, **given) if given else chosen


def _restricted(view: View, options: SearchOptions) -> tuple[npt.NDArray[np.int64] | None, SearchOptions]:
    """The rows that filter and subset leave, None for all, and the options without the two."""
    if options.filter is None and options.subset is None:
        return None, options
    allowed = allowed_rows(view.catalog, options.subset, options.filter)
    return allowed, options.unrestricted()
