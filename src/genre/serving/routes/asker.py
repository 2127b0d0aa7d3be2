"""Who asks a route, and of which scenario."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from fastapi import Request
from pydantic import BaseModel

from genre.serving.guard import Refused
from genre.serving.keys import Caller, Scope
from genre.serving.scenario import Scenario
from genre.serving.schemas import ProblemReply
from genre.serving.service import Service

PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    400: {"model": ProblemReply, "description": "The request is no JSON"},
    401: {"model": ProblemReply, "description": "No valid key"},
    403: {"model": ProblemReply, "description": "The key does not open this"},
    404: {"model": ProblemReply, "description": "There is no such thing"},
    408: {"model": ProblemReply, "description": "The rest of the request did not come"},
    409: {"model": ProblemReply, "description": "It does not fit what is there"},
    413: {"model": ProblemReply, "description": "The request is too long"},
    422: {"model": ProblemReply, "description": "Something in the request is wrong"},
    429: {"model": ProblemReply, "description": "Too much at once; see Retry-After"},
    503: {"model": ProblemReply, "description": "The database or a writer is away; see Retry-After"},
}
"""What every route may answer instead."""


@dataclass(frozen=True, slots=True)
class Asker:
    """A caller at a route that needs a scope."""

    service: Service
    caller: Caller
    scope: Scope

    def scenario(self, name: str | None) -> Scenario:
        """Return the scenario that is meant.

        Raises:
            Refused: The key does not open it, or there is none with this name.
        """
        meant = name if name is not None else self.caller.scenario
        if meant is not None and not self.caller.may(self.scope, meant):
            raise self._may_not()
        try:
            found = self.service.scenario(meant)
        except LookupError:
            names = sorted(self.service.scenarios) if self.caller.scenario is None else []
            problem = "there are several scenarios" if meant is None else f"there is no scenario {meant!r}"
            raise Refused(
                404, "no_scenario", problem, f"Choose from {names}." if names else None, place="scenario"
            ) from None
        if not self.caller.may(self.scope, found.name):
            raise self._may_not()
        return found

    def everywhere(self) -> None:
        """Make sure that the key is for all scenarios.

        Raises:
            Refused: It is not.
        """
        if not self.caller.may(self.scope):
            raise self._may_not()

    def _may_not(self) -> Refused:
        return Refused(
            403, "not_allowed", f"the key does not open `{self.scope}` here", "Use a key with this scope.", place="key"
        )


def body_of(form: type[BaseModel], **others: dict[str, Any]) -> dict[str, Any]:
    """Return what the description says of a body that the route reads by itself."""
    schema = {"schema": {"$ref": f"#/components/schemas/{form.__name__}"}}
    return {"requestBody": {"required": True, "content": {"application/json": schema, **others}}}


def may(scope: Scope) -> Callable[[Request], Awaitable[Asker]]:
    """Return what makes sure that a caller has a scope, and hands them on."""

    async def asker(request: Request) -> Asker:
        caller: Caller = request.state.caller
        found = Asker(request.app.state.service, caller, scope)
        if scope not in caller.scopes and "admin" not in caller.scopes:
            raise found._may_not()
        return found

    return asker
