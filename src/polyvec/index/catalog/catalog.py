"""The catalog of an index: one SQLite database, whose transaction is the commit.

Joins the tables of documents and of segments with the settings. Rows only grow, an update gives the document a new row, and a
segment keeps the old one, marked as dead, until it is written anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from polyvec.errors import IndexCorruptError, IndexMissingError, StorageError
from polyvec.index.catalog.connection import Connection
from polyvec.index.catalog.database import META_SCHEMA
from polyvec.index.catalog.documents_table import DOCUMENTS_SCHEMA, StoredDocument
from polyvec.index.catalog.listing import Listing
from polyvec.index.catalog.segments_table import SEGMENTS_SCHEMA, SegmentRecord, SegmentsTable
from polyvec.index.catalog.settings import CodecRecord, IndexSettings, State
from polyvec.index.catalog.word_counts import WordCounts

__all__ = ["CATALOG_FILE", "Catalog", "SegmentRecord", "StoredDocument"]

APPLICATION_ID = 0x50564543  # "PVEC", in the header of the database file
CATALOG_VERSION = 1
_DEVELOPMENT_ID = 0x504F4C59  # "POLY", of catalogs from before version 1
CATALOG_FILE = "catalog.sqlite"


class Catalog(Listing, SegmentsTable, WordCounts):
    """The catalog as it is opened: a pinned snapshot to read, transactions to write.

    Raises IndexMissingError where there is no index, IndexCorruptError where the file is not a catalog, StorageError for
    another version or a full disk.
    """

    @classmethod
    def create(cls, folder: Path, settings: IndexSettings) -> Catalog:
        """Make the catalog of a new index in an existing, empty folder and return it open for writing."""
        path = folder / CATALOG_FILE
        connection = Connection(path, write=True)
        connection.execute("BEGIN IMMEDIATE")
        for schema in (META_SCHEMA, SEGMENTS_SCHEMA, DOCUMENTS_SCHEMA):
            for statement in schema.split(";\n"):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {CATALOG_VERSION}")
        catalog = cls(connection, path, pinned=False)
        catalog.set_meta(settings.to_json())
        connection.execute("COMMIT")
        return catalog

    @classmethod
    def open(cls, folder: Path, *, write: bool = False, pin: bool = True) -> Catalog:
        """Open the catalog of an index.

        Args:
            folder: Of the index.
            write: Whether transactions will be made; otherwise the catalog is read.
            pin: Whether a reader is pinned to the present state; False for one that only asks for `changes`.
        """
        path = folder / CATALOG_FILE
        if not path.is_file():
            what = "there is no such folder" if not folder.exists() else f"it holds no {CATALOG_FILE}"
            if (folder / "shards.json").is_file():
                raise IndexMissingError(
                    f"{folder} holds shards, not one index. Open it with polyvec.Shards.open, or one of them alone."
                )
            raise IndexMissingError(
                f"{folder} is not a polyvec index: {what}. Make one with `polyvec index DOCS {folder}` or Index.create()."
            )
        connection = Connection(path, write=write)
        try:
            [(application,)] = connection.execute("PRAGMA application_id")
            [(version,)] = connection.execute("PRAGMA user_version")
            if application == _DEVELOPMENT_ID:
                raise StorageError(
                    f"{folder} was written by a development version of polyvec, whose indexes are not read any more. "
                    "Build it again with `polyvec index`."
                )
            if application != APPLICATION_ID:
                raise IndexCorruptError(f"{path} is not a polyvec catalog (application id {application:#x}).")
            if version > CATALOG_VERSION:
                raise StorageError(
                    f"{folder} was written by a newer polyvec (catalog version {version}, this one reads "
                    f"{CATALOG_VERSION}). Upgrade polyvec."
                )
            catalog = cls(connection, path, pinned=pin and not write)
            if catalog._pinned:
                catalog.refresh()
        except BaseException:
            connection.close()
            raise
        return catalog

    def settings(self) -> IndexSettings:
        """What holds for the index as a whole. Raises IndexCorruptError where that cannot be read."""
        try:
            return IndexSettings.from_json(self.meta())
        except ValueError as error:
            raise IndexCorruptError(f"{self.path}: {error}.") from error

    def set_settings(
        self,
        *,
        state: State | None = None,
        nbits: int | None = None,
        next_row: int | None = None,
        next_segment: int | None = None,
        codec: CodecRecord | None = None,
    ) -> None:
        """Store those that are given; call inside a transaction."""
        given = {
            "state": state,
            "nbits": nbits,
            "next_row": next_row,
            "next_segment": next_segment,
            "codec": None if codec is None else codec.to_json(),
        }
        self.set_meta({key: value for key, value in given.items() if value is not None})

    def drop_codec(self) -> None:
        """Forget the codec; call inside a transaction."""
        self.set_meta({"codec": None})

    def pulled(self) -> dict[str, Any] | None:
        """Where this index was pulled from; None for one that was not, and may be written."""
        found = self.meta().get("pulled")
        return found if isinstance(found, dict) else None

    def set_pulled(self, origin: dict[str, Any] | None) -> None:
        """Note where it was pulled from, or forget it; call inside a transaction."""
        self.set_meta({"pulled": origin})

    def next_row(self) -> int:
        """The row that the next document will get; rows are never used twice."""
        return int(self._rows("SELECT value FROM meta WHERE key = 'next_row'")[0][0])

    def delete_rows(self, rows: Iterable[int]) -> None:
        """Forget documents and remember that their rows are dead; call inside a transaction."""
        dead = [int(row) for row in rows]
        self.remove_documents(dead)
        self.set_deleted(dead)

    def counts(self) -> dict[str, int]:
        """What `document_counts` has, and how many rows are dead."""
        return {**self.document_counts(), "deleted_rows": self.count_deleted()}

    def vacuum(self) -> None:
        """Give free pages back to the disk and empty SQLite's log, so that deleted text is gone from both.

        Where another reader still reads from the log, it is emptied when the last such reader has refreshed or closed.
        """
        with self._lock:
            self._connection.execute("INSERT INTO keywords (keywords) VALUES ('optimize')")  # drops deleted terms
            self._connection.execute("VACUUM")
            try:
                self._connection.execute("PRAGMA busy_timeout = 100")
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                self._connection.execute("PRAGMA busy_timeout = 30000")
