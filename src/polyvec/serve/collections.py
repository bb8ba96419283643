"""Which collections are served: each an open index under the name of its folder, with its model and its one writer."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from polyvec.arguments import shown
from polyvec.collection.searcher import Searcher
from polyvec.errors import InputError
from polyvec.serve.encoding import SharedEncoder
from polyvec.serve.pool import Pool
from polyvec.serve.problems import Problem
from polyvec.shards.opening import open_collection

if TYPE_CHECKING:
    from polyvec.encoder import TokenEncoder

_SUFFIX = ".polyvec"


@dataclass(eq=False)
class Collection:
    """One collection that is served.

    Args:
        name: What clients call it.
        index: Open, and shared by all threads: an index, or several as one.
        encoder: Its model; None where it has none, or encodes by itself.
        writer: One thread that does every change, in order.
        examples: Questions that the start page offers.
    """

    name: str
    index: Searcher
    encoder: SharedEncoder | None
    writer: Pool = field(default_factory=lambda: Pool(threads=1, places=64, name="polyvec-writer"))
    examples: Sequence[str] = ()

    writes: int = 0  # done here
    _fields: tuple[object, list[dict[str, Any]]] | None = None

    @property
    def path(self) -> str | None:
        """Where it lies, which no client is told; None where it is in no one place."""
        path = getattr(self.index, "path", None)
        return None if path is None else str(path)

    def facts(self) -> dict[str, Any]:
        """What `info` says, but for where the collection lies."""
        return {"name": self.name, **{name: value for name, value in self.index.info().items() if name != "path"}}

    def described(self) -> dict[str, Any]:
        """The facts, and its metadata fields with counts, which are read again when the collection has changed."""
        facts = self.facts()
        state = (self.writes, facts["documents"], facts.get("deleted_rows"), facts.get("segments"))
        if self._fields is None or self._fields[0] != state:
            self._fields = (state, [one.to_dict() for one in self.index.fields().values()])
        examples = {"examples": list(self.examples)} if self.examples else {}
        return {**facts, "fields": self._fields[1], **examples}

    def close(self) -> None:
        """End the writer and close the index."""
        self.writer.close()
        self.index.close()


class Collections(Mapping[str, Collection]):
    """Collections by name, in the order given. `wiki` may be called `wiki.polyvec`, as its folder."""

    def __init__(self, collections: Iterable[Collection]) -> None:
        self._named: dict[str, Collection] = {}
        for one in collections:
            if one.name in self._named:
                raise InputError(
                    f"Two collections are named {one.name!r}: a collection is named by its folder. Rename one of the folders."
                )
            self._named[one.name] = one
        if not self._named:
            raise InputError("No collection is given: expected the path of at least one index.")

    def __getitem__(self, name: str) -> Collection:
        return self._named[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._named)

    def __len__(self) -> int:
        return len(self._named)

    def chosen(self, name: object) -> Collection:
        """The collection that a request names; where it names none, the only one.

        Raises Problem for a name that is not served, and for none where there are several.
        """
        if name is None:
            if len(self._named) == 1:
                return next(iter(self._named.values()))
            raise Problem("invalid", f"collection is missing: expected one of {', '.join(self._named)}.")
        if not isinstance(name, str):
            raise Problem("invalid", f"collection={shown(name)}: expected the name of a collection.")
        for one in names_for(name):
            if one in self._named:
                return self._named[one]
        raise Problem("no-collection", f"collection={shown(name)}: expected one of {', '.join(self._named)}.")

    def close(self) -> None:
        """Close every one of them."""
        for one in self._named.values():
            one.close()


def names_for(name: str) -> list[str]:
    """What a collection may be called that is asked for by this name: `wiki` and `wiki.polyvec` mean the same one."""
    bare = name.removesuffix(_SUFFIX)
    return [name, f"{name}{_SUFFIX}"] if bare == name else [name] if bare.endswith(_SUFFIX) else [name, bare]


def open_collections(
    paths: Sequence[str | os.PathLike[str]], *, encoder: TokenEncoder | None = None, follow: bool = False
) -> Collections:
    """Open indexes to serve them. A model that several of them have is loaded once.

    Args:
        paths: Folders of indexes, or of shards.
        encoder: The model of all of them; None for what each says.
        follow: Whether every search sees what other processes have committed.
    """
    loaded: dict[str, SharedEncoder] = {}
    opened: list[Collection] = []
    try:
        for path in paths:
            shared = _shared_encoder(path, encoder, loaded)
            index = open_collection(path, encoder=shared, auto_refresh=follow)
            opened.append(Collection(index.name, index, shared))
        return Collections(opened)
    except BaseException:
        for one in opened:
            one.close()
        raise


def _shared_encoder(
    path: str | os.PathLike[str], encoder: TokenEncoder | None, loaded: dict[str, SharedEncoder]
) -> SharedEncoder | None:
    """The model of an index, None where it holds vectors only."""
    if encoder is not None:
        return loaded.setdefault(encoder.fingerprint, SharedEncoder(encoder))
    with open_collection(path) as index:
        if index.info()["model"] is None:
            return None
        found = index.encoder
    return loaded.setdefault(found.fingerprint, SharedEncoder(found))
