"""shards.json: which folders are the shards, how ids are routed to them, and what all of them have in common."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyvec.arguments import shown
from polyvec.atomic import write_text
from polyvec.collection.settings import NBITS
from polyvec.errors import IndexCorruptError, IndexMissingError, StorageError
from polyvec.index.catalog.settings import IndexSettings, ModelRecord
from polyvec.index.kernels import MAX_DIM
from polyvec.shards.routing import MOST_SHARDS, ROUTING
from polyvec.version import __version__

MANIFEST_FILE = "shards.json"
MANIFEST_VERSION = 1
_FORMAT = "polyvec shards"
_FOLDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MOST_BYTES = 1 << 20
_KEYS = ("format", "version", "polyvec", "shards", "routing", "dim", "nbits", "encoder", "codecs")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What holds for all shards.

    Attributes:
        shards: Names of their folders, in order: a document's shard is a place in this list.
        dim: Dimensions of a token vector.
        nbits: Bits a dimension; 16 is fp16.
        model: None for shards of vectors only.
        codecs: Checksums of the codecs that shards may have. The first is the one that all of them get; another stands here only
            while they change from it.
    """

    shards: tuple[str, ...]
    dim: int
    nbits: int
    model: ModelRecord | None
    codecs: tuple[str, ...] = ()

    def settings(self) -> IndexSettings:
        """The same, as one index has it."""
        return IndexSettings(
            state="ready", source=None, version=__version__, dim=self.dim, nbits=self.nbits, model=self.model
        )

    def write(self, folder: Path) -> None:
        """Put the manifest into the folder, in place of one that is there, durably.

        Raises:
            StorageError: It cannot be written.
        """
        model = self.model
        values = {
            "format": _FORMAT,
            "version": MANIFEST_VERSION,
            "polyvec": __version__,
            "shards": list(self.shards),
            "routing": ROUTING,
            "dim": self.dim,
            "nbits": self.nbits,
            "encoder": None if model is None else {"fingerprint": model.fingerprint, "settings": model.settings},
            "codecs": list(self.codecs),
        }
        write_text(folder / MANIFEST_FILE, json.dumps(values, ensure_ascii=False, indent=1) + "\n")


def has_manifest(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder is one of shards, as far as the name of its manifest says.

    Args:
        folder: Any path.

    Returns:
        Whether a shards.json is there.
    """
    return os.path.isfile(os.path.join(folder, MANIFEST_FILE))


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a folder of shards.

    Args:
        folder: That has a shards.json.

    Returns:
        The manifest, checked.

    Raises:
        IndexMissingError: There is none.
        IndexCorruptError: It is no manifest, or holds what none can.
        StorageError: It needs another version of polyvec, or cannot be read.
    """
    path = folder / MANIFEST_FILE
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError as error:
        what = "there is no such folder" if not folder.exists() else f"it holds no {MANIFEST_FILE}"
        raise IndexMissingError(
            f"{folder} is no folder of shards: {what}. Make one with `polyvec shard INDEX {folder}` or Shards.create()."
        ) from error
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}. Check its permissions.") from error
    try:
        if len(data) > _MOST_BYTES:
            raise ValueError(f"it has over {_MOST_BYTES:,} bytes")
        values = json.loads(data)
        if not isinstance(values, dict) or values.get("format") != _FORMAT:
            raise ValueError(f'expected an object with "format": "{_FORMAT}"')
    except (ValueError, RecursionError) as error:
        raise IndexCorruptError(f"{path} is no manifest of shards: {error}. Restore it from a copy.") from error
    version = values.get("version")
    if version != MANIFEST_VERSION or isinstance(version, bool):
        raise StorageError(
            f"{path} has version {shown(version)}, and this polyvec reads {MANIFEST_VERSION}. Use the polyvec that wrote it."
        )
    try:
        return checked_manifest(values)
    except (ValueError, TypeError) as error:
        raise IndexCorruptError(f"{path}: {error}. Restore it from a copy.") from error


def checked_manifest(values: Mapping[str, Any]) -> Manifest:
    """The manifest that a JSON object is.

    Args:
        values: As `Manifest.write` writes them.

    Returns:
        The manifest.

    Raises:
        ValueError: It holds what none can; the message says what.
    """
    if missing := [key for key in _KEYS if key not in values]:
        raise ValueError(f"{', '.join(missing)} missing")
    names = values["shards"]
    if not isinstance(names, list) or not all(isinstance(one, str) and _FOLDER_NAME.fullmatch(one) for one in names):
        raise ValueError("shards: expected a list of names of folders")
    if len(set(names)) != len(names) or not 1 <= len(names) <= MOST_SHARDS:
        raise ValueError(f"shards: expected 1 to {MOST_SHARDS} different names")
    if values["routing"] != ROUTING:
        raise ValueError(f"routing {shown(values['routing'])} is not known, expected {ROUTING!r}")
    dim, nbits = values["dim"], values["nbits"]
    if type(dim) is not int or not 1 <= dim <= MAX_DIM:
        raise ValueError(f"dim {shown(dim)}: expected 1 to {MAX_DIM}")
    if type(nbits) is not int or nbits not in NBITS:
        raise ValueError(f"nbits {shown(nbits)}: expected one of {', '.join(map(str, NBITS))}")
    codecs = values["codecs"]
    if not isinstance(codecs, list) or not all(isinstance(one, str) for one in codecs):
        raise ValueError("codecs: expected a list of checksums")
    encoder = values["encoder"]
    known = isinstance(encoder, dict) and isinstance(encoder.get("fingerprint"), str)
    if encoder is not None and not (known and isinstance(encoder.get("settings"), dict)):
        raise ValueError("encoder: expected null, or an object with fingerprint and settings")
    model = None if encoder is None else ModelRecord(encoder["fingerprint"], encoder["settings"])
    return Manifest(shards=tuple(names), dim=dim, nbits=nbits, model=model, codecs=tuple(codecs))
