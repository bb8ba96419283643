"""How well does a checkpoint find passages in twelve languages? python evaluate_languages.py [CHECKPOINT]

The judged questions are those of the demo corpus that ships with polyvec: in `same` the right passage is in the question's
own language, in `cross` it is in the others. Ten questions a language: a look, not a measurement.
"""

import sys

import polyvec
from polyvec.demo import load_demo
from polyvec.evaluation.dataset import Dataset

LANGUAGES = ("ar", "de", "en", "es", "fr", "hi", "it", "ja", "pl", "ru", "tr", "zh")


def dataset(split: str) -> Dataset:
    """The split's questions in twelve languages, among the passages in these."""
    demo = load_demo()
    queries = [query for query in demo.queries if query.lang in LANGUAGES]
    kept = [document for document in demo.documents if document.metadata["lang"] in LANGUAGES]
    ids = {document.id for document in kept}
    qrels = {
        query.id: {key: grade for key, grade in demo.qrels[split][query.id].items() if key in ids} for query in queries
    }
    return Dataset(name=split, queries=queries, qrels=qrels, documents=lambda: iter(kept))


def main(checkpoint: str | None) -> None:
    encoder = polyvec.Encoder(checkpoint) if checkpoint else polyvec.Encoder()
    found = {
        split: polyvec.evaluate(dataset(split), encoder=encoder, measures=["nDCG@10"]) for split in ("same", "cross")
    }
    print(
        f"{found['same'].queries} questions, {found['same'].documents} passages, {found['same'].tokens} token vectors; nDCG@10"
    )
    print("language  same  cross")
    for language in LANGUAGES:
        same, cross = (found[split].by_lang[language]["nDCG@10"] for split in ("same", "cross"))
        print(f"{language:8}  {same:.2f}  {cross:.2f}")
    same, cross = (found[split].macro["nDCG@10"] for split in ("same", "cross"))
    print(f"mean      {same:.2f}  {cross:.2f}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
