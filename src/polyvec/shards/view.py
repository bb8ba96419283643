"""What a reader sees of all shards: the states of one moment, searched as one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polyvec.index.catalog.settings import IndexSettings
from polyvec.index.engine.protocol import Engine
from polyvec.index.reader import LiveSegment, Snapshot
from polyvec.index.views import View
from polyvec.shards.catalog import SharedCatalog


@dataclass
class SharedSnapshot(Snapshot):
    """The segments of all shards as those of one index: candidates are generated and scores ordered over all of them.

    Attributes:
        folder: Of the shards.
        segments: Shard by shard.
        codec: Of the segments in codes; None where there are none.
        codec_checksum: Of the codec's file; empty where there is none.
        engines: Of one of the shards.
        curve: What candidate generation found of the exact top 10 of all shards, by setting.
        groups: The engines that have segments, with them.
    """

    groups: list[tuple[Engine[Any, Any], list[LiveSegment]]] = field(default_factory=list)

    @classmethod
    def of(cls, folder: Path, snapshots: Sequence[Snapshot]) -> SharedSnapshot:
        """Those of the shards, in order. Segments of one kind and one codec are searched together."""
        groups: dict[tuple[str, str], tuple[Engine[Any, Any], list[LiveSegment]]] = {}
        for snapshot in snapshots:
            for live in snapshot.segments:
                kind = live.record.kind
                key = kind, snapshot.codec_checksum if live.record.coded else ""
                groups.setdefault(key, (snapshot.engines[kind], []))[1].append(live)
        coded = next((one for one in snapshots if one.codec is not None), Snapshot(folder))
        segments = [live for snapshot in snapshots for live in snapshot.segments]
        return cls(
            folder, segments, coded.codec, coded.codec_checksum, coded.engines, coded.curve, list(groups.values())
        )

    def _by_engine(self) -> Iterator[tuple[Engine[Any, Any], list[LiveSegment]]]:
        return iter(self.groups)


class SharedView:
    """A `ReadableView` of all shards. Its views are kept open by whoever made it.

    Args:
        folder: Of the shards.
        views: Of the shards, in order.
        settings: Of the whole.
    """

    def __init__(self, folder: Path, views: Sequence[View], settings: IndexSettings) -> None:
        self.views = tuple(views)
        self.catalog = SharedCatalog([view.catalog for view in views])
        self.snapshot = SharedSnapshot.of(folder, [view.snapshot for view in views])
        self.settings = settings
