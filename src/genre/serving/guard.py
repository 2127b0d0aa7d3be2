"""What every request passes: who asks, how much, how long; and what every answer carries.

It is plain ASGI, so that it costs each request some microseconds and holds for all that the service serves.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final, TypeAlias
from uuid import uuid4

from fastapi import HTTPException

from genre.serving.keys import SCOPES, Caller
from genre.serving.service import Service

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

ICON: Final = "/favicon.ico"
OPEN: Final = frozenset({"/health/live", "/health/ready", "/openapi.json", ICON})
"""What needs no key."""
STUDIO: Final = "/studio"
LOCAL: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_ANYBODY: Final = Caller("nobody", "this machine", frozenset(SCOPES), None)
"""Whoever asks on this machine, where there are no keys."""
_FORWARDED: Final = frozenset({b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip", b"via"})
"""What a proxy says of those for whom it asks: they are not on this machine."""
_HEADERS: Final = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]
_LINES: Final = "application/x-ndjson"
log = logging.getLogger("genre.access")


class Refused(HTTPException):
    """An answer instead of the one that was wanted."""

    def __init__(
        self,
        status: int,
        code: str,
        problem: str,
        remedy: str | None = None,
        *,
        place: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Say why, where, and what to do about it."""
        super().__init__(status, problem, headers)
        self.code, self.problem, self.place, self.remedy = code, problem, place, remedy

    def body(self) -> dict[str, Any]:
        """Return it as clients read it."""
        error = {"code": self.code, "problem": self.problem, "place": self.place, "remedy": self.remedy}
        return {"error": error}


class Guard:
    """Lets through what may pass, and tells of it: never a name, an id of a user, or what was asked."""

    def __init__(self, app: App, service: Service) -> None:
        """Stand before an app."""
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "websocket":
            # Nothing here speaks through one, and none would pass the checks below.
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, request_id, status = time.monotonic(), uuid4().hex, 500
        body = _Body(receive, self._service, scope)
        started = False

        async def answer(message: MutableMapping[str, Any]) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                given = {name for name, _ in message["headers"]}
                extra = [header for header in _HEADERS if header[0] not in given]
                message["headers"] = [*message["headers"], *extra, (b"x-request-id", request_id.encode())]
            await send(message)

        scope.setdefault("state", {})["request_id"] = request_id
        try:
            caller = self._admitted(scope)
            scope["state"]["caller"] = caller
            await self._app(scope, body, answer)
        except Refused as refused:
            self._service.metrics.refused.labels(refused.code).inc()
            if not started:
                await _say(answer, refused.status_code, refused.body(), dict(refused.headers or {}))
        except Exception:
            log.exception("a request failed", extra={"request_id": request_id, "route": route_of(scope)})
            if not started:
                error = Refused(500, "internal", "the service failed", f"Tell its operator {request_id}.")
                await _say(answer, 500, error.body(), {})
        finally:
            self._note(scope, status, time.monotonic() - begun, request_id)

    def _admitted(self, scope: Scope) -> Caller | None:
        """Return who asks.

        Raises:
            Refused: They may not.
        """
        path = scope["path"]
        if path in OPEN:
            return None
        service = self._service
        if service.draining:
            raise Refused(503, "draining", "the service is about to end", "Ask again.", headers={"retry-after": "2"})
        headers = dict(scope["headers"])
        authorization = headers.get(b"authorization", b"").decode("latin-1")
        kind, _, secret = authorization.partition(" ")
        local = _is_local(headers.get(b"host", b"").decode("latin-1")) and not _FORWARDED & headers.keys()
        if not authorization and service.is_open and local:
            if _is_from_elsewhere(headers, scope["method"]):
                raise Refused(403, "elsewhere", "the request comes from another site's page", "Make a key for it.")
            return _ANYBODY
        if is_studio(path) and not service.is_open:
            return None  # It asks for the key itself, on a page of its own.
        caller = service.keys.who(secret.strip()) if kind.lower() == "bearer" else None
        if caller is None:
            raise Refused(
                401, "no_key", "there is no valid key", "Send `Authorization: Bearer KEY`; see `genre keys create`.",
                headers={"www-authenticate": "Bearer"},
            )  # fmt: skip
        refusal = service.keys.admit(caller)
        if refusal is not None:
            seconds = str(max(1, min(86_400, round(refusal.seconds + 0.5))))
            raise Refused(
                429, refusal.limit, f"the key's {refusal.limit} is used up", "Wait, or ask for more.",
                headers={"retry-after": seconds},
            )  # fmt: skip
        return caller

    def _note(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        route, metrics = route_of(scope), self._service.metrics
        metrics.requests.labels(route, str(status)).inc()
        metrics.seconds.labels(route).observe(seconds)
        if route not in {"/metrics", "/health/live", "/health/ready"}:
            caller = scope["state"].get("caller")
            log.info(
                "request",
                extra={
                    "request_id": request_id, "method": scope["method"], "route": route, "status": status,
                    "ms": round(1000 * seconds, 1), "key": None if caller is None else caller.key_id,
                },
            )  # fmt: skip


class _Body:
    """A request's body as it comes: not too long, not too slowly."""

    def __init__(self, receive: Receive, service: Service, scope: Scope) -> None:
        self._receive, self._seconds, self._rate = receive, service.config.slowest_body, service.config.slowest_rate
        self._read, self._waited = 0, 0.0
        headers = dict(scope["headers"])
        lines = headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip() == _LINES
        self._most = None if lines else service.config.longest_body
        self._length = headers.get(b"content-length", b"").decode("latin-1")
        self._whole = False

    async def __call__(self) -> MutableMapping[str, Any]:
        if self._whole:
            # Only the client's going away is waited for now, however long it stays.
            return await self._receive()
        if self._most is not None and self._length.isdigit() and int(self._length) > self._most:
            raise self._too_long()
        # Only waiting counts: how long the service itself takes with what has come is not the client's doing.
        left, begun = self._seconds + self._read / self._rate - self._waited, time.monotonic()
        try:
            message = await asyncio.wait_for(self._receive(), min(self._seconds, left))
        except TimeoutError:
            raise Refused(408, "slow", "the rest of the request did not come", "Send it again.") from None
        self._waited += time.monotonic() - begun
        self._read += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self._most is not None and self._read > self._most:
            raise self._too_long()
        return message

    def _too_long(self) -> Refused:
        return Refused(
            413, "too_long", f"the request has more than {self._most:,} bytes",
            f"Send less at once; events may come in any number as {_LINES}, an event a line.",
        )  # fmt: skip


def route_of(scope: Scope) -> str:
    """Return the route's template, which holds no id; "other" where there is none."""
    route = scope.get("route")
    path = getattr(route, "path", None)
    if path:
        return str(path)
    return STUDIO if is_studio(scope["path"]) else "other"


def is_studio(path: str) -> bool:
    """Return whether a path belongs to the page for people."""
    return path == STUDIO or path.startswith(f"{STUDIO}/")


def _is_local(host: str) -> bool:
    """Return whether a request was addressed to this machine by its own name, and not through somebody's web page."""
    name = host[1 : host.index("]")] if host.startswith("[") and "]" in host else host.rpartition(":")[0] or host
    return name in LOCAL


def _is_from_elsewhere(headers: Mapping[bytes, bytes], method: str) -> bool:
    """Return whether a browser sends a request for a page of another site, as a page on the internet could make it."""
    if headers.get(b"sec-fetch-site", b"none") in {b"cross-site", b"same-site"}:
        # Following a link to the studio is no harm; sending a form is.
        return headers.get(b"sec-fetch-mode") != b"navigate" or method not in {"GET", "HEAD"}
    origin = headers.get(b"origin")
    return origin is not None and origin.partition(b"://")[2] != headers.get(b"host")


async def _say(send: Send, status: int, body: dict[str, Any], headers: dict[str, str]) -> None:
    content = json.dumps(body).encode()
    given = [(name.encode(), value.encode()) for name, value in headers.items()]
    length = (b"content-length", str(len(content)).encode())
    start = [(b"content-type", b"application/json"), length, *given]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": content})
