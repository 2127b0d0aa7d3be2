"""Whatever is sent, by the service's own description or against it: what comes back is as described, and no 5xx."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

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
from genre.serving.stores.keys import StoredKeys


@pytest.fixture
def schema(serving: Callable[..., Service]) -> Iterator[Any]:
    """Return the description of a running service."""
    service = serving()
    key, _ = create_key(StoredKeys(service.database), "tests", ["admin"])
    service.keys.refresh()
    app = make_app(service)
    with TestClient(app, base_url="http://localhost"):
        found = schemathesis.openapi.from_asgi("/openapi.json", app)
        found.config.update(headers={"Authorization": f"Bearer {key}"})
        yield found


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("examples", [3, pytest.param(25, marks=pytest.mark.slow)])
def test_nothing_that_is_sent_breaks_it(schema: Any, mode: GenerationMode, examples: int) -> None:
    checked = 0
    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case: Case) -> None:
            # A request may be of the form and name an item that nobody has: that is refused, and rightly so.
            case.call_and_validate(base_url="http://localhost", excluded_checks=[positive_data_acceptance])

        try:
            check()
        except (NotImplementedError, Unsatisfiable):
            continue  # An operation without parameters cannot be asked wrongly.
        checked += 1
    assert checked > 12
