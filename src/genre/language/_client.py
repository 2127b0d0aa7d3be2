"""What both endpoints share: how to reach a server, how long to insist, and many questions at once.

What passes by itself is tried again: time-outs, lost connections, cut or unreadable answers, 408, 409, 429 and 5xx.
What only a person can change ends at once with a `ConfigError`: a refused key, an unknown model, a quota that is spent.
"""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import ipaddress
import os
import queue
import random
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from genre.core.config import Config
from genre.core.errors import ConfigError, GenreError, ResourceError
from genre.core.run import Progress

if TYPE_CHECKING:
    from openai import AsyncOpenAI

T = TypeVar("T")
R = TypeVar("R")

LONGEST_PAUSE = 30.0
"""Seconds before a try at most, where the server does not say how long."""
LONGEST_RETRY_AFTER = 300.0
"""A server that asks for more seconds than this is given up: it means hours, not a busy moment."""


class BadAnswerError(Exception):
    """An answer that has come but is cut, unreadable or without what it should hold."""


class EndpointSettings(Config):
    """Where a server is, and how to deal with it."""

    base_url: str
    """Up to and without `/chat/completions` or `/embeddings`, such as `http://localhost:11434/v1`."""
    model: str = Field(min_length=1)
    """The name of the model on the server."""
    api_key_env: str | None = None
    """The environment variable that holds the key; the key itself is never part of a configuration. None sends none:
    a key that happens to be set is not shown to a server it is not meant for."""
    timeout: float = Field(default=120.0, gt=0)
    """Seconds that one try may take, from the question to the end of the answer."""
    retries: int = Field(default=5, ge=0)
    """Tries after the first. With the pauses between them, five last through about half a minute of trouble."""
    backoff: float = Field(default=1.0, gt=0)
    """Seconds before the second try; they double with each further one. A random part of up to a half is taken off, so
    that many clients do not come back at the same moment. A server's `Retry-After` goes first."""
    concurrency: int = Field(default=8, ge=1)
    """Questions under way at the same time."""

    @field_validator("base_url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"{value!r} is not an address such as 'https://api.example.com/v1'")
        if parts.username or parts.password:
            raise ValueError("the address holds a user or a password; name an environment variable in api_key_env")
        return value.rstrip("/")

    @property
    def local(self) -> bool:
        """Whether texts stay on this machine, as far as the address says: a server here may still pass them on."""
        host = urlsplit(self.base_url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")

    def api_key(self) -> str:
        """Return the key from the environment.

        Raises:
            ConfigError: The variable is not set.
        """
        if self.api_key_env is None:
            # The client wants a word, and would otherwise look for one in the environment.
            return "none"
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise ConfigError(
                f"the environment variable {self.api_key_env!r} is not set or empty",
                place="api_key_env",
                remedy=f"Put the key for {self.base_url} into it, or leave api_key_env out for a server without keys.",
            )
        return key

    def client_options(self) -> dict[str, Any]:
        """Return what the client is made with; trying again is done here, and covers unreadable answers too."""
        options = {"api_key": self.api_key(), "base_url": self.base_url, "timeout": self.timeout}
        return {**options, "max_retries": 0}


class Insisting:
    """Decides after each failure whether to try again, and when."""

    passing: ClassVar[frozenset[int]] = frozenset({408, 409, 429})

    def __init__(self, settings: EndpointSettings) -> None:
        """Start counting."""
        self.settings = settings
        self.tries = 0

    def pause_after(self, error: Exception) -> float | None:
        """Return the seconds to wait before the next try, or None where it makes no sense.

        Raises:
            ConfigError: Nothing will succeed before somebody changes a setting.
        """
        self.tries += 1
        raise_if_hopeless(error, self.settings)
        if self.tries > self.settings.retries or not self._passes(error):
            return None
        asked = _retry_after(error)
        if asked is not None:
            return asked if asked <= LONGEST_RETRY_AFTER else None
        pause = min(self.settings.backoff * 2.0 ** (self.tries - 1), LONGEST_PAUSE)
        return pause * random.uniform(0.5, 1)  # noqa: S311

    def _passes(self, error: Exception) -> bool:
        import openai

        if isinstance(error, openai.APIStatusError):
            return error.status_code in self.passing or error.status_code >= 500
        # An answer that is no JSON is a ValueError; an error told inside a stream is a plain APIError.
        return isinstance(error, openai.APIError | BadAnswerError | TimeoutError | ValueError)


async def insist(ask: Callable[[], Awaitable[R]], settings: EndpointSettings) -> R:
    """Ask until there is an answer; after the last try, its error is raised."""
    insisting = Insisting(settings)
    while True:
        try:
            async with asyncio.timeout(settings.timeout):
                return await ask()
        except GenreError:
            raise
        except Exception as error:
            pause = insisting.pause_after(error)
            if pause is None:
                raise
        await asyncio.sleep(pause)


def raise_if_hopeless(error: Exception, settings: EndpointSettings) -> None:
    """Raise a `ConfigError` that says what to change, where a person has to."""
    status, code = getattr(error, "status_code", None), getattr(error, "code", None)
    if status in {401, 403}:
        shown = f"the key in {settings.api_key_env!r}" if settings.api_key_env else "a request without a key"
        raise ConfigError(
            f"the server refuses {shown} ({status})",
            place=settings.base_url,
            remedy="Set api_key_env to the environment variable that holds a key of this server with access to "
            f"{settings.model!r}.",
        ) from error
    if status == 404:
        raise ConfigError(
            f"the server knows no model {settings.model!r} at this address (404)",
            place=settings.base_url,
            remedy="Check `model` against the server's list, and that base_url ends where `/chat/completions` or "
            "`/embeddings` begins, most often in `/v1`.",
        ) from error
    if code == "insufficient_quota":
        raise ConfigError(
            "the quota of this key is spent",
            place=settings.base_url,
            remedy="Raise it with the provider, or set api_key_env to another key.",
        ) from error


def gave_up(error: Exception, settings: EndpointSettings) -> GenreError:
    """Return what to raise where the last try has failed too."""
    if is_unreachable(error):
        return ConfigError(
            f"no server answers ({_said(error)})",
            place=settings.base_url,
            remedy="Start the server, or correct base_url.",
        )
    return ResourceError(
        f"no answer that can be used: {describe(error)}",
        place=settings.base_url,
        remedy="Try again later, or raise `timeout` or `retries`.",
    )


def is_unreachable(error: Exception) -> bool:
    """Return whether no connection could be made at all."""
    import openai

    is_slow = isinstance(error, openai.APITimeoutError)
    return isinstance(error, openai.APIConnectionError) and not is_slow and "Connect" in type(error.__cause__).__name__


def describe(error: Exception) -> str:
    """Return a failure in a line that holds no key and is not longer than a person reads."""
    import openai

    if isinstance(error, TimeoutError | openai.APITimeoutError):
        return "it took too long"
    status = getattr(error, "status_code", None)
    return f"{f'status {status}, ' if status else ''}{_said(error)}"


def _said(error: Exception) -> str:
    cause = error.__cause__ if error.__cause__ is not None and str(error.__cause__) else error
    return " ".join(f"{type(cause).__name__}: {cause}".split())[:300]


def _retry_after(error: Exception) -> float | None:
    """Return the seconds that the server asks for, given as a number or as a date."""
    response = getattr(error, "response", None)
    value = None if response is None else response.headers.get("retry-after")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        date = email.utils.parsedate_tz(value)
        return None if date is None else max(0.0, email.utils.mktime_tz(date) - time.time())


def ask_all(
    ask: Callable[[AsyncOpenAI, T], Awaitable[R]],
    things: Sequence[T],
    settings: EndpointSettings,
    *,
    progress: Progress,
    description: str,
) -> list[R]:
    """Return the answers in the order of the questions, some of which are asked at the same time.

    The event loop has a thread of its own: the caller may be inside another loop, as in a notebook, and an
    interruption reaches the caller at once, which then cancels what is under way. The first error does so too.
    """
    answers: dict[int, R] = {}
    done: queue.SimpleQueue[tuple[int, R] | BaseException] = queue.SimpleQueue()
    loop = asyncio.new_event_loop()
    work = loop.create_task(_work(ask, things, settings, done.put))
    thread = threading.Thread(target=_run, args=(loop, work, done.put), daemon=True)
    thread.start()
    try:
        for _ in progress.track(range(len(things)), description, len(things)):
            answer = _next(done)
            if isinstance(answer, BaseException):
                raise answer
            answers[answer[0]] = answer[1]
    except BaseException:
        # Not after the last answer: the client is then closing its connections, and would leave them open.
        loop.call_soon_threadsafe(work.cancel)
        raise
    finally:
        thread.join()
        loop.close()
    return [answers[at] for at in range(len(things))]


def _next(done: queue.SimpleQueue[T]) -> T:
    """Wait for an answer, and wake up now and then: on some systems a wait without end is deaf to interruptions."""
    while True:
        with contextlib.suppress(queue.Empty):
            return done.get(timeout=0.2)


async def _work(
    ask: Callable[[AsyncOpenAI, T], Awaitable[R]],
    things: Sequence[T],
    settings: EndpointSettings,
    tell: Callable[[tuple[int, R]], None],
) -> None:
    from openai import AsyncOpenAI

    waiting = iter(enumerate(things))

    async def take_turns(client: AsyncOpenAI) -> None:
        for at, thing in waiting:
            tell((at, await ask(client, thing)))

    async with AsyncOpenAI(**settings.client_options()) as client, asyncio.TaskGroup() as group:
        for _ in range(min(settings.concurrency, len(things))):
            group.create_task(take_turns(client))


def _run(loop: asyncio.AbstractEventLoop, work: asyncio.Task[None], tell: Callable[[BaseException], None]) -> None:
    try:
        loop.run_until_complete(work)
    except asyncio.CancelledError:
        pass
    except BaseExceptionGroup as errors:
        tell(errors.exceptions[0])
    except BaseException as error:
        tell(error)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        # A closed connection gives its socket back one turn of the loop later.
        loop.run_until_complete(asyncio.sleep(0))
