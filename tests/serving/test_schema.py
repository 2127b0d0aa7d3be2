"""Whatever is sent, by the service's own description or against it: what comes back is as described, and no 5xx."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance
from starlette.testclient import TestClient

from genre.serving.app import make_app
from genre.serving.keys import create_key
from genre.serving.service import Service
from genre.serving.stores.experiments import Experiments
from genre.serving.stores.keys import StoredKeys
from genre.serving.stores.models import Models

POSITIVE, NEGATIVE = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
OPERATIONS: Final = 20
"""Of all, those without parameters and without a body cannot be asked wrongly."""
WITH_PARAMETERS: Final = 17
LINES: Final = "application/x-ndjson"


@pytest.fixture
def known(serving: Callable[..., Service], own_films: Path) -> Service:
    """Return a running service over a run that requests may change."""
    return serving(own_films)


@pytest.fixture
def schema(known: Service) -> Iterator[Any]:
    """Return the description of a running service."""
    key, _ = create_key(StoredKeys(known.database), "tests", ["admin"])
    known.keys.refresh()
    app = make_app(known)
    with TestClient(app, base_url="http://localhost"):
        found = schemathesis.openapi.from_asgi("/openapi.json", app)
        found.config.update(headers={"Authorization": f"Bearer {key}"})
        yield found


class Names:
    """Puts what there is into requests of the right form: a description cannot say which items a catalogue has."""

    def __init__(self, service: Service) -> None:
        data = service.scenario(None).live.engine.data
        self._ids, self._users = data.items.vocabulary.ids.to_list(), data.users.vocabulary.ids.to_list()
        self._service, self._numbers = service, count()
        self._own = {
            "POST /v1/write": self._write,
            "POST /v1/chat": self._chat,
            "PUT /v1/items": self._put,
            "PATCH /v1/items": self._patch,
            "POST /v1/events": self._events,
            "POST /v1/experiments": self._experiment,
        }

    def put_into(self, case: Case) -> None:
        """Let a request be about what is there."""
        if case.query and case.query.get("scenario") is not None:
            case.query = {**case.query, "scenario": "films"}
        if case.path_parameters:
            case.path_parameters = {
                name: self._named(name, value, case) for name, value in case.path_parameters.items()
            }
        if isinstance(case.body, dict):
            case.body = self._body(case.operation.label, case.body)
        elif case.media_type == LINES:
            case.body = f'{{"event_id": "line-{next(self._numbers)}", "user_id": "u", "item_id": "the-kid-1921"}}\n'

    def _named(self, name: str, given: str, case: Case) -> str:
        if name == "version":
            return self._version(case.body["state"])
        if name == "name":
            arms = {"live": 0.5, "other": 0.5}
            return self._free().begin("films", f"stopped-{next(self._numbers)}", arms).name
        if name == "item_id":
            return self._item(given)
        if case.method == "DELETE":
            # Those who are known take half a second; and who is called `..` would be no part of an address.
            return str(self._users.pop()) if len(self._users) > 75 else f"nobody-{len(given)}"
        return str(self._users[len(given) % 9])

    def _free(self) -> Experiments:
        """Return the experiments, of which none runs: one at a time may."""
        experiments = Experiments(self._service.database)
        for one in experiments.all("films"):
            if one.state == "running":
                experiments.move("films", one.name, "stopped")
        return experiments

    def _version(self, state: str) -> str:
        """Return a version that can come to a state."""
        models = Models(self._service.database)
        there = {one.state: one for one in models.all("films")}
        if state == "live" and "retired" in there:
            return there["retired"].version
        if "canary" in there:
            models.move("films", there["canary"].version, "rejected")
        return models.add("films", f"v-{next(self._numbers)}", there["live"].path).version

    def _body(self, label: str, given: dict[str, Any]) -> dict[str, Any]:
        body = dict(given)
        if body.get("scenario") is not None:
            body["scenario"] = "films"
        for name in ("history", "exclude", "item_ids"):
            if body.get(name) is not None:
                body[name] = [self._item(value) for value in body[name]]
        if body.get("item_id") is not None:
            body["item_id"] = self._item(body["item_id"])
        if body.get("deadline_ms") is not None:
            body["deadline_ms"] = 100_000  # A millisecond may be too short, and then that is said.
        own = self._own.get(label)
        return {**body, **own(body)} if own else body

    def _write(self, body: dict[str, Any]) -> dict[str, Any]:
        # What could pass for an order to a language model is refused, and the names of kinds are Genre's.
        kinds = ["synopsis", "answer", "ad", "title", "path"][: len(body.get("kinds", "1"))]
        items = body.get("item_ids")
        if items and body.get("stream"):
            items = items[:1]  # A kind about one item streams one.
        begin = "It is" if body.get("begin") else ""
        return {"kinds": kinds, "item_ids": items, "question": "Who made it?", "begin": begin}

    def _chat(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"state": None}

    def _put(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"items": [{"item_id": f"new-{at}", "title": "A film"} for at in range(len(body["items"]))]}

    def _patch(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"items": [{"item_id": self._ids[at], "title": "A film"} for at in range(len(body["items"]))]}

    def _events(self, body: dict[str, Any]) -> dict[str, Any]:
        contexts = [told.get("context") for told in body["events"]]
        plain = [context and {"page": len(context)} for context in contexts]
        return {"events": [{**told, "context": context} for told, context in zip(body["events"], plain, strict=True)]}

    def _experiment(self, body: dict[str, Any]) -> dict[str, Any]:
        self._free()
        return {"name": f"trial-{next(self._numbers)}", "arms": dict.fromkeys(body["arms"], 1 / len(body["arms"]))}

    def _item(self, given: str) -> str:
        return str(self._ids[sum(map(ord, given)) % 40])


def ask_all(schema: Any, mode: GenerationMode, examples: int, **how: Any) -> dict[str, Counter[int]]:
    """Send requests to each operation, and return how often each had which status."""
    statuses: dict[str, Counter[int]] = {}
    for found in schema.get_all_operations():
        operation = found.ok()
        try:
            statuses[operation.label] = ask(operation, mode, examples, **how)
        except (NotImplementedError, Unsatisfiable):
            continue  # An operation without parameters cannot be asked wrongly.
    return statuses


def ask(
    operation: Any, mode: GenerationMode, examples: int, *, before: Callable[[Case], object] = id, **checks: Any
) -> Counter[int]:
    """Send requests to one operation, each handed to `before` before it is sent."""
    statuses = Counter[int]()

    @settings(max_examples=examples, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Case) -> None:
        before(case)
        statuses[case.call_and_validate(base_url="http://localhost", **checks).status_code] += 1

    check()
    return statuses


often = pytest.mark.parametrize("examples", [1, pytest.param(25, marks=pytest.mark.slow)])


@often
def test_what_is_asked_as_described_is_answered_as_described(known: Service, schema: Any, examples: int) -> None:
    statuses = ask_all(schema, POSITIVE, examples, before=Names(known).put_into)
    assert len(statuses) == OPERATIONS
    for label, seen in statuses.items():
        assert set(seen) == {200}, label


@pytest.mark.slow
def test_names_that_nobody_has_are_refused_as_described(schema: Any) -> None:
    statuses = ask_all(schema, POSITIVE, 25, excluded_checks=[positive_data_acceptance])
    assert len(statuses) == OPERATIONS


@often
def test_what_is_not_as_described_breaks_nothing(schema: Any, examples: int) -> None:
    statuses = ask_all(schema, NEGATIVE, examples)
    assert len(statuses) == WITH_PARAMETERS


@pytest.mark.slow
def test_the_examples_of_the_description_can_be_tried(known: Service) -> None:
    tried = 0
    with TestClient(make_app(known), base_url="http://localhost") as client:
        described = client.get("/openapi.json").json()
        forms = described["components"]["schemas"]
        Models(known.database).add("films", "v2", known.scenario(None).versions()[0].path)
        for path, operations in described["paths"].items():
            for method, operation in operations.items():
                content = operation.get("requestBody", {}).get("content", {})
                form = content.get("application/json", {}).get("schema", {}).get("$ref", "").rpartition("/")[2]
                for example in forms.get(form, {}).get("examples", []):
                    answer = client.request(method, path.replace("{version}", "v2"), json=example)
                    assert answer.status_code == 200, (path, example, answer.text)
                    tried += 1
    assert tried == 13
