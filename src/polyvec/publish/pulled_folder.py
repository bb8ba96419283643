"""What a folder knows of the place that it was pulled from. It stands in the catalog, so that it changes with it at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyvec.index.catalog.catalog import Catalog


@dataclass(frozen=True)
class Origin:
    """Where an index was pulled from. url · version: its number · publication: what tells versions of one number apart."""

    url: str
    version: int
    publication: str

    def to_json(self) -> dict[str, Any]:
        """As the catalog stores it."""
        return {"url": self.url, "version": self.version, "publication": self.publication}


def origin_of(catalog: Catalog) -> Origin | None:
    """Where this index was pulled from; None for one that was not."""
    stored = catalog.pulled()
    if stored is None:
        return None
    return Origin(str(stored.get("url")), int(stored.get("version") or 0), str(stored.get("publication")))


def origin_at(folder: Path) -> Origin | None:
    """`origin_of` the index in a folder. Raises IndexMissingError, IndexCorruptError, StorageError."""
    catalog = Catalog.open(folder)
    try:
        return origin_of(catalog)
    finally:
        catalog.close()
