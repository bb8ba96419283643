"""How one index is changed: its writer does it. And how a build is begun again and completed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from polyvec.collection.writing import Changes, Writing
from polyvec.errors import StorageError
from polyvec.index.catalog.protocol import ReadableCatalog
from polyvec.index.session import Session
from polyvec.index.writing.arrivals import D, Encode
from polyvec.index.writing.report import AddReport, Existing
from polyvec.index.writing.writer import Writer


class IndexWriting(Writing):
    """`Writing` for one index, which may be built in several runs."""

    _session: Session

    @contextmanager
    def _changing(self) -> Iterator[Changes]:
        with self._session.writing() as writer:
            yield _IndexChanges(self._session, writer)

    def finish(self) -> None:
        """Complete a resumable build: merge its segments, and let others open the index.

        Raises:
            StorageError: As `compact` has it.
        """
        with self._session.writing() as writer:
            _IndexChanges(self._session, writer).compact(retrain=False)
            writer.set_settings(state="ready")

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


class _IndexChanges:
    """See `Changes`."""

    def __init__(self, session: Session, writer: Writer) -> None:
        self._session, self._writer = session, writer

    @property
    def catalog(self) -> ReadableCatalog:
        return self._writer.catalog

    def add(
        self,
        documents: Iterable[D],
        encode: Encode[D],
        existing: Existing,
        *,
        metadata: Iterable[tuple[int, Mapping[str, Any]]] = (),
    ) -> AddReport:
        return self._writer.add(documents, encode, existing, metadata=metadata)

    def keep_up(self, added: int) -> None:
        settings = self._session.settings
        self._writer.keep_up(dim=settings.dim, nbits=settings.nbits, added=added)

    def delete(self, ids: list[str]) -> int:
        return self._writer.delete(ids)

    def delete_where(self, condition: Mapping[str, Any]) -> int:
        return self._writer.delete_where(condition)

    def compact(self, *, retrain: bool) -> None:
        settings = self._session.settings
        self._writer.compact(dim=settings.dim, nbits=settings.nbits, retrain=retrain)
        self._session.vacuum()
