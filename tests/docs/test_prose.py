"""How pages are written: spelled right, in short sentences and plain American words; and those that teach say whom they are for."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TEACHING = ("start", "understand", "do", "reference")

pytestmark = pytest.mark.skipif(
    not (ROOT / "mkdocs.yml").is_file(), reason="the tests of an installed package come without docs/"
)

LONG = 35  # words of a sentence from which it is counted
# Long sentences that pages may have in all. What teaches has none.
ALLOWED = {"README.md": 0, "index.md": 0, "start": 0, "understand": 0, "do": 0, "reference": 0}
ALLOWED_ELSEWHERE = 95
DIARY = {"docs/log.md"}  # written once, never edited
# Words of advertising, of officialese, and of our own first drafts; and what to write.
AVOIDED = {
    r"utili[sz]e": "use",
    r"leverag": "use",
    r"in order to": "to",
    r"seamless": "say what happens",
    r"effortless": "say what happens",
    r"blazing": "a figure, with its measurement",
    r"cutting-edge": "say what is new",
    r"state[- ]of[- ]the[- ]art": "a figure, with its measurement",
    r"powerful": "say what it can do",
    r"please note": "nothing",
    r"it should be noted": "nothing",
    r"homeless": "without vectors",
    r"\bcrew\b": "thread pool",
    r"behaviour|colour|neighbour|normalis|optimis|quantis|tokenis|judgement|catalogue": "American spelling",
}


def _pages() -> list[Path]:
    return sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])


def _group(page: Path) -> str | None:
    """What a page is counted with: its own name, or its folder."""
    if page.parent == ROOT or page == DOCS / "index.md":
        return page.name if page.name in ALLOWED else None
    folder = page.relative_to(DOCS).parts[0]
    return folder if folder in ALLOWED else None


def sentences(text: str) -> Iterator[str]:
    """The sentences of a page's paragraphs and lists, without code, tables and headings."""
    text = re.sub(r"^(```|~~~).*?^\1[ \t]*$", "", text, flags=re.M | re.S)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r"^(\||#|:::|    ).*$", "", text, flags=re.M)
    text = re.sub(r"`[^`\n]*`", "code", text)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    for part in re.split(r"\n\s*\n|^\s*(?:[-*]|\d+\.) ", text, flags=re.M):
        yield from filter(None, re.split(r"(?<=[.!?])\s+(?=[A-Z*\"(])", " ".join(part.split())))


def long_sentences(page: Path) -> list[str]:
    return [
        sentence
        for sentence in sentences(page.read_text(encoding="utf-8"))
        if len(re.findall(r"[\w'’-]+", sentence)) > LONG
    ]


@pytest.mark.parametrize("group", ALLOWED)
def test_sentences_are_short_where_we_teach(group: str) -> None:
    found = [sentence for page in _pages() if _group(page) == group for sentence in long_sentences(page)]
    assert len(found) <= ALLOWED[group], found


def test_long_sentences_are_few_elsewhere() -> None:
    found = {
        f"{page.relative_to(ROOT)}: {sentence[:80]}"
        for page in _pages()
        if _group(page) is None and str(page.relative_to(ROOT)) not in DIARY
        for sentence in long_sentences(page)
    }
    assert len(found) <= ALLOWED_ELSEWHERE, sorted(found)


def test_words_are_plain() -> None:
    found = [
        f"{page.relative_to(ROOT)}: {match[0]!r}; write {better}"
        for page in _pages()
        if str(page.relative_to(ROOT)) not in DIARY
        for word, better in AVOIDED.items()
        for match in re.finditer(word, re.sub(r"`[^`\n]*`", "", page.read_text(encoding="utf-8")), re.I)
    ]
    assert found == []


def test_words_are_spelled_right() -> None:
    pytest.importorskip("codespell_lib", reason="codespell is not installed")
    words = ROOT / "docs" / "site" / "spelling.txt"
    ran = subprocess.run(
        [sys.executable, "-m", "codespell_lib", "--ignore-words", str(words), *map(str, _pages())],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout == "", f"mend these, or put words of other languages into {words.relative_to(ROOT)}"
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(
    "page", [page for folder in TEACHING for page in sorted((DOCS / folder).glob("*.md"))], ids=lambda page: page.stem
)
def test_a_page_says_whom_it_is_for(page: Path) -> None:
    title, empty, audience, *_ = page.read_text(encoding="utf-8").splitlines()
    assert title.startswith("# ")
    assert empty == ""
    assert re.fullmatch(r"\*For .*\*", audience)


def test_the_counter_counts() -> None:
    long = " ".join(["word"] * 40)
    assert list(sentences("# Title\n\nOne. Two `x.y`! Three\nlines.\n\n| cell |\n\n- item\n- more\n\n```sh\ncode\n```\n")) == [
        "One.", "Two code!", "Three lines.", "item", "more",
    ]  # fmt: skip
    assert [len(one.split()) for one in sentences(f"{long}. Short.")] == [40, 1]
