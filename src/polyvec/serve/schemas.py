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

    start: int
    end: int
    weight: float


class FoundHit(BaseModel):
    """One document that was found."""

    id: str
    rank: Annotated[int, Field(description="From 1.")]
    score: Annotated[float, Field(description="MaxSim, BM25, or what fusion makes of both. Higher is better.")]
    normalized_score: Annotated[
        float | None, Field(description="MaxSim as a share of the highest possible, from 0 to 1.")
    ] = None
    text: str | None = None
    metadata: dict[str, Any]
    parts: Annotated[dict[str, float] | None, Field(description="Of a hybrid score: MaxSim and BM25.")] = None
    ranks: Annotated[dict[str, int] | None, Field(description="Places in the lists that were fused.")] = None
    explanation: Annotated[
        dict[str, Any] | None, Field(description="Which query token met which document token; offsets in characters.")
    ] = None
    highlights: list[Stretch] | None = None


class Found(BaseModel):
    """The hits of one question, best first."""

    query: str
    hits: list[FoundHit]


class SearchAnswer(BaseModel):
    """One list of hits a question, in the order of the questions."""

    results: list[Found]
    took_ms: Annotated[float, Field(description="From acceptance to the answer.")]
    encode_ms: Annotated[float, Field(description="Waiting for and running the model.")]
    search_ms: float
    partial: Annotated[bool, Field(description="Whether a part of the collection did not answer.")]


class TextObject(Body):
    """A text as an object."""

    text: Text


class RerankRequest(Body):
    """A query and texts to order by it; as Cohere and Jina have it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"query": _QUESTION, "documents": ["Bienen tanzen.", "Brot backt man im Ofen."], "top_n": 1}]
        }
    )

    model: Annotated[str | None, SkipValidation, Field(description="Taken and not needed: the server has one.")] = None
    query: Annotated[Text, SkipValidation]
    documents: Annotated[list[Text | TextObject], Field(min_length=1), SkipValidation]
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
    document: TextObject | None = None


class Usage(BaseModel):
    """What the model read."""

    total_tokens: int


class RerankAnswer(BaseModel):
    """Best first."""

    model: str
    results: list[Reranked]
    usage: Usage


class VectorsRequest(Body):
    """Texts to turn into token vectors; as Jina has it."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"input": [_QUESTION], "input_type": "query", "encoding_format": "base64"}]}
    )

    model: Annotated[str | None, SkipValidation, Field(description="Taken and not needed: the server has one.")] = None
    input: Annotated[Texts, SkipValidation]
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

    index: int
    embeddings: Annotated[list[list[float]] | str, Field(description="Rows of numbers, or base64 of fp16.")]


class VectorsAnswer(BaseModel):
    """One matrix a text, in the order of the texts."""

    model: str
    dimensions: int
    data: list[Matrix]
    usage: Usage


class StoredDocument(BaseModel):
    """A document as it is stored."""

    id: str
    text: str
    metadata: dict[str, Any]


class GivenDocument(BaseModel):
    """A document to store: an id, a text, and any other fields, which become metadata."""

    model_config = ConfigDict(
        extra="allow", json_schema_extra={"examples": [{"id": "42", "text": "Bienen tanzen.", "lang": "de"}]}
    )

    id: str | int
    text: Annotated[str, Field(min_length=1)]
    metadata: dict[str, Any] | None = None


class Stored(BaseModel):
    """Said when it is durable."""

    added: int
    replaced: int
    skipped: Annotated[int, Field(description="Stored already, with existing=skip.")]
    tokens: Annotated[int, Field(description="Token vectors that were stored.")]
    truncated: Annotated[int, Field(description="Documents that were cut at the model's limit.")]
    took_ms: float


class DeleteRequest(Body):
    """Which documents to delete: by their ids, or all that a filter leaves."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ids": ["42"]}, {"filter": {"lang": "de"}}]})

    ids: Annotated[Ids | None, SkipValidation] = None
    filter: Annotated[Filter | None, SkipValidation] = None
    collection: Annotated[str | None, SkipValidation, Field(description=_COLLECTION)] = None


class Deleted(BaseModel):
    """Said when it is durable."""

    deleted: Annotated[int, Field(description="How many there were; unknown ids are passed over.")]
    took_ms: float


class GetRequest(Body):
    """Ids of documents to read."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ids": ["42", "43"]}]})

    ids: Annotated[Ids, SkipValidation]
    collection: Annotated[str | None, SkipValidation, Field(description=_COLLECTION)] = None


class GotDocuments(BaseModel):
    """In the order asked for; null where an id is not stored."""

    documents: list[StoredDocument | None]


class Changed(BaseModel):
    """Said when it is durable."""

    changed: Annotated[int, Field(description="Documents that are different now.")]
    took_ms: float


class ExplanationAnswer(BaseModel):
    """The matches of a question's tokens, whose similarities add up to the score; offsets in characters."""

    query: str
    text: Annotated[str, Field(description="What the model read: the title, if there is one, and the text.")]
    score: float
    matches: list[dict[str, Any]]
    words: Annotated[list[dict[str, Any]], Field(description="Which words met, weighed against each other.")]
    highlights: list[Any]


class CollectionAnswer(BaseModel):
    """What a collection holds: counts, sizes in bytes, languages, model, codec and its drift."""

    model_config = ConfigDict(extra="allow")

    name: str
    documents: int
    tokens: int
    model: str | None = None
    languages: dict[str, int]
    size_bytes: int
    codec: dict[str, Any] | None = None


class FieldValue(BaseModel):
    """One value of a field."""

    value: str | float | bool | None
    documents: int


class FieldFacts(BaseModel):
    """One field of the metadata, under the name that a filter asks for it by."""

    name: str
    types: list[str]
    documents: Annotated[int, Field(description="How many have it.")]
    values: Annotated[list[FieldValue], Field(description="The most frequent ones; none where they are too many.")]
    distinct: Annotated[int | None, Field(description="How many different values; null for too many to count.")]
    minimum: float | None = None
    maximum: float | None = None
    estimated: Annotated[bool, Field(description="Whether counts are estimates from a sample.")]


class FieldsAnswer(BaseModel):
    """The fields of a collection's metadata, those of most documents first."""

    fields: list[FieldFacts]


class DescribedCollection(CollectionAnswer):
    """A collection with its metadata fields."""

    fields: list[FieldFacts]


class CollectionsAnswer(BaseModel):
    """Every collection that is served."""

    collections: list[CollectionAnswer]


class Health(BaseModel):
    """Whether the process answers, or can search."""

    status: Literal["ok", "ready"]
    version: str


class ProblemDetails(BaseModel):
    """An answer other than success: RFC 9457."""

    type: Annotated[str, Field(description="A link to the list of problems.")]
    title: str
    status: int
    detail: Annotated[str, Field(description="What was given, what was expected, what to do.")]
    what_to_do: str
    request_id: str
