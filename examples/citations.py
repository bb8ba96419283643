"""Answers with citations: passages are found in any language, numbered, and every statement names the one it comes from.

`answer` stands in for a language model: it picks the sentence of each passage that MaxSim likes best. Give `prompt` to the
model of your choice in its place, and check its numbers with `cited`.
"""

import re
import tempfile
from pathlib import Path

import polyvec
from polyvec.demo import load_demo

QUESTIONS = ("Warum bleibt Sauerteigbrot länger frisch?", "¿Cómo se convierte el néctar en miel?")


def prompt(question: str, hits: list[polyvec.Hit]) -> str:
    sources = "\n".join(f"[{number}] {hit.text}" for number, hit in enumerate(hits, start=1))
    return f"Answer from these sources alone. Put the number of the source after each statement.\n{sources}\n\nQuestion: {question}"


def answer(question: str, hits: list[polyvec.Hit], encoder: polyvec.Encoder) -> str:
    """A stand-in for a language model: the best sentence of each source, with its number."""
    statements = []
    for number, hit in enumerate(hits, start=1):
        sentences = re.split(r"(?<=[.!?])\s+", hit.text)
        (best,) = polyvec.rerank(question, sentences, encoder=encoder, k=1)
        statements.append(f"{best.text} [{number}]")
    return " ".join(statements)


def cited(text: str, hits: list[polyvec.Hit]) -> list[str]:
    """The ids of the passages that a text cites; a number that no source has is an error."""
    numbers = sorted({int(number) for number in re.findall(r"\[(\d+)\]", text)})
    if wrong := [number for number in numbers if not 1 <= number <= len(hits)]:
        raise ValueError(f"the answer cites {wrong}, but there are {len(hits)} sources")
    return [hits[number - 1].id for number in numbers]


def main(place: Path) -> None:
    encoder = polyvec.Encoder()
    with polyvec.Index.create(place / "demo.polyvec", encoder=encoder) as index:
        index.add(load_demo().documents)
        for question in QUESTIONS:
            hits = index.search(question, k=2, filter={"lang": {"$in": ["en", "ru"]}}, min_score=0.6)
            print(f"Q: {question}\n   ({len(prompt(question, hits))} characters for the model)")
            told = answer(question, hits, encoder)
            print(f"A: {told}\n   sources: {', '.join(cited(told, hits))}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(Path(folder))
