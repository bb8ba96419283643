"""The keywords of a search -> the fields of its request; refuses what an index refuses, with its sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from polyvec.arguments import instance, thread_count
from polyvec.data.metadata import plain_json
from polyvec.index.catalog.filters import compile_filter
from polyvec.index.engine.options import SearchOptions

# Fields of SearchOptions that stand beside `options` in a request.
_BESIDE = ("k", "mode", "filter", "subset", "min_score")


def chosen_options(name: str, keywords: Mapping[str, Any], known: Sequence[str]) -> SearchOptions:
    """The options that keywords give, as `Index.search` takes them."""
    for one in keywords:
        if one not in (*known, "options", "threads") or one == "explain":
            raise TypeError(f"{name}() got an unexpected keyword argument {one!r}")  # as Python says it
    thread_count(keywords.get("threads"), lambda: 1)
    given = {n: v for n, v in keywords.items() if v is not None and n not in ("options", "threads")}
    options = keywords.get("options")
    if options is None:
        return SearchOptions(**given)
    chosen = instance("options", options, SearchOptions)
    return replace(chosen, **given) if given else chosen


def option_fields(options: SearchOptions) -> dict[str, Any]:
    """The options as a request has them; what is as it would be anyway is left out."""
    if options.filter is not None:
        compile_filter(options.filter)  # refuses what an index refuses, with its sentence
    default = SearchOptions().to_dict()
    values = options.to_dict()
    changed = {n: v for n, v in values.items() if n != "explain" and (n not in default or default[n] != v)}
    beside = {name: changed.pop(name) for name in _BESIDE if name in changed}
    return {**beside, "options": changed or None}


def checked_filter(given: Any) -> dict[str, Any]:
    """A filter as it travels in JSON. Raises FilterError for one that does not parse."""
    compile_filter(given)  # refuses what an index refuses, with its sentence
    return plain_json("filter", given)
