"""What an assistant's tools do: arguments as it sent them in, a short text and plain JSON data out.

Three tools: search, get and collections. An answer never holds more than a budget of tokens, and says how to ask for the
rest. Knows nothing about the protocol that carries it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polyvec.arguments import shown, whole_number
from polyvec.collection.searcher import Searcher
from polyvec.data import Document
from polyvec.data.document import checked_ids
from polyvec.errors import InputError
from polyvec.search.hits import Hit
from polyvec.serve.collections import names_for

DEFAULT_BUDGET = 4000  # tokens of one answer
LEAST_BUDGET = 200
MOST_HITS = 1000  # how far into a result list an assistant may go
MOST_IDS = 100  # of one call of get

_BYTES_A_TOKEN = 3  # of UTF-8; tokenizers of today's assistants take 3 to 5, in any script
_MOST_VALUES = 5  # of a metadata field, the most frequent ones, that are named
_LEAST_SHARE = 120  # tokens that a hit gets at least, so that its text says something


@dataclass(frozen=True)
class Answer:
    """What one call of a tool gives: a text to read, and the same as data."""

    text: str
    data: dict[str, Any]


class AssistantTools:
    """The tools over some collections.

    Args:
        collections: Open indexes by name.
        budget: Tokens that one answer may hold.
        most_hits: How far into a result list a search may go.
    """

    def __init__(
        self, collections: Mapping[str, Searcher], *, budget: int = DEFAULT_BUDGET, most_hits: int = MOST_HITS
    ) -> None:
        self._most_hits = most_hits
        self._collections = collections
        self._budget = whole_number("budget", budget, least=LEAST_BUDGET, of="tokens")
        self._calls: dict[str, tuple[Callable[..., Answer], Sequence[str], Sequence[str]]] = {
            "search": (self._search, ["query"], ["k", "filter", "collection", "offset"]),
            "get": (self._get, ["ids"], ["collection", "offset"]),
            "collections": (self._list, [], []),
        }

    def call(self, name: str, arguments: Mapping[str, Any]) -> Answer:
        """Run one tool.

        Args:
            name: Of the tool.
            arguments: By name, as the assistant sent them; None counts as left out.

        Raises:
            PolyvecError: For an unknown tool, for arguments that make no sense, and where the collection cannot answer.
        """
        if name not in self._calls:
            raise InputError(f"tool {shown(name)}: there is no such tool; expected one of {', '.join(self._calls)}.")
        function, required, optional = self._calls[name]
        known = [*required, *optional]
        for argument in arguments:
            if argument not in known:
                expected = f"expected some of {', '.join(known)}" if known else "it takes none"
                raise InputError(f"{name}: unknown argument {shown(argument)}; {expected}.")
        given = {argument: value for argument, value in arguments.items() if value is not None}
        for argument in required:
            if argument not in given:
                raise InputError(f"{name}: the argument {argument!r} is missing.")
        return function(**given)

    # -- the tools -----------------------------------------------------------------------------------------------------

    def _search(
        self,
        query: Any,
        k: Any = 5,
        filter: Any = None,
        collection: Any = None,
        offset: Any = 0,
    ) -> Answer:
        if not isinstance(query, str):
            raise InputError(f"query={shown(query)}: expected one question, as text.")
        k = whole_number("k", k, of="hits", most=self._most_hits)
        offset = whole_number("offset", offset, least=0, of="hits to skip", most=self._most_hits - 1)
        k = min(k, self._most_hits - offset)
        name, searched = self._chosen(collection)
        hits = searched.search(query, k=offset + k, filter=filter)[offset:]
        entries = self._fitting([_hit_entry(hit) for hit in hits])
        following = offset + len(entries)
        more = 0 < following < self._most_hits and (len(entries) < len(hits) or len(hits) == k)
        next_offset = following if more else None
        data = {"collection": name, "query": query, "hits": entries, "next_offset": next_offset}
        return Answer(_search_text(data, offset), data)

    def _get(self, ids: Any, collection: Any = None, offset: Any = 0) -> Answer:
        if not isinstance(ids, list) or not 1 <= len(ids) <= MOST_IDS:
            raise InputError(f"ids={shown(ids)}: expected a list of 1 to {MOST_IDS} ids.")
        offset = whole_number("offset", offset, least=0, of="characters to skip")
        name, searched = self._chosen(collection)
        wanted = list(dict.fromkeys(checked_ids("ids", ids)))
        found = dict(zip(wanted, searched.get(wanted), strict=True))
        missing = [document_id for document_id, document in found.items() if document is None]
        entries: list[dict[str, Any]] = []
        left, rest = self._budget - _tokens_of(missing), [d for d in found.values() if d is not None]
        while rest and (not entries or left >= _LEAST_SHARE):
            entry = _cut(_document_entry(rest[0], offset), left)
            entries.append(entry)
            left -= _tokens_of(entry)
            if entry["cut"]:
                offset += len(entry["text"])
                break
            rest, offset = rest[1:], 0
        following = {"ids": [document.id for document in rest], "offset": offset} if rest else None
        data = {"collection": name, "documents": entries, "missing": missing, "next": following}
        return Answer(_get_text(data), data)

    def _list(self) -> Answer:
        share = self._budget // max(1, len(self._collections))
        entries = [_collection_entry(name, one, share) for name, one in self._collections.items()]
        return Answer("\n".join(map(_collection_text, entries)), {"collections": entries})

    # -- inside --------------------------------------------------------------------------------------------------------

    def _chosen(self, name: Any) -> tuple[str, Searcher]:
        """The collection that a call names, or the only one."""
        names = list(self._collections)
        if name is None:
            if len(names) > 1:
                raise InputError(f"collection: say which one to use: {', '.join(names)}.")
            name = names[0]
        for one in names_for(name) if isinstance(name, str) else ():
            if one in self._collections:
                return one, self._collections[one]
        raise InputError(f"collection={shown(name)}: there is no such collection; expected one of {', '.join(names)}.")

    def _fitting(self, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The first entries, as many as the budget holds, each cut to its share of what is left; at least one."""
        kept: list[dict[str, Any]] = []
        left = self._budget - _LEAST_SHARE // 2  # for what stands around the hits
        for number, entry in enumerate(entries):
            share = max(_LEAST_SHARE, left // (len(entries) - number))
            fitted = _cut(entry, share)
            left -= _tokens_of(fitted)
            if kept and left < 0:
                break
            kept.append(fitted)
        return kept


def _hit_entry(hit: Hit) -> dict[str, Any]:
    score = hit.score if hit.normalized_score is None else hit.normalized_score
    return {
        "rank": hit.rank,
        "id": hit.id,
        "score": round(score, 4),
        "metadata": hit.metadata,
        "text": hit.text or "",
        "cut": False,
    }


def _document_entry(document: Document, offset: int) -> dict[str, Any]:
    text = document.text[offset:]
    entry = {"id": document.id, "metadata": document.metadata, "offset": offset, "characters": len(document.text)}
    return {**entry, "text": text, "cut": False}


def _collection_entry(name: str, collection: Searcher, share: int) -> dict[str, Any]:
    """What a collection holds, with as many of its metadata fields as make it `share` tokens long."""
    facts = collection.info()
    entry: dict[str, Any] = {"name": name, **{key: facts.get(key) for key in ("documents", "languages", "model")}}
    entry["fields"] = {}
    left = share - _tokens_of(entry)
    for field in collection.fields(limit=_MOST_VALUES).values():
        values = [value for value, _ in field.values]
        left -= _tokens_of({field.name: values})
        if left < 0:
            break
        entry["fields"][field.name] = values
    return entry


def _cut(entry: dict[str, Any], share: int) -> dict[str, Any]:
    """The entry with as much of its text, and its metadata if there is room, as makes it `share` tokens long."""
    if _tokens_of(entry) <= share:
        return entry
    if _tokens_of(entry["metadata"]) > share // 3:
        entry = {**entry, "metadata": {}, "metadata_left_out": True}
    around = _tokens_of({**entry, "text": ""})
    text = _beginning(entry["text"], max(share - around, _LEAST_SHARE // 4))
    return {**entry, "text": text, "cut": len(text) < len(entry["text"])}


def _beginning(text: str, tokens: int) -> str:
    """As much of a text as takes that many tokens, ended between two words where one ends near; never empty."""
    room = tokens * _BYTES_A_TOKEN
    if len(text) <= room and len(_json(text).encode()) <= room:
        return text
    low, high = 1, min(len(text), room)
    while low < high:  # the longest beginning that fits: quotes and line breaks take more room in JSON
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(_json(text[:middle]).encode()) <= room else (low, middle - 1)
    space = max(text.rfind(" ", 0, low), text.rfind("\n", 0, low))
    return text[: space + 1] if space > low * 3 // 4 else text[:low]


def _tokens_of(value: Any) -> int:
    """How many tokens of an assistant a value takes, at most, in JSON."""
    return -(-len(_json(value).encode("utf-8")) // _BYTES_A_TOKEN)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# -- texts to read -----------------------------------------------------------------------------------------------------


def _collection_text(entry: Mapping[str, Any]) -> str:
    languages = ", ".join(entry["languages"] or ()) or "not said"
    text = f"{entry['name']}: {entry['documents']} documents, languages: {languages}, model {entry['model']}"
    fields = [
        f"{_json(name)} ({', '.join(map(_json, values))})" if values else _json(name)
        for name, values in entry["fields"].items()
    ]
    return f"{text}; to filter by: {', '.join(fields)}" if fields else text


def _search_text(data: Mapping[str, Any], offset: int) -> str:
    hits = data["hits"]
    if not hits:
        return "No more hits." if offset else "No hits. Ask with other words, or without a filter."
    lines = []
    for hit in hits:
        lines += [f"{hit['rank']}. {_heading(hit)} · score {hit['score']}", _body(hit), ""]
    if data["next_offset"] is not None:
        lines.append(f"For more hits, call search again with offset={data['next_offset']}.")
    if any(hit["cut"] for hit in hits):
        lines.append("Texts that end in … are cut: get(ids) gives them whole.")
    return "\n".join(lines).rstrip()


def _get_text(data: Mapping[str, Any]) -> str:
    lines = []
    for document in data["documents"]:
        lines += [_heading(document), _body(document), ""]
    if data["missing"]:
        lines.append(f"Not stored: {_json(data['missing'])}.")
    if data["next"] is not None:
        rest = data["next"]
        lines.append(f"For more, call get again with ids={_json(rest['ids'])} and offset={rest['offset']}.")
    return "\n".join(lines).rstrip()


def _heading(entry: Mapping[str, Any]) -> str:
    named = [entry["metadata"].get(name) for name in ("title", "lang")]
    parts = [f"id {_json(entry['id'])}", *(str(value) for value in named if isinstance(value, str) and value)]
    return " · ".join(parts)


def _body(entry: Mapping[str, Any]) -> str:
    text = entry["text"].strip()
    other = {name: value for name, value in entry["metadata"].items() if name not in ("title", "lang")}
    body = f"{text} …" if entry["cut"] else text
    return f"{_json(other)}\n{body}" if other else body
