"""Before the studio: who may come in, where its streams end, and what a browser may load for it."""

from __future__ import annotations

import asyncio
import json
from http.cookies import CookieError, SimpleCookie
from importlib.resources import files
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from jinja2 import Template

from genre.features.text import Language
from genre.serving.guard import STUDIO, App, Receive, Scope, Send
from genre.serving.keys import SCOPES, Caller
from genre.serving.service import Service
from genre.serving.studio.words import language_of, say

COOKIE: Final = "genre_studio"
"""Holds the key, as the header `Authorization` does elsewhere: a revoked one stops working here as soon as there."""
KEY: Final = f"{STUDIO}/key"
LEAVE: Final = f"{STUDIO}/leave"
_NEEDED: Final = frozenset(SCOPES) - {"admin"}
_LONGEST: Final = 4_096
"""Bytes of a form with a key."""
_GLANCE: Final = 0.25
"""Seconds between two looks at whether the service is about to end."""
_POLICY: Final = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; media-src 'self' blob:; worker-src 'self' blob:; "
    "connect-src 'self'; frame-ancestors 'self'; form-action 'self'; base-uri 'self'; object-src 'none'"
)
"""The browser itself refuses whatever would leave the machine."""


class Door:
    """Lets in whom the guard knows, and those who have a key; and ends what streams when the service ends.

    Gradio's own login is not used: it would be asked for while the service is open, or not be there when the first key
    is made while the service runs, and it tells two people with the same name apart no more.
    """

    def __init__(self, app: App, service: Service) -> None:
        """Stand before an app."""
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if not _same_origin(headers):
            await _answer(send, 403, "text/plain", "another page may not ask this", [])
            return
        language = language_of(headers.get("accept-language", ""))
        if scope["path"] == LEAVE:
            await _answer(send, 303, "text/plain", "", [(b"location", KEY.encode()), _cookie("", scope)])
            return
        if scope["path"] == KEY:
            await self._ask(scope, receive, send, language)
            return
        caller = scope["state"].get("caller") or self._known(_key_in(headers.get("cookie", "")))
        if caller is None:
            if scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
                await _answer(send, 303, "text/plain", "", [(b"location", KEY.encode())])
            else:
                await _answer(send, 401, "application/json", json.dumps({"detail": say("key_which", "en")}), [])
            return
        scope["state"]["caller"] = caller
        await self._let_in(scope, receive, send)

    def _known(self, secret: str) -> Caller | None:
        """Return whose key this is, if it opens the studio."""
        caller = self._service.keys.who(secret) if secret else None
        opens = caller is not None and ("admin" in caller.scopes or caller.scopes >= _NEEDED)
        return caller if opens else None

    async def _ask(self, scope: Scope, receive: Receive, send: Send, language: Language) -> None:
        """Ask for a key, and take it."""
        wrong = False
        if scope["method"] == "POST":
            secret = parse_qs(await _read(receive)).get("key", [""])[0].strip()
            if self._known(secret) is not None:
                await _answer(
                    send, 303, "text/plain", "", [(b"location", f"{STUDIO}/".encode()), _cookie(secret, scope)]
                )
                return
            wrong = True
        page = Template(files(__package__).joinpath("key.html.j2").read_text("utf-8"), autoescape=True).render(
            language=language, action=KEY, wrong=wrong, say=lambda key: say(key, language)
        )
        await _answer(send, 403 if wrong else 200, "text/html; charset=utf-8", page, [])

    async def _let_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on until it is answered, or the service is about to end: an open page does not hold it up."""
        started = ended = False

        async def pass_on(message: Any) -> None:
            nonlocal started, ended
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message["headers"], (b"content-security-policy", _POLICY.encode())]
            ended = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        # A copy: what Gradio calls its routes is no matter of the service's metrics.
        work = asyncio.ensure_future(self._app(dict(scope), receive, pass_on))
        try:
            while not (await asyncio.wait({work}, timeout=_GLANCE))[0]:
                if self._service.draining and started:
                    work.cancel()
                    await asyncio.wait({work}, timeout=1)
                    break
        finally:
            work.cancel()
        if work.done() and not work.cancelled():
            work.result()
        if started and not ended:
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def _same_origin(headers: dict[str, str]) -> bool:
    """Return whether a request comes from the studio's own page, or from no page."""
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host")


def _key_in(cookies: str) -> str:
    try:
        found = SimpleCookie(cookies).get(COOKIE)
    except CookieError:
        return ""
    return "" if found is None else found.value


def _cookie(secret: str, scope: Scope) -> tuple[bytes, bytes]:
    safe = "; Secure" if scope.get("scheme") == "https" else ""
    gone = "" if secret else "; Max-Age=0"
    return b"set-cookie", f"{COOKIE}={secret}; Path={STUDIO}; HttpOnly; SameSite=Strict{safe}{gone}".encode()


async def _read(receive: Receive) -> str:
    body = b""
    while len(body) < _LONGEST:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    return body[:_LONGEST].decode("utf-8", "replace")


async def _answer(send: Send, status: int, kind: str, text: str, headers: list[tuple[bytes, bytes]]) -> None:
    content = text.encode()
    given = [
        (b"content-type", kind.encode()),
        (b"content-length", str(len(content)).encode()),
        (b"content-security-policy", _POLICY.encode()),
        # Under the guard's policy, a browser would not say that the form with the key comes from here.
        (b"referrer-policy", b"same-origin"),
        *headers,
    ]
    await send({"type": "http.response.start", "status": status, "headers": given})
    await send({"type": "http.response.body", "body": content})
