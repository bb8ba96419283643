"""The tools for assistants, over the Model Context Protocol: on stdin and stdout, or as a part of the HTTP server.

`AssistantTools` says what the tools do; this file describes them to an assistant, and carries calls and answers.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from polyvec.errors import MissingExtraError, PolyvecError
from polyvec.serve.mcp_tools import MOST_HITS, MOST_IDS, Answer, AssistantTools
from polyvec.version import __version__

try:
    import anyio
    from mcp.server.lowlevel import Server
    from mcp.server.stdio import stdio_server
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    from mcp.types import CallToolResult, ListToolsResult, TextContent, Tool, ToolAnnotations
except ImportError as error:
    raise MissingExtraError("Tools for assistants need mcp. Install it with: pip install 'polyvec[mcp]'") from error

if TYPE_CHECKING:
    from mcp.server import ServerRequestContext
    from mcp.types import CallToolRequestParams, PaginatedRequestParams

logger = logging.getLogger(__name__)

Run = Callable[[Callable[[], Answer]], Awaitable[Answer]]


async def in_thread(call: Callable[[], Answer]) -> Answer:
    """Run a call beside the event loop. A client that goes away is not waited for."""
    return await anyio.to_thread.run_sync(call, abandon_on_cancel=True)


def make_server(tools: AssistantTools, names: list[str], *, run: Run = in_thread) -> Server[Any]:
    """A server of the protocol, ready for any transport.

    Args:
        tools: What it offers.
        names: The collections, for the description that an assistant reads first.
        run: Runs one call of a tool off the event loop. A PolyvecError of its own, such as for a full queue, is answered as a
            tool error too.
    """

    async def list_tools(context: ServerRequestContext[Any], params: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=_described(names))

    async def call_tool(context: ServerRequestContext[Any], params: CallToolRequestParams) -> CallToolResult:
        try:
            answer = await run(partial(tools.call, params.name, params.arguments or {}))
        except PolyvecError as error:
            return _error(str(error))
        except Exception:  # the border to another program: it gets a sentence, the log gets the rest
            logger.exception("the tool %r failed", params.name)
            return _error(f"{params.name} failed inside the server; the server's log says why.")
        return CallToolResult(
            content=[TextContent(type="text", text=answer.text)], structured_content=answer.data, is_error=False
        )

    return Server(
        "polyvec",
        title="polyvec",
        version=__version__,
        instructions=_instructions(names),
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def serve_stdio(tools: AssistantTools, names: list[str]) -> None:
    """Answer on stdin and stdout until stdin ends. Nothing else may be written to stdout meanwhile."""

    async def serve() -> None:
        server = make_server(tools, names)
        async with stdio_server() as (read_stream, write_stream):
            await server.run(read_stream, write_stream, server.create_initialization_options())

    anyio.run(serve)


def http_manager(server: Server[Any], *, max_body: int) -> StreamableHTTPSessionManager:
    """What answers the protocol over HTTP, one request at a time and without sessions.

    Enter its `run()` while the application lives. Who may call, and the Host header, are for the application to check.

    Args:
        server: As `make_server` gives it.
        max_body: Of one request, in bytes.
    """
    return StreamableHTTPSessionManager(server, json_response=True, stateless=True, max_request_body_size=max_body)


def _error(sentence: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=sentence)], is_error=True)


def _instructions(names: list[str]) -> str:
    return (
        "Searches the user's own documents by meaning, across languages: ask in any language, and passages in every language "
        f"are found, without translating the question. Collections: {', '.join(names)}. Call search first; call get for whole "
        "texts; call collections to see languages and sizes."
    )


# -- how the tools are described ---------------------------------------------------------------------------------------

_FILTER = (
    'Only documents whose metadata fits, as in MongoDB: {"lang": "de"} or {"year": {"$gte": 2000}}. Operators: $eq $ne '
    "$gt $gte $lt $lte $in $nin $exists $and $or $not."
)


def _described(names: list[str]) -> list[Tool]:
    """The tools as an assistant reads about them."""
    read_only = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
    which = {
        "type": "string",
        "enum": names,
        "description": "Which collection." + (" May be left out: there is only one." if len(names) == 1 else ""),
    }
    needs = ["collection"] if len(names) > 1 else []
    return [
        Tool(
            name="search",
            title="Search documents in any language",
            description=(
                "Finds the passages that answer a question, by meaning and not by equal words. Works across languages: ask in the "
                "user's language, and passages in all languages are found. Returns the best hits first, with id, score from "
                "0 to 1, metadata and text; long texts are cut, and get gives them whole."
            ),
            input_schema=_object(
                {
                    "query": {
                        "type": "string",
                        "description": "The question, in any language; whole sentences work best.",
                    },
                    "k": _count(1, MOST_HITS, 5, "How many hits."),
                    "filter": {"type": "object", "description": _FILTER},
                    "collection": which,
                    "offset": _count(0, MOST_HITS, 0, "Hits to skip: next_offset of the call before."),
                },
                required=["query", *needs],
            ),
            output_schema=_object(
                {
                    "collection": {"type": "string"},
                    "query": {"type": "string"},
                    "hits": _list_of(
                        _object(
                            {
                                "rank": {"type": "integer"},
                                "id": {"type": "string"},
                                "score": {"type": "number", "description": "As a share of the highest possible one."},
                                "metadata": {"type": "object"},
                                "metadata_left_out": {"type": "boolean", "description": "It was too long."},
                                "text": {"type": "string"},
                                "cut": {
                                    "type": "boolean",
                                    "description": "Whether the text goes on; get has all of it.",
                                },
                            },
                            required=["rank", "id", "score", "metadata", "text", "cut"],
                        )
                    ),
                    "next_offset": {
                        "type": ["integer", "null"],
                        "description": "Where to go on; null: nothing is left.",
                    },
                },
                required=["collection", "query", "hits", "next_offset"],
            ),
            annotations=read_only,
        ),
        Tool(
            name="get",
            title="Read whole documents",
            description="Returns stored documents by id, in full. What does not fit into one answer is named in `next`.",
            input_schema=_object(
                {
                    "ids": {
                        "type": "array",
                        "items": {"type": "string"},
                        "minItems": 1,
                        "maxItems": MOST_IDS,
                        "description": "Ids, as search returned them.",
                    },
                    "collection": which,
                    "offset": _count(0, None, 0, "Characters of the first document to skip."),
                },
                required=["ids", *needs],
            ),
            output_schema=_object(
                {
                    "collection": {"type": "string"},
                    "documents": _list_of(
                        _object(
                            {
                                "id": {"type": "string"},
                                "metadata": {"type": "object"},
                                "metadata_left_out": {"type": "boolean", "description": "It was too long."},
                                "offset": {"type": "integer", "description": "Where the text begins, in characters."},
                                "characters": {"type": "integer", "description": "Of the whole text."},
                                "text": {"type": "string"},
                                "cut": {"type": "boolean", "description": "Whether the text goes on."},
                            },
                            required=["id", "metadata", "offset", "characters", "text", "cut"],
                        )
                    ),
                    "missing": _list_of({"type": "string"}),
                    "next": {
                        "type": ["object", "null"],
                        "description": "Arguments of the call that goes on; null: nothing is left.",
                    },
                },
                required=["collection", "documents", "missing", "next"],
            ),
            annotations=read_only,
        ),
        Tool(
            name="collections",
            title="What can be searched",
            description=(
                "Lists the collections: how many documents, in which languages, and which metadata fields can be filtered by, "
                "with their most frequent values."
            ),
            input_schema=_object({}),
            output_schema=_object(
                {
                    "collections": _list_of(
                        _object(
                            {
                                "name": {"type": "string"},
                                "documents": {"type": ["integer", "null"]},
                                "languages": {"type": ["object", "null"], "description": "Documents by language."},
                                "model": {"type": ["string", "null"]},
                                "fields": {"type": "object", "description": "Most frequent values by metadata field."},
                            },
                            required=["name"],
                        )
                    )
                },
                required=["collections"],
            ),
            annotations=read_only,
        ),
    ]


def _object(properties: Mapping[str, Any], *, required: list[str] | None = None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    return {**schema, "required": required} if required else schema


def _list_of(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": dict(items)}


def _count(least: int, most: int | None, default: int, description: str) -> dict[str, Any]:
    bound = {} if most is None else {"maximum": most}
    return {"type": "integer", "minimum": least, **bound, "default": default, "description": description}
