"""What a service answers its client, as values; a field that a later service adds is left out, not an error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final, TypeVar

from genre.core.errors import (
    ArtifactError,
    ConfigError,
    DataError,
    DependencyError,
    GenreError,
    ModelError,
    ResourceError,
)

if TYPE_CHECKING:
    import httpx2

AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True, slots=True)
class Item:
    """One place of a list."""

    rank: int
    item_id: str
    title: str
    score: float
    source: str
    """`personal`, `content`, `segment` or `popular`."""
    propensity: float | None = None
    """Probability with which the item came to this place, where chance had a hand in it."""
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Recommendations:
    """What is recommended to somebody."""

    list_id: str
    """Send it with impressions and events, so that it is known what came of this list."""
    scenario: str
    user_id: str | None
    version: str
    answered_by: str
    """`model`; or `memory` or `popular`, which stand in for a model that took too long or failed."""
    items: tuple[Item, ...]
    experiment: str | None = None
    arm: str | None = None


@dataclass(frozen=True, slots=True)
class SimilarItem:
    """One of the nearest items."""

    rank: int
    item_id: str
    title: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Similars:
    """The nearest items, best first."""

    scenario: str
    version: str
    items: tuple[SimilarItem, ...]


@dataclass(frozen=True, slots=True)
class Text:
    """One text."""

    kind: str
    language: str
    text: str | None
    """None where nothing could be said that is in the facts."""
    writer: str
    rank: int | None = None
    item_id: str | None = None
    title: str | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Texts:
    """What was written."""

    scenario: str
    version: str
    written_by: str
    """`service`, or `facts` where the language model took too long."""
    texts: tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class Turn:
    """What is said in a conversation."""

    scenario: str
    version: str
    text: str
    items: tuple[Mapping[str, Any], ...]
    state: str
    """Send it with the next turn."""
    writer: str


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of events; all that are `new` or `known` are on the service's disk."""

    new: int = 0
    known: int = 0
    """That were there before, with the same content."""
    conflicts: int = 0
    """Of which there is another event with the same id; these are not kept."""
    bounded: int = 0
    """New ones with a time after the service's, which counts in its place."""
    first_conflicts: tuple[str, ...] = ()
    """Ids of the first ten."""

    def with_(self, other: Sent) -> Sent:
        """Return both together."""
        return Sent(
            self.new + other.new,
            self.known + other.known,
            self.conflicts + other.conflicts,
            self.bounded + other.bounded,
            (*self.first_conflicts, *other.first_conflicts)[:10],
        )


@dataclass(frozen=True, slots=True)
class KnownItem:
    """An item as it is known."""

    item_id: str
    columns: Mapping[str, Any]
    withdrawn: bool


@dataclass(frozen=True, slots=True)
class Erased:
    """What was erased of a user."""

    rows: Mapping[str, int]
    """Of each table of the database."""
    runs: int
    """Versions of the model whose files held something of the user."""


@dataclass(frozen=True, slots=True)
class Version:
    """A version of the model."""

    version: str
    state: str
    """`candidate`, `canary`, `live`, `rejected` or `retired`."""
    share: float | None
    reason: str
    created: float
    """Seconds since 1970."""
    changed: float
    loaded: bool
    """Whether it can answer at once."""
    problem: str | None
    """Why it could not be loaded."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """An experiment on live users."""

    name: str
    arms: Mapping[str, float]
    state: str
    reason: str
    created: float
    changed: float


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a service takes requests."""

    status: str
    """`ok`, or `draining` while it ends."""
    database: str
    """`up` or `down`; lists are answered while it is down, and events are not taken."""
    scenarios: Mapping[str, str] = field(default_factory=dict)
    """The live version of each; told only where no key is needed."""
    problems: tuple[str, ...] = ()
    """Versions that could not be loaded; told only where no key is needed."""


_PARTS: Final[dict[tuple[type, str], type]] = {
    (Recommendations, "items"): Item,
    (Similars, "items"): SimilarItem,
    (Texts, "texts"): Text,
}
"""What the lists hold that are values themselves."""
_KINDS: Final[dict[int, type[GenreError]]] = {
    401: ConfigError, 403: ConfigError, 409: ArtifactError, 501: DependencyError,
    408: ResourceError, 429: ResourceError, 500: ResourceError, 502: ResourceError, 503: ResourceError,
    504: ResourceError,
}  # fmt: skip
"""What a status means; what does not stand here is a mistake in the request."""
_CODES: Final[dict[str, type[GenreError]]] = {"cannot": ModelError, "occupied": DataError}
"""What a code means where its status means several things."""


def made(kind: type[AnswerT], told: Mapping[str, Any]) -> AnswerT:
    """Return an answer as a value."""
    given: dict[str, Any] = {}
    for one in fields(kind):  # type: ignore[arg-type]
        if one.name not in told:
            continue
        value = told[one.name]
        if isinstance(value, list):
            part = _PARTS.get((kind, one.name))
            value = tuple(value if part is None else (made(part, element) for element in value))
        given[one.name] = value
    return kind(**given)


def read(response: httpx2.Response) -> Any:
    """Return what a service has answered.

    Raises:
        GenreError: It says what is wrong.
        ConfigError: It is no service that answers.
    """
    if not response.is_success:
        raise error_of(response)
    try:
        return response.json()
    except ValueError:
        raise _elsewhere("the answer is none of a service", response) from None


def error_of(response: httpx2.Response) -> GenreError:
    """Return what a service says is wrong, as an error of the kind that it means."""
    if response.is_redirect:
        return _elsewhere(f"the answer is to go to {response.headers.get('location')!r}", response)
    try:
        told = response.json()["error"]
        problem, place, remedy = str(told["problem"]), told.get("place"), told.get("remedy")
        code = str(told.get("code"))
    except (ValueError, KeyError, TypeError, AttributeError):
        # What stands in front of a service has its own words.
        problem, place, remedy, code = f"the answer was {response.status_code}", None, None, ""
    kind = _CODES.get(code) or _KINDS.get(response.status_code, DataError)
    return kind(problem, place=place or response.url.path, remedy=remedy)


def seconds_of(response: httpx2.Response) -> float:
    """Return how long a service wants to be left alone; 0 where it says nothing, or a date."""
    given = response.headers.get("retry-after", "").strip()
    return float(given) if given.isascii() and given.isdecimal() else 0.0


def _elsewhere(problem: str, response: httpx2.Response) -> ConfigError:
    # Nobody is followed elsewhere: the key would go along.
    return ConfigError(problem, place=str(response.url), remedy="Give the address of the service itself.")
