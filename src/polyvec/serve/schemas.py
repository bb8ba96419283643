"""What calls take and give, as /openapi.json describes it.

Of a body, the names of its fields are checked here. Values are checked where Python's are, so that the sentence is the same: their
types stand here for the description alone.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SkipValidation, WithJsonSchema

Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[list[Text], Field(min_length=1)]
Id = Annotated[str, WithJsonSchema({"type": ["string", "integer"]})]  # numbers become their digits
Ids = list[Id]
Filter = dict[str, Any]

_COLLECTION = "Which collection; may be left out where one is served."
_QUESTION = "How do bees tell each other where the flowers are?"
_HIT = {
    "id": "42",
    "score": 10.2,
    "normalized_score": 0.68,
    "rank": 1,
    "text": "Bienen tanzen.",
    "metadata": {"lang": "de"},
}
_TIMES = {"took_ms": 12.5, "encode_ms": 4.1, "search_ms": 7.9}


def _example(value: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [value]})


class Body(BaseModel):
    """What a client sends: a field that is not listed is an error."""

    model_config = ConfigDict(extra="forbid")


class SearchRequest(Body):
    """One question or several, and how to look for the answers."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"query": _QUESTION, "k": 10, "filter": {"lang": {"$in": ["de", "es"]}}}]}
    )

    query: Annotated[Text | Texts, SkipValidation, Field(description="A question in any language, or a list of them.")]
    k: Annotated[
        Annotated[int, Field(ge=1, le=10_000)] | None,
        SkipValidation,
        Field(description="Hits of each question; 10 if left out."),
    ] = None
    mode: Annotated[
        Literal["late", "keyword", "hybrid"] | None, SkipValidation, Field(description="MaxSim, BM25, or both fused.")
    ] = None
    filter: Annotated[
        Filter | None,
        SkipValidation,
        Field(description="On metadata: equality, $ne $gt $gte $lt $lte $in $nin $exists $and $or $not."),
    ] = None
    subset: Annotated[Ids | None, SkipValidation, Field(description="Ids to choose from.")] = None
    min_score: Annotated[
        Annotated[float, Field(ge=0, le=1)] | None,
        SkipValidation,
        Field(description="Least normalized score of a hit, from 0 to 1."),
    ] = None
    options: Annotated[
        dict[str, Any] | None,
        SkipValidation,
        Field(description="More fields of SearchOptions: exact, recall, nprobe, candidates, fusion, weight."),
    ] = None
    explain: Annotated[
        bool | None, SkipValidation, Field(description="Whether each hit says which words met which.")
    ] = None
    highlights: Annotated[
        bool | None, SkipValidation, Field(description="Whether each hit says which stretches of its text decided.")
    ] = None
    collection: Annotated[str | None, SkipValidation, Field(description=_COLLECTION)] = None


class Stretch(BaseModel):
    """text[start:end], in characters, and how much it decided, from 0 to 1."""

    start: Annotated[int, Field(description="First character, from 0.")]
    end: Annotated[int, Field(description="After the last character.")]
    weight: Annotated[float, Field(description="From 0 to 1.")]


class FoundHit(BaseModel):
    """One document that was found."""

    id: Annotated[str, Field(description="The document.")]
    rank: Annotated[int, Field(description="From 1.")]
    score: Annotated[float, Field(description="MaxSim, BM25, or what fusion makes of both. Higher is better.")]
    normalized_score: Annotated[
        float | None, Field(description="MaxSim as a share of the highest possible, from 0 to 1.")
    ] = None
    text: Annotated[str | None, Field(description="Null where only vectors were stored.")] = None
    metadata: Annotated[dict[str, Any], Field(description="Its fields.")]
    parts: Annotated[dict[str, float] | None, Field(description="Of a hybrid score: MaxSim and BM25.")] = None
    ranks: Annotated[dict[str, int] | None, Field(description="Places in the lists that were fused.")] = None
    explanation: Annotated[
        dict[str, Any] | None, Field(description="Which query token met which document token; offsets in characters.")
    ] = None
    highlights: Annotated[
        list[Stretch] | None, Field(description="Where asked for: the stretches of the text that decided.")
    ] = None


class Found(BaseModel):
    """The hits of one question, best first."""

    query: Annotated[str, Field(description="As it was asked; empty for vectors.")]
    hits: Annotated[list[FoundHit], Field(description="Best first.")]


class SearchAnswer(BaseModel):
    """One list of hits a question, in the order of the questions."""

    model_config = _example({"results": [{"query": _QUESTION, "hits": [_HIT]}], **_TIMES, "partial": False})

    results: Annotated[list[Found], Field(description="In the order of the questions.")]
    took_ms: Annotated[float, Field(description="From acceptance to the answer.")]
    encode_ms: Annotated[float, Field(description="Waiting for and running the model.")]
    search_ms: Annotated[float, Field(description="Searching, explanations included.")]
    partial: Annotated[bool, Field(description="Whether a part of the collection did not answer.")]
    missing_shards: Annotated[
        list[str] | None, Field(description="Of a partial answer: the shards that were not searched.")
    ] = None


class TextObject(Body):
    """A text as an object."""

    text: Annotated[Text, Field(description="The text.")]


class RerankRequest(Body):
    """A query and texts to order by it; as Cohere and Jina have it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"query": _QUESTION, "documents": ["Bienen tanzen.", "Brot backt man im Ofen."], "top_n": 1}]
        }
    )

    model: Annotated[str | None, SkipValidation, Field(description="Taken and not needed: the server has one.")] = None
    query: Annotated[Text, SkipValidation, Field(description="A question in any language.")]
    documents: Annotated[
        Annotated[list[Text | TextObject], Field(min_length=1)],
        SkipValidation,
        Field(description="Texts to order, in any language."),
    ]
    top_n: Annotated[
        Annotated[int, Field(ge=1)] | None, SkipValidation, Field(description="How many to return; all if left out.")
    ] = None
    return_documents: Annotated[
        bool | None, SkipValidation, Field(description="Whether the answer repeats the texts.")
    ] = None
    collection: Annotated[str | None, SkipValidation, Field(description="The one whose model reranks.")] = None


class Reranked(BaseModel):
    """One text in its new place."""

    index: Annotated[int, Field(description="Its place in the request, from 0.")]
    relevance_score: Annotated[float, Field(description="The normalized score, from 0 to 1.")]
    score: Annotated[float, Field(description="MaxSim.")]
    document: Annotated[TextObject | None, Field(description="With return_documents.")] = None


class Usage(BaseModel):
    """What the model read."""

    total_tokens: Annotated[int, Field(description="Tokens of all texts.")]


class RerankAnswer(BaseModel):
    """Best first."""

    model_config = _example(
        {
            "model": "polyvec-mini-1",
            "results": [{"index": 0, "relevance_score": 0.68, "score": 10.2}],
            "usage": {"total_tokens": 31},
        }
    )

    model: Annotated[str, Field(description="The one that was used.")]
    results: Annotated[list[Reranked], Field(description="Best first.")]
    usage: Annotated[Usage, Field(description="What the model read.")]


class VectorsRequest(Body):
    """Texts to turn into token vectors; as Jina has it."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"input": [_QUESTION], "input_type": "query", "encoding_format": "base64"}]}
    )

    model: Annotated[str | None, SkipValidation, Field(description="Taken and not needed: the server has one.")] = None
    input: Annotated[Texts, SkipValidation, Field(description="Texts to encode.")]
    input_type: Annotated[
        Literal["query", "document"] | None, SkipValidation, Field(description="document if left out.")
    ] = None
    dimensions: Annotated[
        Annotated[int, Field(ge=1)] | None,
        SkipValidation,
        Field(description="Size of a vector: one that the model has a head for."),
    ] = None
    encoding_format: Annotated[
        Literal["float", "base64"] | None,
        SkipValidation,
        Field(description="float: lists of numbers, if left out. base64: little-endian fp16, row after row."),
    ] = None
    collection: Annotated[str | None, SkipValidation, Field(description="The one whose model encodes.")] = None


class Matrix(BaseModel):
    """The token vectors of one text."""

    index: Annotated[int, Field(description="The place of the text in the request, from 0.")]
    embeddings: Annotated[list[list[float]] | str, Field(description="Rows of numbers, or base64 of fp16.")]


class VectorsAnswer(BaseModel):
    """One matrix a text, in the order of the texts."""

    model_config = _example(
        {
            "model": "polyvec-mini-1",
            "dimensions": 2,
            "data": [{"index": 0, "embeddings": [[0.6, 0.8], [1.0, 0.0]]}],
            "usage": {"total_tokens": 2},
        }
    )

    model: Annotated[str, Field(description="The one that was used.")]
    dimensions: Annotated[int, Field(description="Numbers a vector.")]
    data: Annotated[list[Matrix], Field(description="In the order of the texts.")]
    usage: Annotated[Usage, Field(description="What the model read.")]


class StoredDocument(BaseModel):
    """A document as it is stored."""

    id: Annotated[str, Field(description="The document.")]
    text: Annotated[str, Field(description="Empty where only vectors were stored.")]
    metadata: Annotated[dict[str, Any], Field(description="Its fields.")]


class GivenDocument(BaseModel):
    """A document to store: an id, a text, and any other fields, which become metadata."""

    model_config = ConfigDict(
        extra="allow", json_schema_extra={"examples": [{"id": "42", "text": "Bienen tanzen.", "lang": "de"}]}
    )

    id: Annotated[str | int, Field(description="Yours; a number becomes its digits.")]
    text: Annotated[str, Field(min_length=1, description="What is found, in any language.")]
    metadata: Annotated[
        Any, Field(description="An object's fields stand beside the others; anything else is one field of this name.")
    ] = None


class Stored(BaseModel):
    """Said when it is durable."""

    model_config = _example({"added": 1, "replaced": 1, "skipped": 0, "tokens": 16, "truncated": 0, "took_ms": 24.6})

    added: Annotated[int, Field(description="Documents that are new.")]
    replaced: Annotated[int, Field(description="Documents whose id was stored already.")]
    skipped: Annotated[int, Field(description="Stored already, with existing=skip.")]
    tokens: Annotated[int, Field(description="Token vectors that were stored.")]
    truncated: Annotated[int, Field(description="Documents that were cut at the model's limit.")]
    took_ms: Annotated[float, Field(description="From acceptance to the answer.")]


class DeleteRequest(Body):
    """Which documents to delete: by their ids, or all that a filter leaves."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ids": ["42"]}, {"filter": {"lang": "de"}}]})

    ids: Annotated[Ids | None, SkipValidation, Field(description="Of the documents; give these or a filter.")] = None
    filter: Annotated[Filter | None, SkipValidation, Field(description="On metadata, as in a search.")] = None
    collection: Annotated[str | None, SkipValidation, Field(description=_COLLECTION)] = None


class Deleted(BaseModel):
    """Said when it is durable."""

    deleted: Annotated[int, Field(description="How many there were; unknown ids are passed over.")]
    took_ms: Annotated[float, Field(description="From acceptance to the answer.")]


class GetRequest(Body):
    """Ids of documents to read."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ids": ["42", "43"]}]})

    ids: Annotated[Ids, SkipValidation, Field(description="Of the documents to read.")]
    collection: Annotated[str | None, SkipValidation, Field(description=_COLLECTION)] = None


class GotDocuments(BaseModel):
    """In the order asked for; null where an id is not stored."""

    documents: Annotated[list[StoredDocument | None], Field(description="In the order of the ids.")]


class Changed(BaseModel):
    """Said when it is durable."""

    changed: Annotated[int, Field(description="Documents that are different now.")]
    took_ms: Annotated[float, Field(description="From acceptance to the answer.")]


class ExplanationAnswer(BaseModel):
    """The matches of a question's tokens, whose similarities add up to the score; offsets in characters."""

    query: Annotated[str, Field(description="As it was asked.")]
    text: Annotated[str, Field(description="What the model read: the title, if there is one, and the text.")]
    score: Annotated[float, Field(description="MaxSim.")]
    matches: Annotated[
        list[dict[str, Any]], Field(description="A query token, the document token that it met, and their similarity.")
    ]
    words: Annotated[list[dict[str, Any]], Field(description="Which words met, weighed against each other.")]
    highlights: Annotated[list[Any], Field(description="Stretches of the text that decided.")]


class CollectionAnswer(BaseModel):
    """What a collection holds: counts, sizes in bytes, languages, model, codec and its drift."""

    model_config = ConfigDict(extra="allow")

    name: Annotated[str, Field(description="That of its folder.")]
    documents: Annotated[int, Field(description="How many it holds.")]
    tokens: Annotated[int, Field(description="Token vectors of these.")]
    model: Annotated[str | None, Field(description="Null where all vectors were brought along.")] = None
    languages: Annotated[dict[str, int], Field(description="Documents by their field `lang`.")]
    size_bytes: Annotated[int, Field(description="On disk.")]
    codec: Annotated[dict[str, Any] | None, Field(description="Null while vectors are stored in fp16.")] = None


class FieldValue(BaseModel):
    """One value of a field."""

    value: Annotated[str | float | bool | None, Field(description="As a filter compares it.")]
    documents: Annotated[int, Field(description="How many have it.")]


class FieldFacts(BaseModel):
    """One field of the metadata, under the name that a filter asks for it by."""

    name: Annotated[str, Field(description="With dots for what is nested.")]
    types: Annotated[list[str], Field(description="Such as string, number, boolean.")]
    documents: Annotated[int, Field(description="How many have it.")]
    values: Annotated[list[FieldValue], Field(description="The most frequent ones; none where they are too many.")]
    distinct: Annotated[int | None, Field(description="How many different values; null for too many to count.")]
    minimum: Annotated[float | None, Field(description="Of its numbers.")] = None
    maximum: Annotated[float | None, Field(description="Of its numbers.")] = None
    estimated: Annotated[bool, Field(description="Whether counts are estimates from a sample.")]


class FieldsAnswer(BaseModel):
    """The fields of a collection's metadata, those of most documents first."""

    fields: Annotated[list[FieldFacts], Field(description="Those of most documents first.")]


class DescribedCollection(CollectionAnswer):
    """A collection with its metadata fields."""

    fields: Annotated[list[FieldFacts], Field(description="What can be filtered by.")]


class CollectionsAnswer(BaseModel):
    """Every collection that is served."""

    collections: Annotated[list[CollectionAnswer], Field(description="In the order they were given.")]


class Health(BaseModel):
    """Whether the process answers, or can search."""

    status: Annotated[Literal["ok", "ready"], Field(description="ok: it answers. ready: it can search.")]
    version: Annotated[str, Field(description="Of polyvec.")]


class ProblemDetails(BaseModel):
    """An answer other than success: RFC 9457."""

    type: Annotated[str, Field(description="A link to the list of problems.")]
    title: Annotated[str, Field(description="The kind of problem, in words.")]
    status: Annotated[int, Field(description="The HTTP status.")]
    detail: Annotated[str, Field(description="What was given, what was expected, what to do.")]
    what_to_do: Annotated[str, Field(description="What helps with this kind of problem.")]
    request_id: Annotated[str, Field(description="As in the header X-Request-ID and in the log.")]
