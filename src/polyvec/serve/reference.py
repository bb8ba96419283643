"""The description in /openapi.json -> a plain page at /docs: every call, every problem. No script, and no file from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any

from polyvec.serve.problems import KINDS

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --strong: #0b6e4f; }
@media (prefers-color-scheme: dark) { :root { --strong: #6fd6ae; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2, h3 { line-height: 1.2; } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
section { margin: 2rem 0; } code, pre { font: 14px/1.45 ui-monospace, monospace; }
pre { background: var(--soft); padding: .75rem; overflow-x: auto; border-radius: 6px; }
.method { color: var(--strong); font-weight: 700; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0;
border-bottom: 1px solid var(--line); } a { color: inherit; }
"""
_BASE = "http://127.0.0.1:8000"


def reference_page(described: Mapping[str, Any]) -> str:
    """The page, as HTML.

    Args:
        described: The OpenAPI description.
    """
    schemas = described["components"]["schemas"]
    calls = [
        _call(method.upper(), path, operation, schemas)
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
    ]
    problems = [
        f'<tr id="{name}"><td>{kind.status}</td><td><code>{name}</code></td><td>{escape(kind.title)}.</td>'
        f"<td>{escape(kind.meaning)}</td></tr>"
        for name, kind in KINDS.items()
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        '<title>polyvec: the HTTP API</title><link rel="stylesheet" href="/docs.css"></head><body><main>'
        f"<h1>polyvec {escape(described['info']['version'])}: the HTTP API</h1>"
        "<p>JSON in UTF-8; times in milliseconds. Unknown fields are errors. Where the server has tokens, send "
        "<code>Authorization: Bearer TOKEN</code>. The same in a form for programs: "
        '<a href="/openapi.json">/openapi.json</a>.</p>'
        f"<h2>Calls</h2>{''.join(calls)}"
        "<h2>Problems</h2><p>Every answer other than success is <code>application/problem+json</code> of RFC 9457: its "
        "<code>detail</code> says what was given, what was expected and what to do.</p>"
        "<table><thead><tr><th>Status</th><th>Name</th><th>Means</th><th>What to do</th></tr></thead><tbody>"
        f"{''.join(problems)}</tbody></table></main></body></html>"
    )


def _call(method: str, path: str, operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    schema = _named(content.get("application/json", {}).get("schema", {}), schemas)
    answer = operation["responses"].get("200", {}).get("content", {}).get("application/json", {}).get("schema", {})
    parameters = [
        (one["name"], one.get("schema", {}), one.get("description", "")) for one in operation.get("parameters", ())
    ]
    fields = [(name, one, one.get("description", "")) for name, one in schema.get("properties", {}).items()]
    return (
        f'<section id="{escape(_anchor(method, path))}"><h3><span class="method">{method}</span> <code>{escape(path)}</code></h3>'
        f"<p>{escape(operation.get('description', ''))}</p>{_table('Parameters', parameters)}{_table('Body', fields)}"
        f"{_example(method, path, schema, content)}"
        f"{_table('Answer', [(n, p, p.get('description', '')) for n, p in _named(answer, schemas).get('properties', {}).items()])}"
        "</section>"
    )


def _anchor(method: str, path: str) -> str:
    return f"{method.lower()}{path.replace('/', '-').replace('{', '').replace('}', '')}"


def _named(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema, looked up where it is only named; of a list, the one of its elements."""
    if schema.get("type") == "array":
        schema = schema.get("items", {})
    reference = schema.get("$ref", "")
    return schemas.get(reference.rpartition("/")[2], {}) if reference else schema


def _table(title: str, rows: list[tuple[str, Mapping[str, Any], str]]) -> str:
    if not rows:
        return ""
    cells = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(_type(schema))}</td><td>{escape(text)}</td></tr>"
        for name, schema, text in rows
    )
    return f"<h4>{title}</h4><table><tbody>{cells}</tbody></table>"


def _type(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(one) for one in schema["anyOf"] if one.get("type") != "null"))
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    named = schema.get("type", "any")
    return " or ".join(named) if isinstance(named, list) else str(named)


def _example(method: str, path: str, schema: Mapping[str, Any], content: Mapping[str, Any]) -> str:
    """A command to try it with."""
    examples = schema.get("examples", [])
    command = f"curl {_BASE}{path}" if method == "GET" else f"curl -X {method} {_BASE}{path}"
    if "application/json" in content:
        value = examples[0] if examples else {}
        given = [value] if content["application/json"].get("schema", {}).get("type") == "array" else value
        command += f" \\\n  -H 'Content-Type: application/json' \\\n  -d '{json.dumps(given, ensure_ascii=False)}'"
    else:
        for kind, described in content.items():
            command += f" \\\n  -H 'Content-Type: {kind}' \\\n  -d '{described['example'].strip()}'"
    return f"<h4>Try it</h4><pre>{escape(command)}</pre>"
