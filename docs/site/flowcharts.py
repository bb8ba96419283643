"""Flow charts in Mermaid's form -> HTML lists that need no script: one row a step, steps at the same depth side by side.

Knows the few forms that ARCHITECTURE.md uses: `a["text<br>place"] --> b`.
"""

from __future__ import annotations

import re
from html import escape
from itertools import pairwise

_NODE = re.compile(r'(\w+)(?:\["([^"]*)"\])?')


def as_html(fence: str) -> str:
    """A fenced Mermaid block as a list.

    Args:
        fence: With its first and last line.

    Returns:
        The list, as HTML between empty lines.
    """
    labels, edges = _read(fence)
    rows: dict[int, list[str]] = {}
    for node, depth in _depths(list(labels), edges).items():
        rows.setdefault(depth, []).append(_step(labels[node]))
    steps = "".join(f"<li>{''.join(row)}</li>" for _, row in sorted(rows.items()))
    return f'\n<ol class="flow">{steps}</ol>\n'


def _read(fence: str) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """The nodes with their labels, and the edges."""
    labels: dict[str, str] = {}
    edges = []
    for line in fence.splitlines()[2:-1]:
        ends = []
        for end in line.strip().split(" --> "):
            node = _NODE.fullmatch(end)
            if node is None:
                raise ValueError(f'{line.strip()!r}: expected a step as in a["text<br>place"] --> b.')
            labels.setdefault(node[1], node[1])
            if node[2]:
                labels[node[1]] = node[2]
            ends.append(node[1])
        edges += pairwise(ends)
    return labels, edges


def _depths(nodes: list[str], edges: list[tuple[str, str]]) -> dict[str, int]:
    """How many steps come before each node, on the longest way."""
    depths = dict.fromkeys(nodes, 0)
    for _ in nodes:
        for before, after in edges:
            depths[after] = max(depths[after], depths[before] + 1)
    return depths


def _step(label: str) -> str:
    text, _, place = label.partition("<br>")
    return f'<span class="step">{escape(text)}{f"<code>{escape(place)}</code>" if place else ""}</span>'
