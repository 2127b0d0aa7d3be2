"""Who asks on the page, about what, and for whom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import gradio as gr
from fastapi import HTTPException
from pydantic import ValidationError

from genre.core.errors import DataError, GenreError
from genre.data.feedback import FeedbackConfig, weight_of
from genre.engine import Engine
from genre.features.text import Language
from genre.serving.batching import BusyError
from genre.serving.keys import Caller
from genre.serving.keys import Scope as KeyScope
from genre.serving.routes.asker import Asker
from genre.serving.scenario import Scenario
from genre.serving.service import Service
from genre.serving.stores.events import Event
from genre.serving.studio.words import say

_LIKES: Final = ("like", "thumb_up", "favourite", "favorite", "rating", "rate")
_DISLIKES: Final = ("dislike", "thumb_down", "hide", "not_interested", "skip", "rating", "rate")
"""Types of events that say best what a thumb says, where a scenario has them."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody for whom the page asks: a user, or whoever has liked what was chosen."""

    user_id: str | None
    history: tuple[str, ...] | None
    exclude: tuple[str, ...] = ()

    @classmethod
    def of(cls, mode: str, user: str | None, history: Sequence[str], exclude: Sequence[str]) -> Person:
        """Return who is meant by what stands on the page."""
        if mode == "user" and (user or "").strip():
            return cls(str(user).strip(), None, tuple(exclude))
        return cls(None, tuple(history) if mode == "history" else (), tuple(exclude))

    def stored(self, scenario: Scenario) -> str | None:
        """Return what they are called in the stores."""
        return None if self.user_id is None else scenario.stored_id(self.user_id)


def caller_of(request: gr.Request) -> Caller:
    """Return who the door has let in."""
    caller: Caller = request.request.scope["state"]["caller"]  # type: ignore[union-attr]
    return caller


def scenario_for(
    service: Service, request: gr.Request, scope: KeyScope, name: str | None, *, counts: bool = True
) -> Scenario:
    """Return a scenario, if the caller may do this in it; it counts like any other request with their key.

    Raises:
        HTTPException: They may not, there is no such scenario, or a limit of the key is used up.
    """
    caller = caller_of(request)
    found = Asker(service, caller, scope).scenario(name)
    if counts and not service.is_open and service.keys.admit(caller) is not None:
        raise HTTPException(429, "limit")
    return found


@contextmanager
def telling(language: Language) -> Iterator[None]:
    """Say on the page what went wrong, if it is something that people can do something about."""
    try:
        yield
    except HTTPException as error:
        words = say("limit", language) if error.detail == "limit" else str(error.detail)
    except BusyError:
        words = say("busy", language)
    except TimeoutError:
        words = say("late", language)
    except ValidationError as error:
        words = str(error.errors()[0]["msg"])
    except GenreError as error:
        words = f"{error.problem}. {error.remedy or ''}"
    else:
        return
    raise gr.Error(words, print_exception=False, title="Genre")


def titles(engine: Engine, item_ids: Sequence[str], language: Language) -> list[str]:
    """Return titles of items, their ids where they have none, in a language where the catalogue has it."""
    items = engine.data.items
    rows = items.vocabulary.rows(list(item_ids))
    found = items.title_in(language).gather([max(0, int(row)) for row in rows]).to_list() if len(items) else item_ids
    return [str(name) if row >= 0 else item_id for item_id, row, name in zip(item_ids, rows, found, strict=True)]


def search(engine: Engine, words: str, language: Language, n: int = 6) -> list[tuple[str, str]]:
    """Return the ids and titles of items whose title has all these words, in any language; shortest titles first."""
    items, wanted = engine.data.items, words.casefold().split()
    if not wanted:
        return []
    shown = items.title_in(language)
    good = None
    for series in (items.title, shown):
        small = series.str.to_lowercase()
        has = small.str.contains(wanted[0], literal=True)
        for word in wanted[1:]:
            has = has & small.str.contains(word, literal=True)
        good = has if good is None else good | has
    rows = good.fill_null(value=False).arg_true().to_list() if good is not None else []
    best = sorted(rows, key=lambda row: (len(str(shown[row])), row))[:n]
    return [(str(items.vocabulary.ids[row]), str(shown[row])) for row in best]


def thumb(up: bool, config: FeedbackConfig) -> tuple[str | None, float | None] | None:
    """Return type and value of an event that says like, or seen and not liked; None where none can say it."""
    likes, dislikes = list(_LIKES), list(_DISLIKES)
    named = sorted(config.events, key=lambda name: -config.events[name] if up else config.events[name])
    wanted = likes if up else dislikes
    types: list[str | None] = [*(name for name in wanted if name in config.events), *named] or [None]
    at = config.like_at
    values = [at, None, 1.0] if up else [None if at is None else at - 1, None, 0.0]
    for kind in types:
        for value in values:
            if (weight_of(kind, value, config) > 0) == up:
                return kind, value
    return None


async def take_thumb(
    service: Service, scenario: Scenario, person: Person, shown: dict[str, Any], item_id: str, *, up: bool
) -> bool:
    """Store what a user thinks of an item that was shown, and return whether that could be said.

    Raises:
        DataError: The item was not shown.
        ResourceError: It could not be written.
    """
    said = thumb(up, scenario.feedback)
    if said is None or person.user_id is None:
        return False
    place = next((row for row in shown["items"] if row["item_id"] == item_id), None)
    if place is None:
        raise DataError(f"{item_id!r} is not in the list", place="studio", remedy="Ask for the list again.")
    kind, value = said
    event = Event(
        event_id=f"studio-{uuid4().hex}",
        user_id=person.user_id,
        item_id=item_id,
        event=kind,
        value=value,
        list_id=shown["list_id"],
        position=place["rank"] - 1,
        propensity=place["propensity"],
        context={"from": "studio"},
    )
    await service.append(scenario, [event])
    return True
