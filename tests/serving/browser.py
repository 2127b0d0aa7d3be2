"""A service with its studio in a thread, and a browser that looks at it."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import uvicorn

from genre.serving.app import make_app
from genre.serving.running import Server, _end_with
from genre.serving.service import Service

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = next((found for name in ("chromium", "chromium-browser") if (found := shutil.which(name))), None)
MISSING = next(
    (
        why
        for is_missing, why in (
            (find_spec("gradio") is None, "Gradio is not installed (the extra `studio`)"),
            (find_spec("playwright") is None, "Playwright is not installed (the dependency group `test`)"),
            (CHROMIUM is None, "Chromium is not installed (Debian's package `chromium`)"),
        )
        if is_missing
    ),
    "",
)
"""Why nothing can be looked at here."""


@dataclass
class Serving:
    """A service that listens."""

    service: Service
    server: Server
    thread: threading.Thread
    port: int

    @property
    def address(self) -> str:
        """Where its studio is."""
        return f"http://localhost:{self.port}/studio/"

    def stop(self, seconds: float = 10.0) -> bool:
        """End it as a signal does, and return whether it has ended in time."""
        self.server.should_exit = True
        self.thread.join(seconds)
        return not self.thread.is_alive()


@contextmanager
def listening(service: Service) -> Iterator[Serving]:
    """Let a service listen at a free port, with its studio, and end both."""
    from genre.serving.studio import mount_studio

    app = mount_studio(make_app(service), service)
    _end_with(app, service)
    settings = uvicorn.Config(app, port=0, log_config=None, access_log=False, timeout_graceful_shutdown=15)
    server = Server(settings, service)
    thread = threading.Thread(target=server.run)
    thread.start()
    until = time.monotonic() + 30
    while not server.started and thread.is_alive() and time.monotonic() < until:
        time.sleep(0.02)
    serving = Serving(service, server, thread, server.servers[0].sockets[0].getsockname()[1])
    try:
        yield serving
    finally:
        serving.stop()


@dataclass
class Seen:
    """What a page has done beside what it shows."""

    hosts: set[str] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, **settings: Any) -> Iterator[tuple[Page, Seen]]:
    """Open an empty page in a fresh context; all that it asks for and complains about is noted."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, "locale": "en-GB", **settings})
    page, seen = context.new_page(), Seen()
    page.set_default_timeout(20_000)
    page.on("request", lambda request: seen.hosts.add(urlsplit(request.url).netloc))
    page.on("websocket", lambda socket: seen.hosts.add(urlsplit(socket.url).netloc))
    page.on("console", lambda told: seen.errors.append(told.text) if told.type == "error" else None)
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    yield page, seen
    context.close()
