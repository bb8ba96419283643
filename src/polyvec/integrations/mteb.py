"""An encoder, searched through a polyvec index, as a model that MTEB evaluates (mteb 2.x, its SearchProtocol).

    import mteb, polyvec
    from polyvec.integrations.mteb import PolyvecModel

    encoder = polyvec.Encoder()
    tasks = mteb.get_tasks(["SciFact"])
    mteb.evaluate(PolyvecModel(encoder, nbits=2), tasks=tasks)          # through a compressed index, as a user searches
    mteb.evaluate(PolyvecModel.uncompressed(encoder), tasks=tasks)      # fp16 vectors, every document scored

Scores are those of the index, compression and candidate generation included. MTEB keeps the results of each variant apart.
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
from polyvec.errors import InputError
from polyvec.scoring import default_threads

if TYPE_CHECKING:
    from mteb.models import ModelMeta

    from polyvec.encoder import TokenEncoder

UNCOMPRESSED = 16  # nbits of an index that keeps fp16 vectors


class PolyvecModel:
    """`index` builds a polyvec index of a task's corpus in a temporary folder, `search` asks it.

    Args:
        encoder: The model to evaluate.
        nbits: Bits a dimension of a stored token vector, as `polyvec.Index.create` has it.
        search_options: Keywords of `polyvec.Index.search` that hold for every search, such as {"recall": 0.95}.
        threads: Threads to search with; None for every processor this process may use.
    """

    def __init__(
        self,
        encoder: TokenEncoder,
        *,
        nbits: int = DEFAULT_NBITS,
        search_options: dict[str, Any] | None = None,
        threads: int | None = None,
    ) -> None:
        token_encoder("encoder", encoder)
        self.encoder, self.nbits, self.threads = encoder, checked_nbits(nbits), threads
        self.search_options = dict(search_options or {})
        thread_count(threads, default_threads)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._index: Index | None = None

    @classmethod
    def uncompressed(cls, encoder: TokenEncoder, *, threads: int | None = None) -> PolyvecModel:
        """The model itself: vectors are kept in fp16, and every document is scored."""
        return cls(encoder, nbits=UNCOMPRESSED, search_options={"exact": True}, threads=threads)

    @property
    def mteb_model_meta(self) -> ModelMeta:
        """What MTEB writes beside the results; nbits and search options make it an experiment of its own."""
        from mteb.models import ModelMeta
        from mteb.models.model_meta import ScoringFunction

        overwrites = {
            "name": f"polyvec/{Path(self.encoder.name).name}",
            "revision": self.encoder.fingerprint,
            "embed_dim": self.encoder.dim,
            "max_tokens": self.encoder.document_length,
            "similarity_fn_name": ScoringFunction.MAX_SIM,
            "model_type": ["late-interaction"],
            "experiment_kwargs": {"nbits": self.nbits, **self.search_options},
        }
        return ModelMeta.create_empty(overwrites=overwrites)

    def index(self, corpus: Any, **settings: Any) -> None:
        """Index a corpus.

        Args:
            corpus: Rows with id, text and perhaps title.
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
            queries: Rows with id and text, and perhaps an instruction.
            top_k: Documents for each query, at most.
            top_ranked: The candidates of a reranking task, by query id.
            settings: What else MTEB tells; not needed here.

        Raises:
            InputError: `index` was not called before.
        """
        if self._index is None:
            raise InputError("search was called before index. Give MTEB the model, or call index first.")
        keywords = {**self.search_options, "k": top_k, "threads": self.threads}
        rows = {row["id"]: _query_text(row) for row in queries}
        if top_ranked is not None:
            hits = [self._index.search(text, subset=top_ranked.get(id, []), **keywords) for id, text in rows.items()]
        else:
            hits = self._index.search(list(rows.values()), **keywords)
        return {id: {hit.id: hit.score for hit in found} for id, found in zip(rows, hits, strict=True)}

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
    """A query as MTEB words it: turns of a conversation are joined; an instruction comes behind a text, before a conversation."""
    text, instruction = row["text"], row.get("instruction")
    if isinstance(text, str):
        return f"{text} {instruction}" if instruction else text
    turns = [turn if isinstance(turn, str) else f"{turn['role']}: {turn['content']}" for turn in text]
    return "; ".join(turns) if not instruction else f"{instruction} {'; '.join(turns)}"
