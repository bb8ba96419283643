"""Ask in one language, find the passage in another, answer from it: a Haystack pipeline over a polyvec index.

The chat model here is a component that needs no network; put OpenAIChatGenerator or another one in its place.
"""

import tempfile
from pathlib import Path

from haystack import Document, Pipeline, component
from haystack.components.builders import PromptBuilder

from polyvec.demo import load_demo
from polyvec.integrations.haystack import PolyvecDocumentStore, PolyvecRanker, PolyvecRetriever

QUESTION = "Woran erkennen Bienen, wo es Blüten gibt?"
ANSWER = "An der Richtung und der Dauer des Schwänzeltanzes."
TEMPLATE = "Answer from these passages:\n{% for d in documents %}{{ d.content }}\n{% endfor %}\nQuestion: {{ query }}"


@component
class FakeGenerator:
    @component.output_types(replies=list[str])
    def run(self, prompt: str) -> dict[str, list[str]]:
        return {"replies": [ANSWER]}


def main(folder: Path) -> None:
    store = PolyvecDocumentStore(folder / "demo.polyvec")
    store.write_documents([Document(id=d.id, content=d.text, meta=d.metadata) for d in load_demo().documents])

    pipeline = Pipeline()
    english = {"field": "meta.lang", "operator": "==", "value": "en"}
    pipeline.add_component("retriever", PolyvecRetriever(store, top_k=5, filters=english))
    pipeline.add_component("ranker", PolyvecRanker(top_k=1))
    pipeline.add_component("prompt", PromptBuilder(TEMPLATE, required_variables="*"))
    pipeline.add_component("model", FakeGenerator())
    for one, other in (("retriever", "ranker"), ("ranker.documents", "prompt.documents"), ("prompt", "model")):
        pipeline.connect(one, other)
    asked = {name: {"query": QUESTION} for name in ("retriever", "ranker", "prompt")}
    result = pipeline.run(asked, include_outputs_from={"ranker"})

    print("Q:", QUESTION)
    print("A:", result["model"]["replies"][0])
    for document in result["ranker"]["documents"]:
        explanation = store.explain(QUESTION, document)
        text = explanation.text
        for stretch in reversed(explanation.highlights()):
            text = f"{text[: stretch.start]}*{text[stretch.start : stretch.end]}*{text[stretch.end :]}"
        print(f"From {document.id}: {text}")
    store.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(Path(folder))
