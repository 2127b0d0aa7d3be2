"""A client of a running service, for programs that ask it.

::

    from genre.client import Client

    with Client("http://localhost:8000", key="genre_...") as client:
        answer = client.recommend("some user", n=5)
        client.send([{"event_id": "e1", "user_id": "some user", "item_id": answer.items[0].item_id, "event": "click"}])

It needs `httpx2` of the extra `serve`, and nothing else of Genre.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import islice
from typing import Any, Final, Self
from urllib.parse import quote

from genre.client_answers import (
    Erased,
    Experiment,
    Health,
    KnownItem,
    Recommendations,
    Sent,
    Similars,
    Texts,
    Turn,
    Version,
    error_of,
    made,
    read,
    seconds_of,
)
from genre.core.errors import ConfigError, DataError, DependencyError, GenreError, ModelError, ResourceError

_JSON: Final = {"content-type": "application/json"}
_LINES: Final = {"content-type": "application/x-ndjson"}
PART: Final = 2_000
"""Events of one request: what the service writes in one transaction, so that all of them are taken or none is."""
ITEMS_AT_ONCE: Final = 1_000
"""Items of one request, at most."""
_LONG: Final = 600.0
"""Seconds for what reads a model or writes a database anew."""
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 10.0
"""Seconds between two attempts: the first time, and at most unless the service names more."""
_AGAIN: Final = frozenset({408, 429, 502, 503, 504})
"""Answers after which the same request may succeed. 502 and 504 come from what stands in front of a service."""


class Client:
    """Asks one service. Any thread may use it; it keeps connections open until it is closed.

    Every method raises what the service says went wrong: `DataError` for what was sent, `ConfigError` for a key that
    does not open this, `ModelError` for what a model cannot do, `ArtifactError` for a version that is damaged, and
    `ResourceError` where the service is away, full or too slow.
    """

    def __init__(self, url: str, key: str | None = None, *, scenario: str | None = None, timeout: float = 30.0) -> None:
        """Make ready; the service is first asked when something is wanted of it.

        Args:
            url: Of the service, as in `http://localhost:8000`.
            key: What `genre keys create` has shown; none where the service needs none.
            scenario: Which one is asked; may be left out where there is one, or the key opens only one.
            timeout: Seconds to wait for the service. A list comes within its `deadline` of .3 seconds, a text within
                its `writing_deadline` of 20.

        Raises:
            ConfigError: The URL or the key is none.
            DependencyError: `httpx2` is not installed.
        """
        if find_spec("httpx2") is None:
            raise DependencyError(
                "needs the library 'httpx2', which is not installed",
                place="genre.client",
                remedy="Install it with `pip install 'genre-rec[serve]'`.",
            )
        import httpx2

        self.url, self.scenario = url.rstrip("/"), scenario
        if key is not None and not (key.strip().isascii() and key.strip().isprintable()):
            raise ConfigError("this is no key", place="key", remedy="Give what `genre keys create` has shown.")
        headers = {} if key is None else {"authorization": f"Bearer {key.strip()}"}
        wrong = ConfigError(f"{url!r} is no address of a service", place="url", remedy="Give one as http://HOST:PORT.")
        if not url.startswith(("http://", "https://")):
            raise wrong
        try:
            self._http = httpx2.Client(base_url=self.url, headers=headers, timeout=timeout)
        except httpx2.InvalidURL:
            raise wrong from None

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def recommend(
        self,
        user_id: str | None = None,
        *,
        history: Sequence[str] | None = None,
        n: int = 10,
        exclude: Sequence[str] = (),
        diversity: float | None = None,
        explore: float | None = None,
        reasons: str | None = None,
        deadline_ms: int | None = None,
    ) -> Recommendations:
        """Return what is recommended to somebody; `answered_by` says whether the model has answered.

        Args:
            user_id: Who; somebody unknown is answered too.
            history: Ids of liked items, oldest first, in place of what is known of the user.
            n: How many items.
            exclude: Ids that are not wanted this time.
            diversity: From 0, the model's order, to 1, difference alone; as the scenario has it by default.
            explore: Probability of an item that the model would not have put there; as the scenario has it by default.
            reasons: Language of a reason for each item, `en` or `zh`; none by default, and none where they take longer.
            deadline_ms: Milliseconds until an answer is of use.
        """
        asked = {
            "user_id": user_id, "history": _listed(history), "n": n, "exclude": list(exclude), "diversity": diversity,
            "explore": explore, "reasons": reasons, "deadline_ms": deadline_ms,
        }  # fmt: skip
        return made(Recommendations, self._post("/v1/recommend", asked))

    def similar(
        self, item_id: str | None = None, *, text: str | None = None, n: int = 10, deadline_ms: int | None = None
    ) -> Similars:
        """Return the items that go best with one, or with words; `deadline_ms` as for `recommend`."""
        asked = {"item_id": item_id, "text": text, "n": n, "deadline_ms": deadline_ms}
        return made(Similars, self._post("/v1/similar", asked))

    def write(
        self,
        user_id: str | None = None,
        *,
        kinds: Sequence[str] | None = None,
        item_ids: Sequence[str] | None = None,
        **more: Any,
    ) -> Texts:
        """Return texts for somebody, about what is recommended or about given items.

        Args:
            user_id: Who reads them.
            kinds: Such as title, synopsis, ad, reason, profile; by default those that the scenario's run writes, which
                is a synopsis where it says nothing.
            item_ids: What to write about, in place of what is recommended.
            **more: `history`, `n`, `language`, `place`, `question`, `begin` and `deadline_ms` of `/openapi.json`.
        """
        asked = {"user_id": user_id, "kinds": _listed(kinds), "item_ids": _listed(item_ids), **more}
        return made(Texts, self._post("/v1/write", asked))

    def stream(
        self, user_id: str | None = None, *, kind: str | None = None, item_ids: Sequence[str] | None = None, **more: Any
    ) -> Iterator[str]:
        """Yield the sentences of one text as they are written; who stops listening lets the service stop writing.

        Args:
            user_id: Who reads it.
            kind: Of the text; by default the first that the scenario's run writes.
            item_ids: What to write about, in place of what is recommended.
            **more: As for `write`.

        Raises:
            ModelError: The text broke off; the sentences before are whole.
        """
        import httpx2

        kinds = None if kind is None else [kind]
        asked = {"user_id": user_id, "kinds": kinds, "item_ids": _listed(item_ids), **more, "stream": True}
        content = _encoded(self._filled(asked), "stream")
        with self._explained(), self._http.stream("POST", "/v1/write", content=content, headers=_JSON) as response:
            if not response.is_success:
                response.read()
                raise error_of(response)
            for event in httpx2.EventSource(response):
                told = json.loads(event.data)
                if event.event == "sentence":
                    yield str(told["text"])
                elif event.event == "error":
                    raise ModelError(str(told["problem"]), place="stream", remedy="Ask again, or for less.")
                else:
                    return
        raise ResourceError("the connection ended before the text", place=self.url, remedy="Ask again.")

    def why(self, user_id: str | None, item_id: str, **more: Any) -> dict[str, Any]:
        """Return how an item came to be recommended to somebody, or why it was not; `more` as for `write`."""
        return self._post("/v1/why", {"user_id": user_id, "item_id": item_id, **more})

    def chat(self, message: str, *, user_id: str | None = None, state: str | None = None, **more: Any) -> Turn:
        """Return one turn of a conversation.

        Args:
            message: What somebody says.
            user_id: Who; without one and without a `history`, somebody nobody knows.
            state: Of the turn before; none begins a conversation. The service keeps nothing of it.
            **more: `history`, `place`, `deadline_ms`.
        """
        if user_id is None:
            more.setdefault("history", [])
        return made(Turn, self._post("/v1/chat", {"message": message, "user_id": user_id, "state": state, **more}))

    def send(self, events: Iterable[Mapping[str, Any]], *, patience: float = 60.0) -> Sent:
        """Send events, any number of them, and return what became of them; what is acknowledged is durable.

        They go in parts. A part that could not be taken is sent again with the same ids, so that nothing counts twice,
        later each time and not before the service says. Events without a `timestamp` count as when they arrive: give
        one where it matters.

        Args:
            events: Each with an `event_id` of your own, a `user_id`, an `item_id`, and what else `/openapi.json` has.
            patience: Seconds to go on trying with one part.

        Raises:
            DataError: An event is wrong; the parts before its own are taken.
            ResourceError: The service was away or full for too long. All can be sent again, with the same ids.
        """
        rest, totals, done = iter(events), Sent(), 0
        while part := [dict(event) for event in islice(rest, PART)]:
            for number, event in enumerate(part, start=done + 1):
                if not event.get("event_id"):
                    raise DataError(
                        "there is no `event_id`", place=f"event {number}",
                        remedy="Give every event an id that it keeps when it is sent again.",
                    )  # fmt: skip
            lines = b"\n".join(_encoded(event, f"event {number}") for number, event in enumerate(part, start=done + 1))
            totals = totals.with_(made(Sent, self._patiently(lines, patience)))
            done += len(part)
        return totals

    def put_items(self, items: Iterable[Mapping[str, Any]]) -> dict[str, str]:
        """Add items, or replace all that is known of them; return what was done with each id.

        Args:
            items: Each with an `item_id` and columns of the catalogue. They go a thousand at a time, of which all are
                taken or none.
        """
        return self._items("PUT", items)

    def change_items(self, items: Iterable[Mapping[str, Any]]) -> dict[str, str]:
        """Change the given columns of items; None takes a value away."""
        return self._items("PATCH", items)

    def item(self, item_id: str) -> KnownItem:
        """Return an item as it is known."""
        return made(KnownItem, self._ask("GET", f"/v1/items/{_quoted(item_id)}"))

    def withdraw(self, item_id: str) -> None:
        """Take an item out of what may be recommended; `put_items` brings it back."""
        self._ask("DELETE", f"/v1/items/{_quoted(item_id)}")

    def export(self, user_id: str) -> dict[str, Any]:
        """Return all that is kept of somebody."""
        found: dict[str, Any] = self._ask("GET", f"/v1/users/{_quoted(user_id)}")
        return found

    def erase(self, user_id: str) -> Erased:
        """Erase all that is kept of somebody; stop sending their events first. It takes as long as a large database."""
        return made(Erased, self._ask("DELETE", f"/v1/users/{_quoted(user_id)}", timeout=_LONG))

    def models(self) -> tuple[Version, ...]:
        """Return the versions of the model, in the order in which they were added."""
        return _versions(self._ask("GET", "/v1/models"))

    def move(self, version: str, state: str, *, share: float | None = None, reason: str = "") -> tuple[Version, ...]:
        """Let a version go `live`, try it as a `canary` on a share of the users, or make it `rejected`."""
        asked = {"state": state, "share": share, "reason": reason}
        return _versions(self._post(f"/v1/models/{_quoted(version)}", asked, timeout=_LONG))

    def experiments(self) -> tuple[Experiment, ...]:
        """Return all experiments."""
        return tuple(made(Experiment, one) for one in self._ask("GET", "/v1/experiments"))

    def begin(self, name: str, arms: Mapping[str, float]) -> Experiment:
        """Begin an experiment; `arms` are shares of the users, by versions or other names. One runs at a time."""
        return made(Experiment, self._post("/v1/experiments", {"name": name, "arms": dict(arms)}))

    def stop(self, name: str) -> Experiment:
        """End an experiment."""
        return made(Experiment, self._ask("POST", f"/v1/experiments/{_quoted(name)}/stop"))

    def health(self) -> Health:
        """Return whether the service takes requests; needs no key, and is no error while the service ends."""
        with self._explained():
            response = self._http.get("/health/ready")
        return made(Health, response.json() if response.status_code == 503 else read(response))

    def _items(self, method: str, items: Iterable[Mapping[str, Any]]) -> dict[str, str]:
        rest, changes = iter(items), dict[str, str]()
        while part := [dict(item) for item in islice(rest, ITEMS_AT_ONCE)]:
            changes |= self._ask(method, "/v1/items", {"items": part}, timeout=_LONG)["changes"]
        return changes

    def _post(self, path: str, asked: Mapping[str, Any], **options: Any) -> dict[str, Any]:
        found: dict[str, Any] = self._ask("POST", path, asked, **options)
        return found

    def _ask(self, method: str, path: str, asked: Mapping[str, Any] | None = None, **options: Any) -> Any:
        """Return the answer to what is asked in a body, or without one."""
        if asked is None:
            options["params"] = self._named()
        else:
            options |= {"content": _encoded(self._filled(asked), path), "headers": _JSON}
        with self._explained():
            return read(self._http.request(method, path, **options))

    def _patiently(self, lines: bytes, patience: float) -> Any:
        """Send the same events again until they are taken, refused for good, or patience ends."""
        until, wait = time.monotonic() + patience, _FIRST_WAIT
        while True:
            answer, named = self._taken(lines)
            if not isinstance(answer, GenreError):
                return answer
            # Those who were refused together do not come back together.
            pause = max(named, random.uniform(wait / 2, wait))  # noqa: S311
            if time.monotonic() + pause > until:
                raise answer
            time.sleep(pause)
            wait = min(2 * wait, _LONGEST_WAIT)

    def _taken(self, lines: bytes) -> tuple[Any, float]:
        """Return the answer; or why there is none yet, and how many seconds the service wants to be left alone."""
        try:
            with self._explained():
                response = self._http.post("/v1/events", content=lines, params=self._named(), headers=_LINES)
        except ResourceError as away:
            return away, 0.0
        return (error_of(response), seconds_of(response)) if response.status_code in _AGAIN else (read(response), 0.0)

    def _filled(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is asked of which scenario, without what is left to the service."""
        return {name: value for name, value in {"scenario": self.scenario, **asked}.items() if value is not None}

    def _named(self) -> dict[str, str]:
        return {} if self.scenario is None else {"scenario": self.scenario}

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say what it means that there is no answer."""
        import httpx2

        try:
            yield
        except httpx2.TimeoutException as error:
            raise ResourceError(
                "there was no answer in time", place=self.url, remedy="Ask for less, or give `timeout` more seconds."
            ) from error
        except httpx2.HTTPError as error:
            raise ResourceError(
                f"the service cannot be reached ({error})", place=self.url, remedy="Make sure that it runs there."
            ) from error


def _encoded(asked: Mapping[str, Any], place: str) -> bytes:
    """Return JSON; a number that is none, or half a character, would be refused anyway."""
    try:
        return json.dumps(asked, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise DataError(f"this cannot be sent: {error}", place=place, remedy="Send plain JSON.") from None


def _versions(told: Mapping[str, Any]) -> tuple[Version, ...]:
    return tuple(made(Version, one) for one in told["versions"])


def _listed(names: Sequence[str] | None) -> list[str] | None:
    return None if names is None else list(names)


def _quoted(name: str) -> str:
    # A point alone would be taken for a step in the path.
    return quote(name, safe="").replace(".", "%2E")
