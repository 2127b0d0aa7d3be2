"""From a command to a service that listens, says so, and ends: what it refuses, what it prints, what it logs."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Iterator
from importlib.util import find_spec
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import httpx2
import pytest

from genre.core.errors import ConfigError
from genre.serving import running as listening
from genre.serving.keys import create_key
from genre.serving.logs import JsonLines, write_json_lines
from genre.serving.running import check_safe, serve
from genre.serving.settings import ServeConfig
from genre.serving.stores.database import Database
from genre.serving.stores.events import Events
from genre.serving.stores.keys import StoredKeys
from tests.serving.running import running


def config(host: str, url: str) -> ServeConfig:
    return ServeConfig(host=host, database=url)


@pytest.mark.parametrize("host", [str(IPv4Address(0)), "::", "192.168.1.7", "shop.example", "127.0.0.1.example"])
def test_beyond_this_machine_it_does_not_listen_without_a_key(
    host: str, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "Service", None)  # Nothing is opened before.
    refused = rf"--host: others than this machine could reach '{host}', and there is no key\. Make one first"
    with pytest.raises(ConfigError, match=refused):
        serve(config(host, sqlite_url), {})
    with Database.open(sqlite_url) as database:
        keys = StoredKeys(database)
        create_key(keys, "shop", ["read"])
        check_safe(config(host, sqlite_url))
        keys.revoke("shop", at=time.time(), actor="test")
    with pytest.raises(ConfigError, match=refused):
        check_safe(config(host, sqlite_url))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.3.4.5"])
def test_on_this_machine_it_needs_no_key(host: str, tmp_path: Path) -> None:
    check_safe(config(host, f"sqlite:///{tmp_path / 'none.db'}"))
    assert not (tmp_path / "none.db").exists()
    assert ServeConfig().is_local


def test_a_line_of_the_log_is_json_and_an_error_is_where_it_happened_and_not_what_it_said() -> None:
    record = logging.makeLogRecord(
        {"name": "genre.access", "levelno": 20, "levelname": "INFO", "msg": "%s lists", "args": (3,), "created": 1e9}
    )
    record.route, record.odd = "/v1/users/{user_id:path}", Path("x")
    assert json.loads(JsonLines().format(record)) == {
        "time": "2001-09-09T01:46:40.000+00:00", "level": "info", "logger": "genre.access", "message": "3 lists",
        "route": "/v1/users/{user_id:path}", "odd": "x",
    }  # fmt: skip

    def fails() -> None:
        raise ValueError("ann-7 has sent\nthis")

    try:
        fails()
    except ValueError as error:
        record.exc_info = (ValueError, error, error.__traceback__)
    text = JsonLines().format(record)
    line = json.loads(text)
    assert "ann-7" not in text
    assert "\n" not in text
    assert line["error"] == "ValueError"
    assert [frame.partition(":")[0] for frame in line["trace"]] == ["test_running.py"] * 2
    assert line["trace"][1].endswith(" fails")


@pytest.fixture
def loggers() -> Iterator[None]:
    """Leave the logging of others as it was."""
    root, names = logging.getLogger(), ("httpx2", "sqlalchemy")
    before = root.level, root.handlers[:], {name: logging.getLogger(name).level for name in names}
    yield
    root.setLevel(before[0])
    root.handlers[:] = before[1]
    for name, level in before[2].items():
        logging.getLogger(name).setLevel(level)


@pytest.mark.usefixtures("loggers")
def test_what_is_logged_comes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    write_json_lines()
    logging.getLogger("genre.access").info("request", extra={"status": 200})
    logging.getLogger("genre.access").debug("not this")
    logging.getLogger("httpx2").info("nor an address that a library asks")
    logging.getLogger("sqlalchemy").warning("but this")
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in err.splitlines()]
    assert out == ""
    assert [(line["level"], line["message"], line.get("status")) for line in lines] == [
        ("info", "request", 200), ("warning", "but this", None),
    ]  # fmt: skip


def rest_of(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


def listens(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.slow
def test_it_says_where_it_listens_and_answers_who_has_begun_before_it_ends(films: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'genre.db'}"
    with running(tmp_path / "own", f"films={films}", "--no-studio", "--database", url) as service:
        assert service.studio is None
        assert httpx2.get(f"{service.url}/health/ready").json()["status"] == "ok"
        lines = [b'{"event_id": "e%d", "user_id": "u", "item_id": "the-kid-1921"}\n' % n for n in range(9)]
        head = "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
        head += f"Content-Length: {sum(map(len, lines))}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", service.port), timeout=20) as begun:
            begun.sendall(head.encode() + b"".join(lines[:5]))
            time.sleep(0.3)
            service.process.terminate()
            until = time.monotonic() + 10
            while listens(service.port):
                assert time.monotonic() < until
                time.sleep(0.02)
            assert service.process.poll() is None
            begun.sendall(b"".join(lines[5:]))
            answer = rest_of(begun)
        assert answer.startswith(b"HTTP/1.1 200")
        assert b'"new":9' in answer
        assert service.process.wait(30) == 0
        out, err = service.said()
    assert out.splitlines() == [f"Genre answers at {service.url}"]
    asked = [line for line in map(json.loads, err.splitlines()) if line["logger"] == "genre.access"]
    assert [(line["route"], line["status"]) for line in asked] == [("/v1/events", 200)]
    with Database.open(url) as database:
        assert Events(database).last("films") == 9


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_demo_is_one_command(tmp_path: Path) -> None:
    with running(tmp_path / "own", "--demo", patience=300) as service:
        ready: dict[str, Any] = httpx2.get(f"{service.url}/health/ready").json()
        assert (ready["status"], ready["scenarios"]) == ("ok", {"films": "v1"})
        listed = httpx2.post(f"{service.url}/v1/recommend", json={"history": ["spirited-away-2001"], "n": 5}).json()
        assert (len(listed["items"]), listed["answered_by"]) == (5, "model")
        page = httpx2.get(f"{service.url}/studio", follow_redirects=True)
        if find_spec("gradio") is None:
            assert (service.studio, page.status_code) == (None, 404)
        else:
            assert (service.studio, page.status_code) == (f"{service.url}/studio", 200)
            assert "<html" in page.text
        assert (tmp_path / "own" / "runs" / "demo" / "manifest.json").exists()
        assert service.end() == 0
