"""Ask in one language, find the passage in another, answer from it: LangChain over a polyvec index.

The chat model here is a fake that needs no network; put ChatOpenAI or another one in its place.
"""

import tempfile
from pathlib import Path

from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough

from polyvec.demo import load_demo
from polyvec.integrations.langchain import PolyvecVectorStore

QUESTION = "Woran erkennen Bienen, wo es Blüten gibt?"
ANSWER = "An der Richtung und der Dauer des Schwänzeltanzes."


def main(folder: Path) -> None:
    store = PolyvecVectorStore(folder / "demo.polyvec")
    store.add_documents(
        [Document(id=d.id, page_content=d.text, metadata=d.metadata) for d in load_demo().documents],
    )
    retriever = store.as_retriever(search_kwargs={"k": 1, "filter": {"lang": "en"}})
    prompt = ChatPromptTemplate.from_template("Answer from these passages:\n{passages}\n\nQuestion: {question}")
    model = FakeListChatModel(responses=[ANSWER])

    answer = prompt | model | StrOutputParser()
    chain = RunnablePassthrough.assign(
        passages=lambda given: "\n".join(document.page_content for document in given["documents"])
    ).assign(answer=answer)
    found = chain.invoke({"question": QUESTION, "documents": retriever.invoke(QUESTION)})

    print("Q:", QUESTION)
    print("A:", found["answer"])
    for document in found["documents"]:
        print(f"From {document.id}: {marked(store, document)}")
    store.index.close()


def marked(store: PolyvecVectorStore, document: Document) -> str:
    """The passage with the words that the question met between asterisks."""
    explanation = store.explain(QUESTION, document)
    text = explanation.text
    for stretch in reversed(explanation.highlights()):
        text = f"{text[: stretch.start]}*{text[stretch.start : stretch.end]}*{text[stretch.end :]}"
    return text


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(Path(folder))
