"""What users can write against: names and signatures of Python, commands and options, calls and fields of HTTP. One line a fact.

    python -m tests.release.surface        write tests/release/golden; `make surface`

The lists are compared with the program by tests/release/test_surface.py. docs/compatibility.md says which changes are allowed.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

import polyvec
from polyvec import errors
from polyvec.cli import cli

GOLDEN = Path(__file__).parent / "golden"
_SOURCE_OF_DEFAULT = re.compile(r" at 0x[0-9a-f]+")


def python_names() -> list[str]:
    """Public names, their signatures, attributes and methods; the tree of errors."""
    lines = []
    for name in sorted(polyvec.__all__):
        value = getattr(polyvec, name)
        if isinstance(value, type):
            lines += _class_lines(name, value)
        elif callable(value):
            lines.append(f"{name}{_signature(value)}")
        else:
            lines.append(name)
    for name, value in sorted(vars(errors).items()):
        if isinstance(value, type) and issubclass(value, errors.PolyvecError):
            lines.append(f"errors.{name}({', '.join(base.__name__ for base in value.__bases__)})")
    return lines


def _class_lines(name: str, cls: type) -> Iterator[str]:
    constructed = "__init__" in vars(cls) or dataclasses.is_dataclass(cls)
    yield f"{name}{_signature(cls) if constructed else ''}"
    if dataclasses.is_dataclass(cls):
        for field in dataclasses.fields(cls):
            if not field.name.startswith("_"):
                yield f"{name}.{field.name}: {field.type}"
    for member, value in sorted(inspect.getmembers(cls)):
        if member.startswith("_") and member not in ("__len__", "__contains__", "__iter__", "__enter__", "__getitem__"):
            continue
        owner = next((one for one in cls.__mro__ if member in vars(one)), cls)
        if not owner.__module__.startswith("polyvec"):
            continue
        if isinstance(value, property):
            yield f"{name}.{member}: property"
        elif callable(value):
            kind = "classmethod " if inspect.ismethod(value) else ""
            yield f"{kind}{name}.{member}{_signature(value)}"


def _signature(value: Callable[..., Any]) -> str:
    """Names, kinds, types and defaults, spelled alike by every version of Python."""
    parts: list[str] = []
    before = None
    parameters = [one for one in inspect.signature(value).parameters.values() if one.name != "self"]
    for one in parameters:
        if one.kind is one.KEYWORD_ONLY and before not in (one.KEYWORD_ONLY, one.VAR_POSITIONAL):
            parts.append("*")
        prefix = {one.VAR_POSITIONAL: "*", one.VAR_KEYWORD: "**"}.get(one.kind, "")
        kind = "" if one.annotation is one.empty else f": {one.annotation}"
        default = "" if one.default is one.empty else f" = {_SOURCE_OF_DEFAULT.sub('', repr(one.default))}"
        parts.append(f"{prefix}{one.name}{kind}{default}")
        before = one.kind
    returned = getattr(value, "__annotations__", {}).get("return") if not isinstance(value, type) else None
    return f"({', '.join(parts)})" + (f" -> {returned}" if returned is not None else "")


def commands() -> list[str]:
    """Commands, their arguments and options."""
    context = click.Context(cli, info_name="polyvec")
    return sorted(_command_lines("polyvec", cli, context))


def _command_lines(name: str, command: click.Command, context: click.Context) -> Iterator[str]:
    for one in command.params:
        if isinstance(one, click.Argument):
            shown = one.make_metavar(context)
            yield f"{name} argument {shown}"
        else:
            spelled = ", ".join(sorted([*one.opts, *one.secondary_opts]))
            repeated = ", several times" if one.multiple else ""
            kind = "flag" if getattr(one, "is_flag", False) else _type_of(one)
            default = one.to_info_dict().get("default")
            shown = "" if default in (None, False, (), []) or "UNSET" in repr(default) else f", default {default!r}"
            yield f"{name} {spelled}: {kind}{shown}{repeated}"
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None
            yield f"{name} {inner}"
            yield from _command_lines(f"{name} {inner}", found, click.Context(found, info_name=inner, parent=context))


def _type_of(option: click.Parameter) -> str:
    if isinstance(option.type, click.Choice):
        return "one of " + ", ".join(map(str, option.type.choices))
    return option.type.name


def http_calls() -> list[str]:
    """Calls with their parameters, bodies and answers, and the fields of every schema."""
    from fastapi.testclient import TestClient

    from polyvec.serve.app import create_app
    from polyvec.serve.collections import open_collections
    from polyvec.serve.config import load_config
    from tests.conftest import WordEncoder

    with tempfile.TemporaryDirectory() as folder:
        path, encoder = Path(folder) / "wiki.polyvec", WordEncoder()
        polyvec.Index.create(path, encoder=encoder).close()
        app = create_app(open_collections([path], encoder=encoder), load_config({"log_format": "none"}))
        with TestClient(app, base_url="http://127.0.0.1") as client:
            described = client.get("/openapi.json").json()
    lines = []
    for route, operations in described["paths"].items():
        for method, operation in operations.items():
            call = f"{method.upper()} {route}"
            lines.append(f"{call} answers {', '.join(sorted(operation['responses']))}")
            lines += [
                f"{call} {one['in']} {one['name']}: {_schema(one['schema'])}" for one in operation.get("parameters", [])
            ]
            for media, body in operation.get("requestBody", {}).get("content", {}).items():
                lines.append(f"{call} takes {media}: {_schema(body.get('schema', {}))}")
            for status, answer in operation["responses"].items():
                if status.startswith("2"):
                    content = answer.get("content", {})
                    lines += [
                        f"{call} gives {media}: {_schema(one.get('schema', {}))}" for media, one in content.items()
                    ]
    for name, schema in described["components"]["schemas"].items():
        needed = schema.get("required", [])
        for field, one in schema.get("properties", {}).items():
            lines.append(f"{name}.{field}: {_schema(one)}{', required' if field in needed else ''}")
    return sorted(lines)


def _schema(schema: dict[str, Any]) -> str:
    """A schema without its words: descriptions and titles may change at any time."""

    def bare(value: Any) -> Any:
        if isinstance(value, dict):
            kept = {
                key: bare(one)
                for key, one in value.items()
                if key not in ("title", "description", "examples", "example")
            }
            return kept["$ref"].rpartition("/")[2] if "$ref" in kept else kept
        return [bare(one) for one in value] if isinstance(value, list) else value

    found = bare(schema)
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False, sort_keys=True)


SURFACES: dict[str, Callable[[], list[str]]] = {"python": python_names, "commands": commands, "http": http_calls}


def main() -> None:
    GOLDEN.mkdir(exist_ok=True)
    for name, lines in SURFACES.items():
        (GOLDEN / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines()), encoding="utf-8")


if __name__ == "__main__":
    main()
