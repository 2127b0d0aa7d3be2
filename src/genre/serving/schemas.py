"""What a client may send, and what it gets: the forms of the service's requests and answers, with examples."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue, Strict, model_validator

from genre.serving.stores.events import Event
from genre.serving.stores.values import AS_JSON, ID_SCHEMA, Id, JsonObject, Note, Number, Whole

Language: TypeAlias = Literal["en", "zh"]
Place: TypeAlias = Literal["shop", "news", "video", "music", "social", "courses"]
MOST_ITEMS = 500
"""Answers to one question at most."""
LONGEST_HISTORY = 2_000
"""Items of a history that comes with a question, at most."""
MOST_EVENTS = 20_000
"""Events of one JSON body at most; JSON lines may have any number."""
_FILM: Final = "spirited-away-2001"
"""The examples can be tried with `genre serve --demo`, which knows it."""
_MOST_FIELDS = 100
"""Fields of a question, at most, for each to be looked at: more than any has."""
_GIVEN: Final[dict[str, Any]] = {"type": "string"}
_NOT_GIVEN: Final[dict[str, Any]] = {"type": "null"}
# The descriptions say of a whole form what validators check: which of its parts belong together.
_SOMEBODY: Final[dict[str, Any]] = {
    "anyOf": [
        {"properties": {"user_id": _GIVEN}, "required": ["user_id"]},
        {"properties": {"history": {"type": "array"}}, "required": ["history"]},
    ]
}
"""A question is somebody's."""
_ONE_OF_BOTH: Final[dict[str, Any]] = {
    "anyOf": [
        {"properties": {"item_id": _GIVEN, "text": _NOT_GIVEN}, "required": ["item_id"]},
        {"properties": {"item_id": _NOT_GIVEN, "text": _GIVEN}, "required": ["text"]},
    ]
}
_ONE_TEXT_STREAMS: Final[dict[str, Any]] = {
    "anyOf": [{"properties": {"stream": {"const": False}}}, {"properties": {"kinds": {"maxItems": 1}}}]
}
_CANARIES_HAVE_SHARES: Final[dict[str, Any]] = {
    "anyOf": [
        {"properties": {"state": {"const": "canary"}, "share": {"type": "number"}}, "required": ["share"]},
        {"properties": {"state": {"enum": ["live", "rejected"]}, "share": _NOT_GIVEN}},
    ]
}
# The first mistake in a list is told, and no other looked for: a million of them would take minutes and gigabytes.
Ids: TypeAlias = Annotated[tuple[Id, ...], Field(max_length=LONGEST_HISTORY, fail_fast=True)]


class Form(BaseModel):
    """A part of a request or of an answer; unknown fields are errors, so that a misspelt one cannot pass."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Bounded(Form):
    """A question with no more fields than one can have: each that is unknown would be told of."""

    @model_validator(mode="before")
    @classmethod
    def _few_fields(cls, value: Any) -> Any:
        if isinstance(value, dict) and len(value) > _MOST_FIELDS:
            raise ValueError(f"there are {len(value):,} fields")
        return value


class Question(Bounded):
    """Who asks, and where."""

    scenario: Id | None = None
    """Which scenario is asked; may be left out where there is one, or the key opens only one."""
    user_id: Id | None = None
    """Who asks. Somebody unknown is answered too."""
    history: Ids | None = None
    """Ids of liked items, oldest first, in place of what is known of the user."""
    deadline_ms: Annotated[Whole, Field(ge=1, le=120_000), AS_JSON] | None = None
    """Milliseconds until an answer is of use; what is popular comes in place of one that takes longer."""

    @model_validator(mode="after")
    def _somebody_asks(self) -> Self:
        if self.user_id is None and self.history is None:
            raise ValueError("give a `user_id` or a `history`: an empty one stands for somebody nobody knows")
        return self


class RecommendRequest(Question):
    """What to recommend to somebody."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"user_id": "u1", "n": 5}, {"history": [_FILM], "n": 5}], **_SOMEBODY}
    )
    n: Annotated[Whole, Field(ge=1, le=MOST_ITEMS), AS_JSON] = 10
    """How many items."""
    exclude: Ids = ()
    """Ids of items that are not wanted this time."""
    diversity: Annotated[Number, Field(ge=0, le=1)] | None = None
    """0 leaves the order to the model, 1 looks at difference alone; by default as the scenario has it."""
    explore: Annotated[Number, Field(ge=0, le=0.5)] | None = None
    """Probability with which a place holds an item that the model would not have put there; each item's `propensity`
    says how probable it was. By default as the scenario has it."""
    reasons: Language | None = None
    """Language of a reason for each item; none by default, since finding one asks the model for each event. What is not
    known by the deadline is left out."""


class RecommendedItem(Form):
    """One place of the list."""

    rank: int
    item_id: str
    title: str
    score: float
    """Falls along the list as long as one source speaks."""
    source: Literal["personal", "content", "segment", "popular"]
    """Where it comes from, from the most to the least personal."""
    propensity: float | None = None
    """Probability with which the item came to this place, where chance had a hand in it."""
    reason: str | None = None


class Recommendation(Form):
    """What is recommended to somebody."""

    list_id: str
    """Send it with impressions and events, so that it is known what came of this list."""
    scenario: str
    user_id: str | None
    version: str
    """Of the model."""
    answered_by: Literal["model", "memory", "popular"]
    """`memory` is the last list of this person, less what they have seen since; it and `popular` stand in for a model
    that took too long or failed."""
    items: list[RecommendedItem]
    experiment: str | None = None
    arm: str | None = None
    """Of the experiment that the person is in."""


class SimilarRequest(Bounded):
    """What goes with an item, or with words."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"item_id": _FILM, "n": 5}, {"text": "a quiet voyage"}], **_ONE_OF_BOTH}
    )
    scenario: Id | None = None
    item_id: Id | None = None
    text: Annotated[str, Field(min_length=1, max_length=2_000, json_schema_extra={"pattern": r"\S"})] | None = None
    n: Annotated[Whole, Field(ge=1, le=MOST_ITEMS), AS_JSON] = 10
    deadline_ms: Annotated[Whole, Field(ge=1, le=120_000), AS_JSON] | None = None
    """Milliseconds until an answer is of use; by default as many as for texts, since words may have to be read."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.item_id is None) == (self.text is None):
            raise ValueError("give `item_id` or `text`, one of both")
        return self


class SimilarItem(Form):
    """One of the nearest items."""

    rank: int
    item_id: str
    title: str
    similarity: float


class Similars(Form):
    """The nearest items, best first."""

    scenario: str
    version: str
    items: list[SimilarItem]


class WriteRequest(Question):
    """Which texts to write for somebody."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"user_id": "u1", "item_ids": [_FILM], "kinds": ["synopsis"]}],
            "allOf": [_SOMEBODY, _ONE_TEXT_STREAMS],
        }
    )
    item_ids: Annotated[tuple[Id, ...], Field(min_length=1, max_length=20, fail_fast=True)] | None = None
    """What to write about, in place of what is recommended."""
    kinds: Annotated[tuple[Id, ...], Field(min_length=1, max_length=5, fail_fast=True)] = ("synopsis",)
    """Such as title, summary, synopsis, ad, reason, profile, path, continuation, translation, answer. Left out, those
    that the scenario's run writes count; the default is that of a run that names none."""
    language: Language = "en"
    """Left out, that of the scenario's run counts, if it names one."""
    place: Place = "shop"
    """Where the texts are shown. Left out, it is where those of the scenario's run are, if it says so."""
    n: Annotated[Whole, Field(ge=1, le=20), AS_JSON] = 3
    """Recommended items that are written about."""
    question: Annotated[str, Field(max_length=1_000)] = ""
    begin: Annotated[str, Field(max_length=1_000)] = ""
    stream: Annotated[bool, Strict()] = False
    """Whether one text comes sentence by sentence, as server-sent events."""

    @model_validator(mode="after")
    def _one_text_streams(self) -> Self:
        if self.stream and len(self.kinds) != 1:
            raise ValueError("one kind of text can be streamed at a time")
        return self


class Written(Form):
    """One text."""

    rank: int | None
    item_id: str | None
    title: str | None
    kind: str
    language: str
    text: str | None
    """None where nothing could be said that is in the facts."""
    writer: str
    """`model`, or `template` where it was put together from the facts."""
    provenance: dict[str, Any]


class Texts(Form):
    """What was written."""

    scenario: str
    version: str
    written_by: Literal["service", "facts"]
    """`facts` where the language model took too long: no text of it is among these."""
    texts: list[Written]


class WhyRequest(Question):
    """Why somebody is recommended an item, or not."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"user_id": "u1", "item_id": _FILM}], **_SOMEBODY})
    item_id: Id
    n: Annotated[Whole, Field(ge=1, le=100), AS_JSON] = 10
    language: Language = "en"


class ChatRequest(Question):
    """One turn of a conversation."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"user_id": "u1", "message": "Something quieter?"}], **_SOMEBODY}
    )
    message: Annotated[str, Field(max_length=20_000)]
    state: Annotated[str, Field(max_length=200_000)] | None = None
    """What the last turn has returned; none begins a conversation. The service keeps nothing of it."""
    place: Place = "shop"


class ChatReply(Form):
    """What is said."""

    scenario: str
    version: str
    text: str
    items: list[dict[str, Any]]
    state: str
    """Send it with the next turn."""
    writer: str


class EventsRequest(Form):
    """What users did and were shown."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"events": [{"event_id": "e1", "user_id": "u1", "item_id": _FILM, "event": "click"}]}]
        }
    )
    scenario: Id | None = None
    events: Annotated[tuple[Event, ...], Field(min_length=1, max_length=MOST_EVENTS, fail_fast=True)]


class EventsReply(Form):
    """What became of the events. All that are `new` or `known` are on the disk."""

    new: int
    known: int
    """That were there before, with the same content."""
    conflicts: int
    """Of which there is another event with the same id; these are not kept."""
    bounded: int
    """New ones with a time after the server's, which counts in its place."""
    first_conflicts: list[str]
    """Ids of the first few."""


_Item: TypeAlias = Annotated[
    JsonObject,
    Field(json_schema_extra={"properties": {"item_id": ID_SCHEMA}, "required": ["item_id"]}),
]


class ItemsRequest(Form):
    """Items to add, or to replace."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [{"item_id": "new1", "title": "A new one"}]}]})
    scenario: Id | None = None
    items: Annotated[tuple[_Item, ...], Field(min_length=1, max_length=1_000, fail_fast=True)]
    """Each with an `item_id` and columns of the catalogue."""


class ItemsReply(Form):
    """What was done with each item."""

    changes: dict[str, Literal["added", "changed", "same"]]


class ItemReply(Form):
    """An item as it is known."""

    item_id: str
    columns: dict[str, JsonValue]
    withdrawn: bool


class ModelReply(Form):
    """A version of the model."""

    version: str
    state: Literal["candidate", "canary", "live", "rejected", "retired"]
    share: float | None
    """Of the users, those whom a canary answers."""
    reason: str
    created: float
    changed: float
    loaded: bool
    """Whether it can answer at once."""
    problem: str | None
    """Why it could not be loaded, or an item could not be taken in."""


class ModelChange(Form):
    """What shall become of a version."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"state": "canary", "share": 0.1}, {"state": "live"}], **_CANARIES_HAVE_SHARES}
    )
    scenario: Id | None = None
    state: Literal["canary", "live", "rejected"]
    share: Annotated[Number, Field(gt=0, lt=1)] | None = None
    reason: Note = ""


class ModelsReply(Form):
    """All versions, in the order in which they were added."""

    scenario: str
    versions: list[ModelReply]


class Erased(Form):
    """What was erased of a user."""

    rows: dict[str, int]
    """Of each table of the database."""
    runs: int
    """Versions of the model whose files held something of the user, and hold it no more."""


class ExperimentRequest(Form):
    """An experiment on live users."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "spring", "arms": {"live": 0.5, "v2": 0.5}}]})
    scenario: Id | None = None
    name: Id
    arms: Annotated[
        dict[Id, Number], Field(min_length=2, max_length=20, json_schema_extra={"propertyNames": ID_SCHEMA})
    ]
    """Their shares of the users. An arm with the name of a version is answered by it, any other by the live one."""


class Problem(Form):
    """What went wrong."""

    code: str
    """A word for programs."""
    problem: str
    """The rest is for people: what is wrong, where, and what to do about it."""
    place: str | None = None
    remedy: str | None = None


class ProblemReply(Form):
    """An answer that is none."""

    error: Problem
