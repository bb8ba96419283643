"""A polyvec index as LangChain's vector store: documents in, the best ones out, no embeddings object needed."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document as LangChainDocument
from langchain_core.runnables import run_in_executor
from langchain_core.vectorstores import VectorStore

from polyvec.integrations.langchain.documents import document_of_hit, document_of_stored, ids_of, rows_of
from polyvec.integrations.langchain.filters import filter_of
from polyvec.integrations.target import explained, opened
from polyvec.search.explain import Explanation
from polyvec.search.hits import Hit

if TYPE_CHECKING:
    from polyvec.encoder import TokenEncoder

DEFAULT_K = 4  # LangChain's own default


class PolyvecVectorStore(VectorStore):
    """Documents in a polyvec index, found by late interaction, by keywords, or by both.

    Searching, adding and deleting may be called from several threads, and from async code through the methods that begin
    with "a", which run in LangChain's executor and leave the event loop free.

    Args:
        index: A path, where an index is made if there is none; or an open `polyvec.Index` or another object with its methods.
        embedding: Not needed: token vectors come from the index's own model. A warning says so where one is given.
        encoder: The model, for an index at a path; default the index's own, or the one that ships with polyvec.
        nbits: Bits a dimension of an index that is made, as `polyvec.Index.create` has it.
        search_options: Keywords of `polyvec.Index.search` that hold for every search, such as {"mode": "hybrid"}.
    """

    def __init__(
        self,
        index: str | os.PathLike[str] | Any,
        embedding: Any = None,
        *,
        encoder: TokenEncoder | None = None,
        nbits: int | None = None,
        search_options: dict[str, Any] | None = None,
    ) -> None:
        _warn_of(embedding)
        self.index = opened(index, model=encoder, nbits=nbits)
        self._search_options = dict(search_options or {})

    # -- writing -------------------------------------------------------------------------------------------------------

    def add_documents(
        self, documents: list[LangChainDocument], *, ids: Sequence[str | None] | None = None, **kwargs: Any
    ) -> list[str]:
        """Store documents; one whose id is stored already is replaced. Durable on return, all of them or none.

        Args:
            documents: What to store. They are not changed.
            ids: An id for each; default each document's own, or a new one.
            **kwargs: None is known; given for the protocol.

        Returns:
            The ids, in order.

        Raises:
            ValueError: A text that is empty, metadata that JSON has no form for, or another number of ids.
        """
        _refuse_unknown("add_documents", kwargs)
        given = list(documents)
        chosen = ids_of(given, ids)
        if given:
            self.index.add(rows_of(given, chosen), existing="replace")
        return chosen

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Store texts, as `add_documents` stores documents.

        Raises:
            ValueError: Another number of metadatas or ids than of texts.
        """
        strings = list(texts)
        if metadatas is not None and len(metadatas) != len(strings):
            raise ValueError(
                f"metadatas: got {len(metadatas)} for {len(strings)} texts. Give one a text, or none at all."
            )
        metadata = metadatas if metadatas is not None else [{} for _ in strings]
        pairs = zip(strings, metadata, strict=True)
        documents = [LangChainDocument(page_content=text, metadata=one or {}) for text, one in pairs]
        return self.add_documents(documents, ids=ids, **kwargs)

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """Delete documents by id, by filter, or all of them.

        Args:
            ids: Their ids; unknown ones are passed over. None deletes every document, as LangChain has it.
            **kwargs: `filter`, a filter on metadata, in place of ids.

        Returns:
            True: the documents are not in the index any more.
        """
        condition = filter_of(kwargs.pop("filter", None))
        _refuse_unknown("delete", kwargs)
        if ids is not None and condition is not None:
            raise ValueError("delete: got both ids and filter. Give one of them.")
        if condition is not None:
            self.index.delete(filter=condition)
        else:
            self.index.delete([document.id for document in self.index.scan()] if ids is None else list(ids))
        return True

    # -- reading -------------------------------------------------------------------------------------------------------

    def get_by_ids(self, ids: Sequence[str], /) -> list[LangChainDocument]:
        """Stored documents in the order of the ids; unknown ids are left out."""
        return [document_of_stored(found) for found in self.index.get(list(ids)) if found is not None]

    def similarity_search(self, query: str, k: int = DEFAULT_K, **kwargs: Any) -> list[LangChainDocument]:
        """The best documents for a question in any language.

        Args:
            query: The question.
            k: Documents to return.
            **kwargs: `filter` (a dict, or a directive of a structured query) and the other keywords of
                `polyvec.Index.search`: mode, subset, min_score, exact, recall, nprobe, fusion, options.

        Returns:
            Documents with ids, best first.

        Raises:
            ValueError: A filter that polyvec cannot express, or an option that makes no sense.
        """
        return [document_of_hit(hit) for hit in self._hits(query, k, kwargs)]

    def similarity_search_with_score(
        self, query: str, k: int = DEFAULT_K, **kwargs: Any
    ) -> list[tuple[LangChainDocument, float]]:
        """The best documents with their scores, as `similarity_search` finds them.

        Scores are MaxSim, BM25 or fused, by mode; higher is better.
        """
        return [(document_of_hit(hit), hit.score) for hit in self._hits(query, k, kwargs)]

    def explain(self, query: str, document: LangChainDocument) -> Explanation:
        """Why a document was found: which words of the question met which of its words.

        Args:
            query: The question.
            document: A stored document; only its id counts.

        Returns:
            The explanation; its `highlights()` are stretches of its `text` to mark.

        Raises:
            InputError: It is not stored any more.
        """
        return explained(self.index, query, document.id)

    def _similarity_search_with_relevance_scores(
        self, query: str, k: int = DEFAULT_K, **kwargs: Any
    ) -> list[tuple[LangChainDocument, float]]:
        """The best documents with scores from 0 to 1, which a `score_threshold` is compared with."""
        hits = self._hits(query, k, kwargs)
        if any(hit.normalized_score is None for hit in hits):
            raise ValueError(
                "BM25 has no upper bound, so mode='keyword' has no relevance scores. Use mode 'late' or 'hybrid'."
            )
        return [(document_of_hit(hit), min(max(hit.normalized_score or 0.0, 0.0), 1.0)) for hit in hits]

    async def _asimilarity_search_with_relevance_scores(
        self, query: str, k: int = DEFAULT_K, **kwargs: Any
    ) -> list[tuple[LangChainDocument, float]]:
        found: list[tuple[LangChainDocument, float]] = await run_in_executor(
            None, self._similarity_search_with_relevance_scores, query, k, **kwargs
        )
        return found

    def _hits(self, query: str, k: int, keywords: dict[str, Any]) -> list[Hit]:
        chosen = {**self._search_options, **keywords}
        chosen["filter"] = filter_of(chosen.get("filter"))
        try:
            hits: list[Hit] = self.index.search(query, k=k, **chosen)
        except TypeError as error:
            raise ValueError(f"similarity_search: {error}") from None
        return hits

    # -- making --------------------------------------------------------------------------------------------------------

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Any = None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        index: str | os.PathLike[str] | Any = None,
        **kwargs: Any,
    ) -> PolyvecVectorStore:
        """A store at `index` with these texts in it. The other arguments are those of the class."""
        if index is None:
            raise ValueError("from_texts: index is missing. Give a path for the index, such as index='notes.polyvec'.")
        store = cls(index, embedding, **kwargs)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    @classmethod
    def from_documents(
        cls, documents: list[LangChainDocument], embedding: Any = None, **kwargs: Any
    ) -> PolyvecVectorStore:
        """A store at `index` with these documents in it. The other arguments are those of `from_texts`."""
        ids = kwargs.pop("ids", None)
        index = kwargs.pop("index", None)
        if index is None:
            raise ValueError(
                "from_documents: index is missing. Give a path for the index, such as index='notes.polyvec'."
            )
        store = cls(index, embedding, **kwargs)
        store.add_documents(documents, ids=ids)
        return store

    def max_marginal_relevance_search(self, *args: Any, **kwargs: Any) -> list[LangChainDocument]:
        """Not offered: raises NotImplementedError."""
        raise NotImplementedError(_ONE_VECTOR.format("Maximal marginal relevance"))

    def similarity_search_by_vector(self, *args: Any, **kwargs: Any) -> list[LangChainDocument]:
        """Not offered: raises NotImplementedError."""
        raise NotImplementedError(_ONE_VECTOR.format("A search by an embedding"))


_ONE_VECTOR = (
    "{} needs one vector a text, and a late-interaction index holds one a token. Use similarity_search with the text, or "
    "index.search_vectors with a matrix of token vectors."
)


def _warn_of(embedding: Any) -> None:
    if embedding is not None:
        warnings.warn(
            f"PolyvecVectorStore does not use the embedding given ({type(embedding).__name__}): token vectors come from the "
            "index's own model. Leave embedding out.",
            stacklevel=3,
        )


def _refuse_unknown(method: str, keywords: dict[str, Any]) -> None:
    if keywords:
        raise ValueError(f"{method}: unknown keyword {next(iter(keywords))!r}.")
