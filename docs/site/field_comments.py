"""Comments of fields -> their text in the reference: options are explained above or beside each field of a dataclass.

A Griffe extension: the reference is made from sources that are read, never imported.
"""

from __future__ import annotations

import re
from typing import Any

from griffe import Attribute, Class, Docstring, Extension


class FieldComments(Extension):
    """Gives each field without a docstring the comment above it, or beside it."""

    def on_class_members(self, *, cls: Class, **_: Any) -> None:
        """Called for each class that was read."""
        if cls.is_alias or not any("dataclass" in str(one.value) for one in cls.decorators):
            return
        lines = cls.filepath.read_text(encoding="utf-8").splitlines()  # type: ignore[union-attr]
        for field in cls.attributes.values():
            if field.docstring is None and not field.is_alias and field.lineno is not None:
                comment = _comment(lines, field)
                if comment:
                    field.docstring = Docstring(comment, lineno=field.lineno, parent=field)


def _comment(lines: list[str], field: Attribute) -> str:
    first, last = field.lineno or 1, field.endlineno or field.lineno or 1
    beside = [found[1] for line in lines[first - 1 : last] if (found := re.search(r"\s# (.*)$", line))]
    above: list[str] = []
    for line in reversed(lines[: first - 1]):
        if not line.strip().startswith("# "):
            break
        above.insert(0, line.strip()[2:])
    said = " ".join(beside or above)
    return f"{said[:1].upper()}{said[1:]}" if said else ""
