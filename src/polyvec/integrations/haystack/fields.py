"""What the metadata of a document store holds, field by field, as Haystack's stores tell it."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from typing import Any

from haystack import Document as HaystackDocument

_TYPES = {bool: "boolean", int: "int", float: "float"}


class Fields(ABC):
    """Reads the metadata of all documents, or of those that satisfy a filter; takes time with their number."""

    @abstractmethod
    def filter_documents(self, filters: dict[str, Any] | None = None) -> list[HaystackDocument]:
        """The documents that satisfy a filter."""

    def count_documents_by_filter(self, filters: dict[str, Any]) -> int:
        """How many documents satisfy a filter."""
        return len(self.filter_documents(filters))

    def count_unique_metadata_by_filter(self, filters: dict[str, Any], metadata_fields: list[str]) -> dict[str, int]:
        """How many different values each field has, in the documents that satisfy a filter; None is no value."""
        documents = self.filter_documents(filters)
        return {name: len(_distinct(documents, name)) for name in map(_plain, metadata_fields)}

    def get_metadata_fields_info(self) -> dict[str, dict[str, str]]:
        """The type of each field: "boolean", "int", "float" or, for everything else, "keyword"."""
        types: dict[str, dict[str, str]] = {}
        for document in self.filter_documents():
            for key, value in document.meta.items():
                if value is not None:
                    types[key] = {"type": _TYPES.get(type(value), "keyword")}
        return types

    def get_metadata_field_min_max(self, metadata_field: str) -> dict[str, Any]:
        """The smallest and largest value of a field, as "min" and "max"; None where there is none, or they do not compare."""
        values = [
            value
            for value in _distinct(self.filter_documents(), metadata_field)
            if isinstance(value, (int, float, str))
        ]
        try:
            return {"min": min(values), "max": max(values)}
        except (TypeError, ValueError):
            return {"min": None, "max": None}

    def get_metadata_field_unique_values(
        self,
        metadata_field: str,
        search_term: str | None = None,
        from_: int = 0,
        size: int = 10,
        filters: dict[str, Any] | None = None,
    ) -> tuple[list[Any], int]:
        """The different values of a field, ordered as strings, page by page.

        Args:
            metadata_field: Its name, with or without "meta.".
            search_term: Only values that hold this, in any case.
            from_: Values to leave out at the beginning.
            size: Values to give at most.
            filters: Only documents that satisfy this filter.

        Returns:
            A page of values, and how many there are in all.
        """
        values = _distinct(self.filter_documents(filters), metadata_field)
        if search_term:
            values = [value for value in values if search_term.lower() in str(value).lower()]
        ordered = sorted(values, key=lambda value: (str(value), type(value).__name__))
        return ordered[from_ : from_ + size], len(ordered)

    # -- the same, async -----------------------------------------------------------------------------------------------

    async def count_documents_by_filter_async(self, filters: dict[str, Any]) -> int:
        """`count_documents_by_filter` in a thread."""
        return await asyncio.to_thread(self.count_documents_by_filter, filters)

    async def count_unique_metadata_by_filter_async(
        self, filters: dict[str, Any], metadata_fields: list[str]
    ) -> dict[str, int]:
        """`count_unique_metadata_by_filter` in a thread."""
        return await asyncio.to_thread(self.count_unique_metadata_by_filter, filters, metadata_fields)

    async def get_metadata_fields_info_async(self) -> dict[str, dict[str, str]]:
        """`get_metadata_fields_info` in a thread."""
        return await asyncio.to_thread(self.get_metadata_fields_info)

    async def get_metadata_field_min_max_async(self, metadata_field: str) -> dict[str, Any]:
        """`get_metadata_field_min_max` in a thread."""
        return await asyncio.to_thread(self.get_metadata_field_min_max, metadata_field)

    async def get_metadata_field_unique_values_async(
        self,
        metadata_field: str,
        search_term: str | None = None,
        from_: int = 0,
        size: int = 10,
        filters: dict[str, Any] | None = None,
    ) -> tuple[list[Any], int]:
        """`get_metadata_field_unique_values` in a thread."""
        return await asyncio.to_thread(
            self.get_metadata_field_unique_values, metadata_field, search_term, from_, size, filters
        )


def _distinct(documents: list[HaystackDocument], name: str) -> list[Any]:
    """The values of a field; 1, 1.0, "1" and True are different ones."""
    key = _plain(name)
    values = [document.meta[key] for document in documents if document.meta.get(key) is not None]
    return list({(type(value), json.dumps(value, sort_keys=True)): value for value in values}.values())


def _plain(name: str) -> str:
    return name.removeprefix("meta.")
