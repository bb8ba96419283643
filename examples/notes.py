"""Search a folder of notes by what they mean: python notes.py [FOLDER] [QUESTION]

Without arguments it writes a few notes in three languages and asks them questions in others. .txt and .md files count.
"""

import sys
import tempfile
from pathlib import Path

import polyvec

NOTES = {
    "bread.md": "# Sourdough\n\nFeed the starter the evening before. Knead, let it rise for four hours, bake at 240 degrees.",
    "garden.md": "# Garten\n\nTomaten brauchen viel Sonne und Wasser an die Wurzeln. Im Mai nach draußen setzen.",
    "bike.txt": "The rear brake squeals since Tuesday. New pads are in the cellar, left drawer.",
    "trip/lisbon.md": "# Lisboa\n\nO eléctrico 28 sobe até ao castelo. Comprar bilhete de um dia na estação.",
    "trip/alps.txt": "Hütte am See: Schlüssel liegt unter dem Stein neben der Tür. Bettwäsche mitbringen.",
}
QUESTIONS = ("onde está a chave da cabana?", "quanto tempo deve crescer o pão?", "Was ist am Fahrrad kaputt?")


def write_notes(folder: Path) -> Path:
    for name, text in NOTES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def main(place: Path) -> None:
    notes = Path(sys.argv[1]) if len(sys.argv) > 1 else write_notes(place / "notes")
    with polyvec.Index.open_or_create(place / "notes.polyvec", encoder=polyvec.Encoder()) as index:
        index.update(polyvec.read_documents(notes))  # update: run again, and what changed is replaced
        for question in sys.argv[2:] or QUESTIONS:
            (best,) = index.search(question, k=1)
            print(question)
            print(f"  {best.id}: {' '.join((best.text or '').split())}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(Path(folder))
