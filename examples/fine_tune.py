"""Teach the default model the words of your company, and see whether it helped. Needs polyvec[train], and a minute or two.

The texts are made up: twelve names that no model has read. Every name comes with four questions to learn from; two others
are kept for judging. With real data, have a thousand questions or more, and judge on questions that were not trained on.
"""

import json
import os
import tempfile
from pathlib import Path

import polyvec
from polyvec.training.stages import train

NAMES = {
    "zorbel": "the form for a day off", "quint": "the meeting room on the third floor", "brumly": "the machine that makes coffee",
    "tarfin": "the badge that opens the doors", "olvek": "the monthly report of sales", "nipper": "the van that brings parcels",
    "sallow": "the list of people on call", "grint": "the backup of the database", "mavo": "the course for new colleagues",
    "pelk": "the invoice of a supplier", "durn": "the alarm in the server room", "wissel": "the contract with a customer",
}  # fmt: skip
LEARN = ("what is a {}?", "who takes care of the {}?", "I need the {} today", "the {} is missing")
JUDGE = ("where do I find the {}?", "somebody asked me about a {}")
RECIPE = """
stage = "pairs"
output = "tuned"
model = {start = "polyvec-mini"}
batches = {rows = 12}
optimizer = {steps = 16, rate = 3e-4, frozen_table = true}
data = [{path = "pairs.jsonl", kind = "pairs"}]
"""
PASSAGES = {name: f"About {meaning}: ask at the front desk who is in charge." for name, meaning in NAMES.items()}


def found(encoder: polyvec.Encoder) -> float:
    """The share of the judged questions whose passage comes first."""
    asked = [(question.format(name), right) for name, right in PASSAGES.items() for question in JUDGE]
    best = [polyvec.rerank(question, PASSAGES.values(), encoder=encoder, k=1)[0].text for question, _ in asked]
    return sum(text == right for text, (_, right) in zip(best, asked, strict=True)) / len(asked)


def main() -> None:
    before = polyvec.Encoder()
    rows = [{"query": question.format(name), "document": text} for name, text in PASSAGES.items() for question in LEARN]
    Path("pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    Path("tuned.toml").write_text(RECIPE, encoding="utf-8")
    train(Path("tuned.toml"))
    print(f"right passage first: {found(before):.2f} before, {found(polyvec.Encoder('tuned')):.2f} after")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        main()
