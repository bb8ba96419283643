"""An Encoder, searched through a polyvec index, as a model that MTEB evaluates (mteb 2.x, its search protocol).

    import mteb, polyvec
    from polyvec.integrations.mteb import PolyvecModel

    mteb.evaluate(PolyvecModel(polyvec.Encoder()), tasks=mteb.get_tasks(["SciFact"]))

Scores are those of the index, compression included, and not of brute force over vectors in memory.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyvec.arguments import thread_count, token_encoder
from polyvec.collection.index import DEFAULT_NBITS, Index
from polyvec.collection.settings import checked_nbits
from polyvec.data import Document
from polyvec.scoring import default_threads

if TYPE_CHECKING:
    from mteb.models import ModelMeta

    from polyvec.encoder import TokenEncoder


class PolyvecModel:
    """MTEB's SearchProtocol: `index` builds a polyvec index of a task's corpus in a temporary folder, `search` asks it."""

    def __init__(self, encoder: TokenEncoder, *, nbits: int = DEFAULT_NBITS, threads: int | None = None) -> None:
        token_encoder("encoder", encoder)
        self.encoder, self.nbits, self.threads = encoder, checked_nbits(nbits), threads
        thread_count(threads, default_threads)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._index: Index | None = None

    @property
    def mteb_model_meta(self) -> ModelMeta:
        """What MTEB writes beside the results."""
        from mteb.models import ModelMeta

        overwrites = {
            "name": f"polyvec/{Path(self.encoder.name).name}",
            "revision": self.encoder.fingerprint,
            "embed_dim": self.encoder.dim,
            "max_tokens": self.encoder.document_length,
            "similarity_fn_name": "MaxSim",
        }
        return ModelMeta.create_empty(overwrites=overwrites)

    def index(self, corpus: Any, **settings: Any) -> None:
        """Index a corpus: rows with id, text and perhaps title.

        Args:
            settings: What else MTEB tells; not needed here.
        """
        self.close()
        self._folder = tempfile.TemporaryDirectory(prefix="polyvec-mteb-")
        path = Path(self._folder.name) / "index.polyvec"
        self._index = Index.create(path, encoder=self.encoder, nbits=self.nbits)
        self._index.add(_documents(corpus))
        self._index.compact()

    def search(
        self, queries: Any, *, top_k: int, top_ranked: dict[str, list[str]] | None = None, **settings: Any
    ) -> dict[str, dict[str, float]]:
        """Scores by query and document id.

        Args:
            top_ranked: The candidates of a reranking task, by query id.
        """
        if self._index is None:
            raise RuntimeError("search was called before index")
        found: dict[str, dict[str, float]] = {}
        for row in queries:
            subset = None if top_ranked is None else top_ranked[row["id"]]
            hits = self._index.search(_query_text(row), k=top_k, subset=subset, threads=self.threads)
            found[row["id"]] = {hit.id: hit.score for hit in hits}
        return found

    def close(self) -> None:
        """Remove the index of the last task; safe to call twice."""
        if self._index is not None:
            self._index.close()
            self._index = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


def _documents(corpus: Any) -> Iterator[Document]:
    for row in corpus:
        title = row.get("title") or ""
        text = row["text"] if str(row["text"]).strip() else title or "-"  # an empty document can be found by nothing
        yield Document(str(row["id"]), text, {"title": title} if title.strip() and title != text else {})


def _query_text(row: dict[str, Any]) -> str:
    text = row["text"]
    return text if isinstance(text, str) else " ".join(str(turn["content"]) for turn in text)
