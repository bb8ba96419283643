"""docs/reference/http.md: every call and every problem, from the server's own description of itself. `make docs` writes it.

python -m tests.docs.http_page
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI

import polyvec
from polyvec.serve.app import create_app
from polyvec.serve.collections import open_collections
from polyvec.serve.problems import KINDS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "http.md"
ABOUT = """# HTTP

*For whoever writes a client of `polyvec serve` and looks up a call.*

Generated from the server's description of itself. A server has it at `/openapi.json`, and as a page at `/docs`. The manual, with
examples: [serving](../serving.md). JSON in UTF-8; times in milliseconds. Unknown fields are errors. Where the server has tokens,
send `Authorization: Bearer TOKEN`.
"""
PROBLEMS = """## Problems

Every answer other than success is `application/problem+json` of RFC 9457. Its `detail` says what was given, what was expected and
what to do.

| status | name | means | what to do |
| --- | --- | --- | --- |
"""


def page() -> str:
    """The page as it should be."""
    described = description()
    schemas = described["components"]["schemas"]
    calls = [
        "\n".join(_call(method.upper(), path, operation, schemas))
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
    ]
    problems = "".join(
        f"| {kind.status} | `{name}` | {kind.title} | {_cell(kind.meaning)} |\n" for name, kind in KINDS.items()
    )
    named = "\n".join(_objects(described, schemas))
    return "\n".join([ABOUT, *calls, named, PROBLEMS + problems])


def description() -> Mapping[str, Any]:
    """The OpenAPI description of a server, by the app itself: the middleware around it needs no request."""
    with tempfile.TemporaryDirectory() as folder:
        polyvec.Index.create(Path(folder) / "empty.polyvec", dim=16).close()
        guard = create_app(open_collections([Path(folder) / "empty.polyvec"]))
        try:
            described: Mapping[str, Any] = _application(guard).openapi()
            return described
        finally:
            guard.serving.close()


def _application(guard: Any) -> FastAPI:
    """The FastAPI application inside the guard."""
    (found,) = (value for value in vars(guard).values() if isinstance(value, FastAPI))
    return found


def _call(method: str, path: str, operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterator[str]:
    """The lines of one call."""
    yield f"## {method} {path.replace('{', '&#123;').replace('}', '&#125;')}\n"
    yield f"{operation.get('description', '').strip()}\n"
    content = operation.get("requestBody", {}).get("content", {})
    body = _named(content.get("application/json", {}).get("schema", {}), schemas)
    answers = operation["responses"].get("200", {}).get("content", {})
    answer = _named(answers.get("application/json", {}).get("schema", {}), schemas)
    yield from _table(
        "parameter", [(one["name"], {**one.get("schema", {}), **one}) for one in operation.get("parameters", ())]
    )
    yield from _table("field of the body", list(body.get("properties", {}).items()))
    for example in body.get("examples", [])[:1]:
        yield f"A body:\n\n```json\n{_json(example)}\n```\n"
    others = [kind for kind in content if kind != "application/json"]
    if others and "application/json" in content:
        yield f"Also as {', '.join(f'`{kind}`' for kind in others)}.\n"
    yield from _table("field of the answer", list(answer.get("properties", {}).items()))


def _objects(described: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterator[str]:
    """Tables of the objects that a type in a table above names."""
    yield "## Objects\n\nWhat a type above names.\n"
    written = "\n".join(
        line
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
        for line in _call(method, path, operation, schemas)
    )
    told: set[str] = set()
    while left := [name for name in schemas if name not in told and re.search(rf"\| [^|]*\b{name}\b[^|]* \|", written)]:
        for name in left:
            told.add(name)
            lines = [f"### {name}\n", *_table("field", list(schemas[name].get("properties", {}).items()))]
            written += "\n".join(lines)
            yield from lines


def _table(title: str, rows: list[tuple[str, Mapping[str, Any]]]) -> Iterator[str]:
    if rows:
        yield f"| {title} | type | means |\n| --- | --- | --- |"
        for name, schema in rows:
            yield f"| `{name}` | {_type(schema)} | {_cell(schema.get('description', ''))} |"
        yield ""


def _named(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema, looked up where it is only named; of a list, the one of its elements."""
    if schema.get("type") == "array":
        schema = schema.get("items", {})
    reference = schema.get("$ref", "")
    return schemas.get(reference.rpartition("/")[2], {}) if reference else schema


def _type(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(one) for one in schema["anyOf"] if one.get("type") != "null"))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    named = schema.get("type", "any")
    return " or ".join(named) if isinstance(named, list) else str(named)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _json(value: Any) -> str:
    line = json.dumps(value, ensure_ascii=False)
    return line if len(line) <= 100 else json.dumps(value, ensure_ascii=False, indent=2)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
