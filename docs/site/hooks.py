"""What makes the pages of this repository a site: pages from outside docs/, links to sources, drawings, the list of decisions.

Markdown is written for readers of the repository, and shown as it is there; only what a site cannot do is changed. mkdocs.yml loads
this file.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from flowcharts import as_html
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
# Pages that lie beside docs/ in the repository, and their place in the site. The README's is taken by docs/index.md.
OUTSIDE = {
    "ARCHITECTURE.md": "inside/architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "inside/contributing.md",
    "RELEASING.md": "inside/releasing.md",
    "SECURITY.md": "security.md",
    "CODE_OF_CONDUCT.md": "conduct.md",
    "examples/README.md": "do/examples.md",
    "native/README.md": "inside/kernels.md",
    "recipes/README.md": "inside/recipes.md",
    "src/polyvec/models/polyvec-mini/README.md": "inside/polyvec-mini.md",
}
# Pages of docs/ that the menu leaves out where they are not there.
OPTIONAL = {"compatibility.md", "tuning.md"}
LANGUAGES = {
    ".py": "python",
    ".json": "json",
    ".yaml": "yaml",
    ".toml": "toml",
    ".conf": "nginx",
    ".cpp": "cpp",
    ".hpp": "cpp",
}
_LINK = re.compile(r"(!?\[[^\]\n]*\]\()([^)\s#]+)(#[^)\s]*)?(\))")
_FENCE = re.compile(r"^(```|~~~).*?^\1[ \t]*$", re.M | re.S)
_AUDIENCE = re.compile(r"\A(# .*\n\n\*For .*\*)$", re.M)
_NOTE = re.compile(r"^```(\w+) [\w ]+$", re.M)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Pages that may come and go without a change of mkdocs.yml: decisions by their folder, and those beside docs/."""
    decisions = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("*.md"))
    _fill(config.nav, "Decisions", [f"decisions/{name}" for name in decisions])
    missing = {place for source, place in OUTSIDE.items() if not (ROOT / source).is_file()}
    _drop(config.nav, missing | {page for page in OPTIONAL if not (ROOT / "docs" / page).is_file()})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Pages beside docs/, and every file of the repository that a page links to."""
    for source, place in OUTSIDE.items():
        if (ROOT / source).is_file():
            files.append(File.generated(config, place, content=(ROOT / source).read_text(encoding="utf-8")))
    for source in sorted(_linked_sources(files)):
        files.append(File.generated(config, _shown_at(source), content=_source_page(source)))
    mark = ROOT / "src" / "polyvec" / "serve" / "page" / "favicon.svg"
    files.append(File.generated(config, "assets/mark.svg", content=mark.read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Links that lead out of docs/, flow charts as lists, fences without notes for the tests, and whom a page is for."""
    markdown = _AUDIENCE.sub(r"\1\n{ .for }", markdown)
    source = _source_of(page.file.src_uri)
    parts, end = [], 0
    for fence in _FENCE.finditer(markdown):
        parts += [_relinked(markdown[end : fence.start()], source, page.file.src_uri), _shown(fence[0])]
        end = fence.end()
    return "".join([*parts, _relinked(markdown[end:], source, page.file.src_uri)])


def _shown(fence: str) -> str:
    return as_html(fence) if fence.startswith("```mermaid") else _NOTE.sub(r"```\1", fence, count=1)


def _relinked(text: str, source: str, place: str) -> str:
    """The text with every relative link as it is in the site."""

    def replace(link: re.Match[str]) -> str:
        target = _target(link[2], source)
        if target is None:
            return link[0]
        if target not in OUTSIDE and (ROOT / target).is_dir():  # a folder has no page: its name stays
            return link[1].removesuffix("](").lstrip("![") or target
        there = posixpath.relpath(_place_of(target), posixpath.dirname(place) or ".")
        return f"{_named(link[1], target)}{there}{link[3] or ''}{link[4]}"

    return _LINK.sub(replace, text)


def _named(opening: str, target: str) -> str:
    """The text of a link, where it only repeats the name of a page's file, as the page's title."""
    text = opening.removeprefix("[").removesuffix("](").strip("`")
    page = ROOT / target
    if page.suffix != ".md" or not target.endswith(text) or not page.is_file():
        return opening
    title = re.search(r"^# (.+)$", page.read_text(encoding="utf-8"), re.M)
    return f"[{title[1]}](" if title else opening


def _linked_sources(files: Files) -> set[str]:
    """Files of the repository outside docs/ that some page links to."""
    found = set()
    for file in files.documentation_pages():
        source = _source_of(file.src_uri)
        for link in _LINK.finditer(_FENCE.sub("", file.content_string)):
            target = _target(link[2], source)
            known = target in OUTSIDE or target == "README.md"
            if target and not known and not target.startswith("docs/") and (ROOT / target).is_file():
                found.add(target)
    return found


def _target(link: str, source: str) -> str | None:
    """The path in the repository that a page's relative link means; None for what leads elsewhere."""
    if re.match(r"[a-z]+:|/", link):
        return None
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
    return None if target.startswith("..") else target


def _source_of(place: str) -> str:
    outside = {there: source for source, there in OUTSIDE.items()}
    return outside.get(place, f"docs/{place}")


def _place_of(source: str) -> str:
    """Where the site has a path of the repository."""
    if source in OUTSIDE:
        return OUTSIDE[source]
    if source == "README.md":
        return "index.md"
    return source.removeprefix("docs/") if source.startswith("docs/") else _shown_at(source)


def _shown_at(source: str) -> str:
    return f"sources/{source}.md" if not source.endswith((".md", ".png", ".webp", ".svg")) else f"sources/{source}"


def _source_page(source: str) -> str | bytes:
    """A page that shows a file of the repository."""
    if source.endswith((".png", ".webp", ".svg")):
        return (ROOT / source).read_bytes()
    text = (ROOT / source).read_text(encoding="utf-8")
    if source.endswith(".md"):
        return text
    language = LANGUAGES.get(Path(source).suffix, "text")
    return f"---\nsearch:\n  exclude: true\n---\n\n# {source}\n\nA file of the repository.\n\n~~~~{language}\n{text}\n~~~~\n"


def _fill(nav: Any, title: str, pages: list[str]) -> None:
    for entry in nav or ():
        if isinstance(entry, dict):
            for name, inside in entry.items():
                if name == title:
                    entry[name] = [*inside, *pages]
                elif isinstance(inside, list):
                    _fill(inside, title, pages)


def _drop(nav: Any, places: set[str]) -> None:
    """Take pages that are not there out of the list."""
    for entry in list(nav or ()):
        inside = next(iter(entry.values())) if isinstance(entry, dict) else entry
        if isinstance(inside, list):
            _drop(inside, places)
        elif inside in places:
            nav.remove(entry)
