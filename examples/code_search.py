"""Search the functions of a repository by what they do: python code_search.py [FOLDER] [QUESTION]

Every function and class of the folder's .py files is a document: its name and docstring as title, its source as text.
Without arguments it writes a small repository and asks it questions.
"""

import ast
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import polyvec

SMALL = '''
def convert(amount, rates, source, target):
    """Change an amount of money into another currency."""
    return amount / rates[source] * rates[target]

def retry(send, times=3):
    """Call a function again after a network error."""
    return next(filter(None, (send() for _ in range(times))), None)

def distance(a, b):
    """In how many places two words of the same length differ."""
    return sum(x != y for x, y in zip(a, b))
'''
QUESTIONS = ("turn dollars into euros", "try again when the connection breaks", "Abstand zwischen zwei Wörtern")


def functions(folder: Path) -> Iterator[dict[str, str]]:
    for path in sorted(folder.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                title = f"{node.name.replace('_', ' ')}: {ast.get_docstring(node) or ''}"
                text = ast.get_source_segment(source, node) or node.name
                yield {"id": f"{path.relative_to(folder).as_posix()}:{node.lineno}", "title": title, "text": text}


def main(place: Path) -> None:
    (place / "small").mkdir()
    (place / "small" / "shop.py").write_text(SMALL.strip(), encoding="utf-8")
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else place / "small"
    with polyvec.Index.create(place / "code.polyvec", encoder=polyvec.Encoder()) as index:
        print(f"{index.add(functions(folder)).added} functions and classes")
        for question in sys.argv[2:] or QUESTIONS:
            print(question)
            for hit in index.search(question, k=1, mode="hybrid"):  # exact names count too
                print(f"  {hit.id}  {hit.title}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(Path(folder))
