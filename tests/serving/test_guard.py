"""Clients that misbehave, over real connections: too slow, too long, gone in the middle, asking in other tongues."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import psutil
import pytest

from genre.serving.app import make_app
from genre.serving.service import Service
from tests.serving.conftest import listening
from tests.serving.running import running
from tests.serving.test_app import event, user_of


class Caller:
    """Says to a service whatever bytes one likes."""

    def __init__(self, address: str) -> None:
        self._port = urlsplit(address).port

    def say(self, *parts: bytes, pause: float = 0.0, read: int = 1 << 16) -> bytes:
        """Send the parts, with a pause before each but the first, and return what comes back until there is no more."""
        with socket.create_connection(("127.0.0.1", self._port), timeout=20) as connection:
            for at, part in enumerate(parts):
                if at:
                    time.sleep(pause)
                connection.sendall(part)
            return connection.recv(read)


def request(path: str, body: bytes, *, length: int | None = None, kind: str = "application/json") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
    return f"{head}Content-Length: {len(body) if length is None else length}\r\n\r\n".encode() + body


@pytest.fixture
def limited(serving: Callable[..., Service], own_films: Path) -> Service:
    return serving(own_films, slowest_body=0.3, longest_body=20_000)


@pytest.fixture
def caller(limited: Service) -> Iterator[Caller]:
    with listening(make_app(limited)) as address:
        yield Caller(address)


def test_who_sends_too_slowly_is_not_waited_for(caller: Caller) -> None:
    body = json.dumps({"user_id": "u"}).encode()
    whole = request("/v1/recommend", body)
    assert caller.say(whole[:-5], whole[-5:], pause=0.05).startswith(b"HTTP/1.1 200")
    late = caller.say(whole[:-5], b"", pause=0.6)
    assert late.startswith(b"HTTP/1.1 408")
    assert b'"slow"' in late


def test_who_sends_a_byte_now_and_then_is_not_waited_for_either(caller: Caller) -> None:
    whole, begun, answer = request("/v1/recommend", json.dumps({"user_id": "u" * 200}).encode()), time.monotonic(), b""
    with socket.create_connection(("127.0.0.1", caller._port)) as connection:
        connection.sendall(whole[:-150])
        connection.settimeout(0.1)  # A third of what may pass until the next part.
        for at in range(len(whole) - 150, len(whole)):
            try:
                answer = connection.recv(1 << 16)
                break
            except TimeoutError:
                connection.sendall(whole[at : at + 1])
    assert answer.startswith(b"HTTP/1.1 408")
    assert time.monotonic() - begun < 5


def test_who_sends_slowly_but_steadily_is_heard_out(serving: Callable[..., Service]) -> None:
    whole = request("/v1/recommend", json.dumps({"user_id": "u" * 200}).encode())
    with listening(make_app(serving(slowest_body=0.3, slowest_rate=150))) as address:
        # 20 bytes allow for 0.13 s more, and come in less; together they take longer than a part may.
        parts = [whole[at : at + 20] for at in range(len(whole) - 200, len(whole), 20)]
        begun = time.monotonic()
        assert Caller(address).say(whole[:-200], *parts, pause=0.05).startswith(b"HTTP/1.1 200")
        assert time.monotonic() - begun > 0.4


@pytest.mark.slow
@pytest.mark.alone
def test_who_does_not_read_holds_up_nobody_and_not_the_end(films: Path, tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'genre.db'}"
    arguments = [f"films={films}", "--no-studio", "--database", database, "--set", "drain=2"]
    with running(tmp_path / "own", *arguments) as service, contextlib.ExitStack() as stack:
        process = psutil.Process(service.process.pid)
        asked = request("/v1/recommend", json.dumps({"user_id": "u", "n": 280}).encode())
        before = process.memory_info().rss
        for _ in range(3):
            deaf = stack.enter_context(socket.socket())
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect(("127.0.0.1", service.port))
            deaf.sendall(asked * 300)  # More answers than the buffers on the way hold.
        seconds = []
        with httpx2.Client(base_url=service.url, timeout=20) as client:
            for _ in range(20):
                begun = time.monotonic()
                answer = client.post("/v1/recommend", json={"user_id": "v", "deadline_ms": 10_000})
                assert (answer.status_code, answer.json()["answered_by"]) == (200, "model")
                seconds.append(time.monotonic() - begun)
            time.sleep(3)
            page = client.get("/metrics").text
        answered = re.search(r'genre_requests_total{route="/v1/recommend",status="200"} (\d+)', page)
        assert answered is not None
        assert int(answered[1]) < 700, "the others wait for their client, and nobody for them"
        assert max(seconds) < 2
        assert process.memory_info().rss - before < 64 << 20
        begun = time.monotonic()
        assert service.end() == 0
        assert time.monotonic() - begun < 15


def test_what_is_too_long_is_refused_whether_its_length_is_told_or_not(caller: Caller) -> None:
    told = caller.say(request("/v1/recommend", b"{", length=50_000))
    assert told.startswith(b"HTTP/1.1 413")
    head = b"POST /v1/recommend HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"2000\r\n" + b" " * 0x2000 + b"\r\n"
    assert caller.say(head + 3 * chunk).startswith(b"HTTP/1.1 413")
    line = b'{"event_id": "' + b"e" * (1 << 19)
    assert caller.say(request("/v1/events", line, kind="application/x-ndjson")).startswith(b"HTTP/1.1 413")


def test_nothing_is_left_of_who_goes_away_in_the_middle(caller: Caller, limited: Service) -> None:
    asked = {"user_id": user_of(limited), "n": 3, "kinds": ["synopsis"], "stream": True}
    for _ in range(5):
        first = caller.say(request("/v1/write", json.dumps(asked).encode()), read=64)
        assert first.startswith(b"HTTP/1.1 200")
    lines = b"".join(json.dumps(event(n, "u", "the-kid-1921")).encode() + b"\n" for n in range(10))
    with socket.create_connection(("127.0.0.1", caller._port)) as gone:
        gone.sendall(request("/v1/events", lines, length=100_000, kind="application/x-ndjson"))
        time.sleep(0.05)
    until = time.monotonic() + 10
    while limited.slow.waiting and time.monotonic() < until:
        time.sleep(0.02)
    assert limited.slow.waiting == 0
    assert not limited.slow.stuck
    whole = caller.say(request("/v1/events", lines, kind="application/x-ndjson"), read=4_096)
    assert b'"new":10' in whole


def test_it_speaks_nothing_but_http(caller: Caller) -> None:
    upgrade = (
        b"GET /v1/chat HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    assert caller.say(upgrade).startswith((b"HTTP/1.1 405", b"HTTP/1.1 404", b"HTTP/1.1 403", b"HTTP/1.1 400"))
    assert caller.say(b"\x16\x03\x01\x02\x00\r\n\r\n").startswith(b"HTTP/1.1 400")


def test_the_log_holds_nothing_of_anybody(caller: Caller, limited: Service, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="genre")
    user = user_of(limited)
    caller.say(request("/v1/recommend", json.dumps({"user_id": user, "history": ["the-kid-1921"]}).encode()))
    caller.say(request("/v1/recommend", json.dumps({"user_id": user, "history": ["no-such-film"]}).encode()))
    path = f"GET /v1/items/the-kid-1921 HTTP/1.1\r\nHost: localhost\r\n\r\nDELETE /v1/users/{user}"
    caller.say(path.encode() + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
    until = time.monotonic() + 10
    while len([one for one in caplog.records if one.name == "genre.access"]) < 3 and time.monotonic() < until:
        time.sleep(0.02)
    said = " ".join(str(vars(record)) for record in caplog.records if record.name.startswith("genre"))
    assert "/v1/items/{item_id:path}" in said
    assert not any(word in said for word in (user, "the-kid-1921", "no-such-film"))
