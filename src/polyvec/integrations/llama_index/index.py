"""A polyvec index as LlamaIndex's index: documents in, retrievers and query engines out, no embedding model needed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from llama_index.core.callbacks import CallbackManager
from llama_index.core.constants import DEFAULT_SIMILARITY_TOP_K
from llama_index.core.data_structs import IndexDict
from llama_index.core.indices.managed.base import BaseManagedIndex
from llama_index.core.ingestion import run_transformations
from llama_index.core.schema import BaseNode, Document, NodeRelationship, TransformComponent
from llama_index.core.settings import Settings
from llama_index.core.storage.docstore.types import RefDocInfo
from llama_index.core.vector_stores import MetadataFilters

from polyvec.integrations.conditions import one_of
from polyvec.integrations.llama_index.nodes import SOURCE_FIELD, node_of, row_of
from polyvec.integrations.llama_index.retriever import PolyvecRetriever
from polyvec.integrations.target import explained, opened, path_or_index
from polyvec.search.explain import Explanation

if TYPE_CHECKING:
    from polyvec.encoder import TokenEncoder


class PolyvecIndex(BaseManagedIndex):
    """Nodes in a polyvec index. Everything is stored there: no storage context is needed, and none is filled.

    Methods may be called from several threads; those that begin with "a" run in a thread and leave the event loop free.

    Args:
        path: Where the index lies; it is made there if there is none.
        index: In place of a path: an open `polyvec.Index`, or another object with its methods.
        nodes: Nodes to insert.
        model: For an index at a path: name or folder of the model, or an encoder; default the index's own, or the one that ships
            with polyvec.
        nbits: Bits a dimension of an index that is made, as `polyvec.Index.create` has it.
        transformations: What makes nodes of documents; default LlamaIndex's settings.
        show_progress: Whether LlamaIndex shows its progress.
        callback_manager: As LlamaIndex has it.

    Raises:
        InputError: Neither path nor index is given, or both, or options for an index that is open.
    """

    index_struct_cls = IndexDict

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        index: Any = None,
        nodes: Sequence[BaseNode] | None = None,
        model: str | TokenEncoder | None = None,
        nbits: int | None = None,
        transformations: list[TransformComponent] | None = None,
        show_progress: bool = False,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        self._searched = opened(path_or_index("PolyvecIndex", path, index), model=model, nbits=nbits)
        super().__init__(
            nodes=list(nodes or []),
            transformations=transformations,
            show_progress=show_progress,
            callback_manager=callback_manager,
        )

    @property
    def index(self) -> Any:
        """The open index."""
        return self._searched

    @classmethod
    def from_documents(  # no storage context: the path says where things are stored
        cls,
        documents: Sequence[Document],
        path: str | os.PathLike[str] | None = None,
        *,
        index: Any = None,
        model: str | TokenEncoder | None = None,
        nbits: int | None = None,
        transformations: list[TransformComponent] | None = None,
        show_progress: bool = False,
        callback_manager: CallbackManager | None = None,
    ) -> PolyvecIndex:
        """An index at a path with these documents in it.

        Args:
            documents: What to index. One whose id is there already takes the place of the earlier one.
            path: Where the index lies; it is made there if there is none.
            index: In place of a path: an open index.
            model: As the class has it.
            nbits: As the class has it.
            transformations: As the class has it.
            show_progress: As the class has it.
            callback_manager: As the class has it.

        Returns:
            The open index.
        """
        made = cls(
            path,
            index=index,
            model=model,
            nbits=nbits,
            transformations=transformations or Settings.transformations,
            show_progress=show_progress,
            callback_manager=callback_manager,
        )
        made._put(documents)
        return made

    def as_retriever(
        self,
        similarity_top_k: int = DEFAULT_SIMILARITY_TOP_K,
        *,
        filters: MetadataFilters | None = None,
        node_ids: Sequence[str] | None = None,
        doc_ids: Sequence[str] | None = None,
        search_options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> PolyvecRetriever:
        """A retriever of this index.

        Args:
            similarity_top_k: Nodes to return.
            filters: A filter on metadata.
            node_ids: Only nodes with these ids.
            doc_ids: Only nodes of these documents.
            search_options: Other keywords of `polyvec.Index.search`, such as {"mode": "hybrid"}.
            **kwargs: What `as_query_engine` and `as_chat_engine` are given for the engine; not looked at here.

        Returns:
            The retriever.
        """
        return PolyvecRetriever(
            self._searched,
            similarity_top_k=similarity_top_k,
            filters=filters,
            node_ids=node_ids,
            doc_ids=doc_ids,
            search_options=search_options,
            callback_manager=self._callback_manager,
        )

    def explain(self, query: str, node: BaseNode) -> Explanation:
        """Why a node was found: which words of the question met which of its words.

        Args:
            query: The question.
            node: A stored node; only its id counts.

        Returns:
            The explanation; its `highlights()` are stretches of its `text` to mark.

        Raises:
            InputError: It is not stored any more.
        """
        return explained(self._searched, query, node.node_id)

    # -- documents -----------------------------------------------------------------------------------------------------

    def update_ref_doc(self, document: Document, **update_kwargs: Any) -> None:
        """Put a document in place of the one with its id; its old nodes are deleted once the new ones are stored."""
        self._put([document])

    async def aupdate_ref_doc(self, document: Document, **update_kwargs: Any) -> None:
        """`update_ref_doc` in a thread."""
        await asyncio.to_thread(self.update_ref_doc, document)

    def delete_ref_doc(self, ref_doc_id: str, delete_from_docstore: bool = False, **delete_kwargs: Any) -> None:
        """Delete all nodes of a document; an unknown id is passed over."""
        self._searched.delete(filter=one_of(SOURCE_FIELD, [ref_doc_id]))

    async def adelete_ref_doc(self, ref_doc_id: str, delete_from_docstore: bool = False, **delete_kwargs: Any) -> None:
        """`delete_ref_doc` in a thread."""
        await asyncio.to_thread(self.delete_ref_doc, ref_doc_id)

    def refresh_ref_docs(self, documents: Sequence[Document], **update_kwargs: Any) -> list[bool]:
        """Insert documents that are new and update those that have changed. Returns for each whether that was so."""
        hashes = {}
        for stored in self._nodes_of([document.id_ for document in documents]):
            source = stored.source_node
            if source is not None:
                hashes[source.node_id] = source.hash
        changed = [hashes.get(document.id_) != document.hash for document in documents]
        self._put([document for document, is_changed in zip(documents, changed, strict=True) if is_changed])
        return changed

    async def arefresh_ref_docs(self, documents: Sequence[Document], **update_kwargs: Any) -> list[bool]:
        """`refresh_ref_docs` in a thread."""
        return await asyncio.to_thread(self.refresh_ref_docs, documents)

    @property
    def ref_doc_info(self) -> dict[str, RefDocInfo]:
        """The documents that nodes are parts of, by id; reads all nodes."""
        found: dict[str, RefDocInfo] = {}
        for stored in self._searched.scan(filter={SOURCE_FIELD: {"$exists": True}}):
            node = node_of(stored.id, stored.text, stored.metadata)
            source = node.relationships[NodeRelationship.SOURCE]
            info = found.setdefault(source.node_id, RefDocInfo(metadata=source.metadata))
            info.node_ids.append(node.node_id)
        return found

    # -- nodes ---------------------------------------------------------------------------------------------------------

    def get_nodes(self, node_ids: Sequence[str]) -> list[BaseNode]:
        """Stored nodes in the order of the ids; unknown ids are left out."""
        found = self._searched.get(list(node_ids))
        return [node_of(one.id, one.text, one.metadata) for one in found if one is not None]

    def build_index_from_nodes(self, nodes: Sequence[BaseNode], **build_kwargs: Any) -> IndexDict:
        """Store nodes; called when the index is made."""
        self._insert(nodes)
        return IndexDict()

    def insert_nodes(self, nodes: Sequence[BaseNode], **insert_kwargs: Any) -> None:
        """Store nodes; one whose id is stored already is replaced. Durable on return, all of them or none."""
        with self._callback_manager.as_trace("insert_nodes"):
            self._insert(nodes)

    async def ainsert_nodes(self, nodes: Sequence[BaseNode], **insert_kwargs: Any) -> None:
        """`insert_nodes` in a thread."""
        await asyncio.to_thread(self.insert_nodes, nodes)

    def delete_nodes(self, node_ids: list[str], delete_from_docstore: bool = False, **delete_kwargs: Any) -> None:
        """Delete nodes; unknown ids are passed over."""
        self._searched.delete(list(node_ids))

    async def adelete_nodes(
        self, node_ids: list[str], delete_from_docstore: bool = False, **delete_kwargs: Any
    ) -> None:
        """`delete_nodes` in a thread."""
        await asyncio.to_thread(self.delete_nodes, node_ids)

    # -- beneath -------------------------------------------------------------------------------------------------------

    def _put(self, documents: Sequence[Document]) -> None:
        """Store documents, and delete what nodes they had before."""
        if not documents:
            return
        nodes = run_transformations(list(documents), self._transformations, show_progress=self._show_progress)
        before = {node.node_id for node in self._nodes_of([document.id_ for document in documents])}
        self._insert(nodes)
        outdated = before - {node.node_id for node in nodes}
        if outdated:
            self._searched.delete(sorted(outdated))

    def _nodes_of(self, document_ids: list[str]) -> Iterable[BaseNode]:
        for stored in self._searched.scan(filter=one_of(SOURCE_FIELD, document_ids)):
            yield node_of(stored.id, stored.text, stored.metadata)

    def _insert(self, nodes: Sequence[BaseNode], **insert_kwargs: Any) -> None:
        last = {node.node_id: node for node in nodes}
        if last:
            self._searched.add([row_of(node) for node in last.values()], existing="replace")
