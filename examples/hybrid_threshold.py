"""Exact words and meaning together, and no answer rather than a wrong one.

Part numbers and error codes are words that a model has never seen: keywords find them. Hybrid search adds both scores up;
`min_score` leaves out what is too far from the question.
"""

import tempfile
from pathlib import Path

import polyvec

MANUAL = [
    ("e4711", "Fault E-4711: the pump runs dry. Close the inlet, refill the tank, press reset twice."),
    ("e4712", "Fault E-4712: the pump is blocked. Switch it off and remove the filter before anything else."),
    ("filter", "The filter is cleaned under warm water every three months. Part number KF-220."),
    ("seal", "Die Dichtung am Deckel ist alle zwei Jahre zu tauschen. Teilenummer KF-221."),
    ("warranty", "The warranty covers the motor for five years, seals and filters for one."),
]
QUESTIONS = ("E-4712", "KF-221", "Wie oft wird der Filter gereinigt?", "what is the capital of France?")


def main(place: Path) -> None:
    with polyvec.Index.create(place / "manual.polyvec", encoder=polyvec.Encoder()) as index:
        index.add({"id": key, "text": text} for key, text in MANUAL)
        for question in QUESTIONS:
            print(question)
            for mode in ("late", "keyword", "hybrid"):
                hits = index.search(question, k=1, mode=mode)
                print(f"  {mode:8} {hits[0].id if hits else '-'}")
            hits = index.search(question, k=1, mode="hybrid", min_score=0.5)
            print(f"  answer   {hits[0].text if hits else 'Nothing in this manual.'}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(Path(folder))
