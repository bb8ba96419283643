"""Nodes of LlamaIndex <-> documents and hits of polyvec.

Metadata is stored as it is. What else a node has, such as its relationships, is stored in fields that begin with "_llama_index",
which are taken out again on the way back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from llama_index.core.schema import BaseNode, Document, ImageNode, IndexNode, MetadataMode, Node, TextNode

from polyvec.data import Document as StoredDocument
from polyvec.errors import InputError

FIELD = "_llama_index"
SOURCE_FIELD = f"{FIELD}_source"  # id of the document that a node is a part of
EMPTY_FIELD = f"{FIELD}_empty"  # names of fields that hold an empty list
_CLASSES: dict[str, type[BaseNode]] = {kind.__name__: kind for kind in (Document, ImageNode, IndexNode, Node, TextNode)}
_PLAIN = {"class_name": TextNode.__name__}  # what there is of a node with nothing but id, text and metadata
_APART = {"id_", "text", "metadata", "embedding"}  # stored in places of their own, but for embeddings


def row_of(node: BaseNode) -> StoredDocument:
    """A document to store.

    Raises:
        InputError: The node has no text, is of another class, or has a field of metadata whose name is needed here.
    """
    text = node.get_content(metadata_mode=MetadataMode.NONE)
    if not text.strip():
        raise InputError(f"Node {node.node_id!r} has no text. Expected one: it is what the index finds it by.")
    if type(node).__name__ not in _CLASSES:
        raise InputError(f"Node {node.node_id!r} is a {type(node).__name__}; expected one of {', '.join(_CLASSES)}.")
    for name in node.metadata:
        if str(name).startswith(FIELD):
            raise InputError(
                f"Node {node.node_id!r} has a field {name!r}, which the index keeps for itself. Rename it."
            )
    rest = node.model_dump(mode="json", exclude_defaults=True, exclude=_APART)
    if "text_resource" in rest:
        rest["text_resource"].pop("text", None)
    rest.pop("text", None)  # documents give it beside their resource
    rest["class_name"] = type(node).__name__
    hidden: dict[str, Any] = {} if rest == _PLAIN else {FIELD: json.dumps(rest)}
    if node.ref_doc_id is not None:
        hidden[SOURCE_FIELD] = node.ref_doc_id
    empty = [name for name, value in node.metadata.items() if value in ([], ())]
    if empty:
        hidden[EMPTY_FIELD] = empty
    return StoredDocument(node.node_id, text, {**node.metadata, **hidden})


def node_of(id: str, text: str | None, metadata: Mapping[str, Any]) -> BaseNode:
    """A node as it was inserted; a document that was stored by other means is a TextNode."""
    own = {name: value for name, value in metadata.items() if not name.startswith(FIELD)}
    if FIELD not in metadata:
        return TextNode(id_=id, text=text or "", metadata=own)
    rest = json.loads(metadata[FIELD])
    kind = _CLASSES[rest["class_name"]]
    if "text_resource" in rest:
        rest["text_resource"]["text"] = text
    else:
        rest["text"] = text
    return kind.from_dict({**rest, "id_": id, "metadata": own})
