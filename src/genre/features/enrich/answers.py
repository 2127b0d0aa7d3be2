"""What a language model is asked to return, as pydantic models: their JSON Schema is part of the question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, TypeAlias, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from genre.language.base import Schema

Words: TypeAlias = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40)]
Line: TypeAlias = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
Passage: TypeAlias = Annotated[str, StringConstraints(strip_whitespace=True, min_length=10, max_length=300)]
Wording: TypeAlias = Annotated[str, StringConstraints(strip_whitespace=True, min_length=2, max_length=2000)]

AnswerT = TypeVar("AnswerT", bound="Answer")


class Answer(BaseModel):
    """An answer of a known form."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    least_overlap: ClassVar[float]
    """Share of the answer's words that must come from what was read."""
    translated: ClassVar[bool] = False
    """Whether it is in another language than what was read, so that their words cannot be compared."""

    @property
    def written(self) -> Sequence[str]:
        """All that the model has put into words of its own."""
        raise TypeError(f"{type(self).__name__} must say what was written")


class ItemSummary(Answer):
    """What `summarise` returns of an item."""

    least_overlap: ClassVar[float] = 0.3
    title: Line
    summary: Passage

    @property
    def written(self) -> Sequence[str]:
        """The title and the summary."""
        return self.title, self.summary


class UserProfile(Answer):
    """What `profile` returns of a user."""

    least_overlap: ClassVar[float] = 0.2
    topics: list[Words] = Field(min_length=1, max_length=5)
    interests: list[Words] = Field(min_length=1, max_length=5)
    tone: Words
    keywords: list[Words] = Field(min_length=1, max_length=8)

    @property
    def written(self) -> Sequence[str]:
        """What can be compared with the history: everything but the tone."""
        return [*self.topics, *self.interests, *self.keywords]


class KeywordProfile(Answer):
    """What the labels and texts of a history hold, without a model: see `by_keywords`."""

    topics: list[Words] = Field(max_length=5)
    keywords: list[Words] = Field(min_length=1, max_length=8)


class ImaginedItem(BaseModel):
    """An item that does not exist."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    title: Line
    description: Annotated[str, StringConstraints(strip_whitespace=True, min_length=10, max_length=160)]


class ImaginedItems(Answer):
    """What `imagine` returns for a user."""

    least_overlap: ClassVar[float] = 0.1
    items: list[ImaginedItem] = Field(min_length=1, max_length=3)

    @property
    def written(self) -> Sequence[str]:
        """Titles and descriptions."""
        return [part for item in self.items for part in (item.title, item.description)]


class Rewriting(Answer):
    """What `rewrite` returns of an item: its text in other words."""

    least_overlap: ClassVar[float] = 0.2
    text: Wording

    @property
    def written(self) -> Sequence[str]:
        """The text."""
        return (self.text,)


class Translation(Rewriting):
    """What `rewrite` returns of an item on the way there and back: its text in another language."""

    translated: ClassVar[bool] = True


def schema_of(form: type[Answer]) -> Schema:
    """Return the JSON Schema without what only people read, so that a reworded docstring asks nothing again."""
    return cast(Schema, _bare(form.model_json_schema()))


def read_answer(text: str, form: type[AnswerT]) -> AnswerT | str:
    """Return the answer that a text holds, or in one line what is wrong with it.

    Words around the outermost braces are passed over: models like to introduce their JSON.
    """
    start, end = text.find("{"), text.rfind("}")
    if start < 0 or end < start:
        return "there is no JSON object"
    try:
        return form.model_validate_json(text[start : end + 1])
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        return f"{place}: {first['msg']}" if place else first["msg"]


def _bare(part: Any) -> Any:
    if isinstance(part, list):
        return [_bare(one) for one in part]
    if not isinstance(part, dict):
        return part
    # A property may be called `title`; its value is no text then.
    notes = {name for name in ("title", "description") if isinstance(part.get(name), str)}
    return {name: _bare(value) for name, value in part.items() if name not in notes}
