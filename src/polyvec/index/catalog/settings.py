"""What the catalog says of its index as a whole: how it was made, how far it has come, and which codec its vectors are in.

Here alone the stored JSON is taken apart and put together; everything else uses the fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["ready", "building"]


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """The model that made an index's vectors.

    Attributes:
        fingerprint: Of the model and its settings.
        settings: Arguments of Encoder, with which it makes the same vectors.
    """

    fingerprint: str
    settings: dict[str, Any]

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return self.settings.get("model") or "default"


@dataclass(frozen=True, slots=True)
class MeasuredRecall:
    """The share of the exact top 10 of this index that a search with one setting finds."""

    nprobe: int
    candidates: int | None
    recall: float


@dataclass(frozen=True, slots=True)
class CodecRecord:
    """The codec that vectors are in codes of.

    Attributes:
        file: Its name in the folder of segments.
        checksum: Of the file.
        size_bytes: Of the file.
        error: What coding loses, as a mean over tokens that it was not trained on.
        tokens: How many tokens the index held when it was trained.
        added_tokens: How many tokens were added since.
        added_error: What coding loses of those.
        curve: What each setting finds, cheapest first; None where it has not been measured yet.
    """

    file: str
    checksum: str
    size_bytes: int
    error: float
    tokens: int
    added_tokens: int = 0
    added_error: float = 0.0
    curve: tuple[MeasuredRecall, ...] | None = None

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> CodecRecord:
        """Raises KeyError, TypeError or ValueError for what no writer has stored."""
        added, curve = stored.get("added"), stored.get("curve")
        return cls(
            file=str(stored["file"]),
            checksum=str(stored["checksum"]),
            size_bytes=int(stored["size_bytes"]),
            error=float(stored["error"]),
            tokens=int(stored["tokens"]),
            added_tokens=0 if added is None else int(added["tokens"]),
            added_error=0.0 if added is None else float(added["error"]),
            curve=None if curve is None else tuple(MeasuredRecall(**point) for point in curve),
        )

    def to_json(self) -> dict[str, Any]:
        """What the catalog stores."""
        stored: dict[str, Any] = {
            "file": self.file,
            "checksum": self.checksum,
            "size_bytes": self.size_bytes,
            "error": self.error,
            "tokens": self.tokens,
        }
        if self.curve is not None:
            stored["curve"] = [asdict(point) for point in self.curve]
        if self.added_tokens:
            stored["added"] = {"tokens": self.added_tokens, "error": self.added_error}
        return stored


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSettings:
    """Everything that holds for an index as a whole.

    Attributes:
        state: "building" for one that cannot be opened yet.
        source: What it is built from, to resume it.
        version: Of polyvec, which made it.
        dim: Dimensions of a token vector.
        nbits: Bits a dimension; 16 is fp16.
        model: None for an index of vectors only.
        next_row: Of the next document.
        next_segment: Number of the next file.
        codec: None where all vectors are fp16.
    """

    state: State
    source: str | None
    version: str
    dim: int
    nbits: int
    model: ModelRecord | None
    next_row: int = 0
    next_segment: int = 1
    codec: CodecRecord | None = None

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> IndexSettings:
        """The settings in a catalog. Raises ValueError, with a message, for what no writer has stored."""
        needed = {"dim", "nbits", "encoder", "state", "next_row", "next_segment"}
        if missing := needed - set(stored):
            raise ValueError(f"settings are missing: {', '.join(sorted(missing))}")
        model, codec = stored["encoder"], stored.get("codec")
        try:
            return cls(
                state=stored["state"],
                source=stored.get("source"),
                version=str(stored.get("version")),
                dim=int(stored["dim"]),
                nbits=int(stored["nbits"]),
                model=None if model is None else ModelRecord(str(model["fingerprint"]), dict(model["settings"])),
                next_row=int(stored["next_row"]),
                next_segment=int(stored["next_segment"]),
                codec=None if codec is None else CodecRecord.from_json(codec),
            )
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise ValueError(f"a setting has a value that none can have ({error})") from error

    def to_json(self) -> dict[str, Any]:
        """What the catalog stores, by key."""
        model = self.model
        stored: dict[str, Any] = {
            "state": self.state,
            "source": self.source,
            "version": self.version,
            "dim": self.dim,
            "nbits": self.nbits,
            "encoder": None if model is None else {"fingerprint": model.fingerprint, "settings": model.settings},
            "next_row": self.next_row,
            "next_segment": self.next_segment,
        }
        return stored if self.codec is None else {**stored, "codec": self.codec.to_json()}
