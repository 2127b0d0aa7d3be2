"""The service as an ASGI app: routes, and what errors look like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException as BareHTTPException

from genre._version import __version__
from genre.core.errors import ArtifactError, ConfigError, DataError, DependencyError, GenreError, ModelError
from genre.serving.batching import BusyError
from genre.serving.guard import Guard, Refused
from genre.serving.replies import WhyReply
from genre.serving.routes import answers, catalogue, feedback, operating, people, writing
from genre.serving.schemas import EventsRequest, Form, RecommendRequest
from genre.serving.service import Service
from genre.serving.stores.experiments import OccupiedError

_CODES: dict[int, str] = {400: "malformed", 404: "no_route", 405: "no_method"}
_STATUS: list[tuple[type[Exception], int, str]] = [
    (BusyError, 429, "busy"),
    (OccupiedError, 409, "occupied"),
    (DataError, 422, "wrong"),
    (ConfigError, 422, "wrong"),
    (ModelError, 422, "cannot"),
    (ArtifactError, 409, "damaged"),
    (DependencyError, 501, "not_installed"),
    (GenreError, 503, "away"),
]
"""What a deliberate error means to a client: the first that fits."""
_STREAM: Final[dict[str, Any]] = {
    "schema": {
        "type": "object",
        "description": "Events: `sentence` with JSON that has its `text`, at last `end`, or `error` with `problem`.",
        "properties": {"event": {"enum": ["sentence", "end", "error"]}, "data": {"type": "string"}},
        "required": ["event", "data"],
    }
}
_MOST_MISTAKES: Final = 1_000
"""In one request, for the first to be told."""


def make_app(service: Service) -> FastAPI:
    """Return the app of a service; whoever runs it closes the service afterwards."""
    app = FastAPI(
        title="Genre",
        version=__version__,
        summary="Recommends, writes, and learns from what comes back.",
        # Their pages load scripts from elsewhere, and no request leaves the machine.
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    app.state.service = service
    for part in (answers, writing, feedback, catalogue, people, operating):
        app.include_router(part.router)
    _explain(app)
    _describe(app)
    app.add_middleware(Guard, service=service)
    return app


def _explain(app: FastAPI) -> None:
    """Let errors say what is wrong, where, and what to do about it; and never what the program was doing."""

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> JSONResponse:
        request.app.state.service.metrics.refused.labels(error.code).inc()
        return JSONResponse(error.body(), error.status_code, headers=dict(error.headers or {}))

    @app.exception_handler(BareHTTPException)
    async def other(_: Request, error: HTTPException) -> JSONResponse:
        code = _CODES.get(error.status_code, "refused")
        body = _problem(code, str(error.detail), None, None)
        return JSONResponse(body, error.status_code, headers=dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    @app.exception_handler(ValidationError)
    async def wrong(_: Request, error: RequestValidationError | ValidationError) -> JSONResponse:
        first = _first(error)
        malformed = first["type"] == "json_invalid"
        place = ".".join(str(part) for part in first["loc"] if part != "body") or "the body"
        remedy = "Send JSON." if malformed else "See /openapi.json for the form."
        body = _problem("malformed" if malformed else "wrong", first["msg"], place, remedy)
        return JSONResponse(body, 400 if malformed else 422)

    @app.exception_handler(TimeoutError)
    async def late(_: Request, _error: TimeoutError) -> JSONResponse:
        remedy = "Ask for less, or allow more time with `deadline_ms`, where the request has it; a change may be made."
        body = _problem("late", "it took too long", None, remedy)
        return JSONResponse(body, 503, headers={"retry-after": "1"})

    @app.exception_handler(GenreError)
    async def deliberate(request: Request, error: GenreError) -> JSONResponse:
        status, code = next((status, code) for kind, status, code in _STATUS if isinstance(error, kind))
        if isinstance(error, ArtifactError) and "://" in (error.place or ""):
            status, code = 503, "away"  # A damaged database: where it lies is not for clients.
        request.app.state.service.metrics.refused.labels(code).inc()
        headers = {}
        if status in {429, 503}:
            headers["retry-after"] = str(round(error.seconds)) if isinstance(error, BusyError) else "2"
        # What is wrong with the stores is for the operator: it may name hosts and paths.
        if status == 503:
            problem = "what was asked for is away for the moment"
            return JSONResponse(_problem(code, problem, None, "Ask again in a moment."), status, headers=headers)
        return JSONResponse(_problem(code, error.problem, error.place, error.remedy), status, headers=headers)


def _problem(code: str, problem: str, place: str | None, remedy: str | None) -> dict[str, Any]:
    return {"error": {"code": code, "problem": problem, "place": place, "remedy": remedy}}


def _first(error: RequestValidationError | ValidationError) -> Mapping[str, Any]:
    """Return the first of what is wrong, unless that is so much that to list it would hold everybody up."""
    if isinstance(error, ValidationError):
        if error.error_count() > _MOST_MISTAKES:
            return {"type": "many", "msg": f"{error.error_count():,} things are wrong", "loc": ()}
        return error.errors(include_url=False, include_context=False, include_input=False)[0]
    found: Mapping[str, Any] = error.errors()[0]
    return found


def _describe(app: FastAPI) -> None:
    """Add to the description of the service what routes read and write by themselves, and how a key is sent."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = plain()
            parts = schema.setdefault("components", {}).setdefault("schemas", {})
            forms: list[tuple[type[Form], Literal["validation", "serialization"]]] = [
                (EventsRequest, "validation"),
                (RecommendRequest, "validation"),
                (WhyReply, "serialization"),
            ]
            for form, mode in forms:
                described = form.model_json_schema(ref_template="#/components/schemas/{model}", mode=mode)
                parts |= described.pop("$defs", {})
                parts[form.__name__] = described
            said = schema["paths"]["/v1/why"]["post"]["responses"]["200"]["content"]["application/json"]
            said["schema"] = {"$ref": f"#/components/schemas/{WhyReply.__name__}"}
            schema["paths"]["/v1/write"]["post"]["responses"]["200"]["content"]["text/event-stream"] = _STREAM
            schema["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            schema["security"] = [{"key": []}]
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
