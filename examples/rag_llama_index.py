"""Ask in one language, find the passage in another, answer from it: LlamaIndex over a polyvec index.

The language model here is LlamaIndex's own fake, which repeats its prompt; put OpenAI or another one in its place.
"""

import tempfile
from pathlib import Path

from llama_index.core import Document
from llama_index.core.llms import MockLLM
from llama_index.core.vector_stores import MetadataFilter, MetadataFilters

from polyvec.demo import load_demo
from polyvec.integrations.llama_index import PolyvecIndex, PolyvecReranker

QUESTION = "Woran erkennen Bienen, wo es Blüten gibt?"


def main(folder: Path) -> None:
    documents = [Document(id_=d.id, text=d.text, metadata=d.metadata) for d in load_demo().documents]
    index = PolyvecIndex.from_documents(documents, path=folder / "demo.polyvec")
    engine = index.as_query_engine(
        llm=MockLLM(),
        similarity_top_k=5,
        filters=MetadataFilters(filters=[MetadataFilter(key="lang", value="en")]),
        node_postprocessors=[PolyvecReranker(top_n=1)],
    )
    response = engine.query(QUESTION)

    print("Q:", QUESTION)
    print("A:", " ".join(str(response).split())[:200])
    for source in response.source_nodes:
        print(f"From {source.node.ref_doc_id}: {marked(index, source.node)}")
    index.index.close()


def marked(index: PolyvecIndex, node: object) -> str:
    """The passage with the words that the question met between asterisks."""
    explanation = index.explain(QUESTION, node)
    text = explanation.text
    for stretch in reversed(explanation.highlights()):
        text = f"{text[: stretch.start]}*{text[stretch.start : stretch.end]}*{text[stretch.end :]}"
    return text


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(Path(folder))
