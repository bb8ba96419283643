"""Nodes of every class come back as they were inserted."""

from __future__ import annotations

import pytest

pytest.importorskip("llama_index.core", reason="llama-index-core is not installed")

from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageNode,
    IndexNode,
    MediaResource,
    Node,
    NodeRelationship,
    RelatedNodeInfo,
    TextNode,
)

from polyvec.data import Document as StoredDocument
from polyvec.errors import InputError
from polyvec.integrations.llama_index.nodes import node_of, row_of

pytestmark = pytest.mark.heavy

RELATED = {
    NodeRelationship.SOURCE: RelatedNodeInfo(node_id="d1", metadata={"a": 1}, hash="h"),
    NodeRelationship.CHILD: [RelatedNodeInfo(node_id="c1"), RelatedNodeInfo(node_id="c2")],
}


@pytest.mark.parametrize(
    "node",
    [
        TextNode(id_="n", text="red mars", metadata={"year": 1877, "tags": ["a"], "none": None}, relationships=RELATED),
        TextNode(
            text="x",
            excluded_embed_metadata_keys=["a"],
            excluded_llm_metadata_keys=["b"],
            start_char_idx=3,
            end_char_idx=4,
            metadata_template="{key}={value}",
            text_template="{content}",
            mimetype="text/markdown",
        ),
        Document(text="a whole document", metadata={"lang": "de"}),
        Document(text_resource=MediaResource(text="words", mimetype="text/html")),
        Node(text_resource=MediaResource(text="words"), image_resource=MediaResource(url="http://localhost/mars.png")),
        ImageNode(text="a picture of mars", image_url="http://localhost/mars.png"),
        IndexNode(text="a table", index_id="table-1", obj=TextNode(id_="inner", text="inner")),
    ],
    ids=lambda node: type(node).__name__,
)
def test_a_node_comes_back(node: BaseNode) -> None:
    row = row_of(node)
    assert {name: row.metadata[name] for name in node.metadata} == node.metadata
    back = node_of(row.id, row.text, row.metadata)
    assert type(back) is type(node)
    assert back == node


def test_documents_stored_by_other_means_are_text_nodes() -> None:
    stored = StoredDocument("m", "red mars", {"year": 1877})
    assert node_of(stored.id, stored.text, stored.metadata) == TextNode(
        id_="m", text="red mars", metadata={"year": 1877}
    )


def test_embeddings_are_not_kept() -> None:
    row = row_of(TextNode(text="red mars", embedding=[0.5]))
    assert node_of(row.id, row.text, row.metadata).embedding is None


def test_what_cannot_be_stored_is_refused() -> None:
    class Special(TextNode):
        pass

    with pytest.raises(InputError, match="no text"):
        row_of(ImageNode(image_url="http://localhost/mars.png"))
    with pytest.raises(InputError, match="keeps for itself"):
        row_of(TextNode(text="x", metadata={"_llama_index": 1}))
    with pytest.raises(InputError, match="is a Special"):
        row_of(Special(text="x"))
