"""A FAQ that answers in any language: questions are matched with the questions and answers that are there already.

Each entry is in one language. A question in another finds it, and a threshold says when there is no entry.
"""

import tempfile
from pathlib import Path

import polyvec

FAQ = [
    ("return", "How do I return an order?", "Print the label from your account and hand the parcel in within 30 days."),
    ("delivery", "How long does delivery take?", "Two working days inside the country, five abroad."),
    (
        "password",
        "Ich habe mein Passwort vergessen.",
        "Auf der Anmeldeseite „Passwort vergessen“ wählen; der Link gilt eine Stunde.",
    ),
    ("invoice", "¿Dónde encuentro mi factura?", "En «Mis pedidos», junto a cada pedido, como PDF."),
    ("allergy", "Which nuts are in the granola?", "Almonds and hazelnuts. Traces of peanuts cannot be ruled out."),
]
ASKED = [
    "Wie kann ich meine Bestellung zurückschicken?",
    "combien de jours pour la livraison ?",
    "I forgot my password",
    "где найти счёт?",
    "有没有花生?",
    "Who won the football match yesterday?",
]
ENOUGH = 0.5  # of the highest score that the question could reach; chosen by looking at a few questions


def main(place: Path) -> None:
    with polyvec.Index.create(place / "faq.polyvec", encoder=polyvec.Encoder()) as index:
        index.add({"id": key, "title": question, "text": answer} for key, question, answer in FAQ)
        for question in ASKED:
            hits = index.search(question, k=1)
            score = hits[0].normalized_score or 0.0
            found = hits[0].text if score >= ENOUGH else "No entry. A person will answer."
            print(f"{question}  [{hits[0].id}, {score:.2f}]\n  {found}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(Path(folder))
