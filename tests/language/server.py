"""A real HTTP server on this machine that speaks the OpenAI protocol, and misbehaves as it is told.

::

    with Server(answer=lambda prompt: prompt.upper()) as server:
        server.faults += ["slow", "busy", "cut"]  # of the next three requests
        EndpointGeneratorConfig(base_url=server.url, model="toy")
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import numpy as np

from genre.language.fake import FakeEncoderConfig, filled

SLOW = 1.5
"""Seconds that a slow answer takes: more than the time-outs in the tests."""


BUSY = {
    "busy": (429, "busy", "0"),
    "later": (429, "later", "1"),
    "broken": (500, "broken"),
    "overloaded": (503, "overloaded"),
}
"""Status, message and `Retry-After`."""


def echo(prompt: str) -> str:
    return f"You said: {prompt}"


@dataclass
class Server:
    """What the server does, and what it has seen."""

    answer: Callable[[str], str] = echo
    """Gives the answer to the last message."""
    unwanted: Callable[[str], bool] = bool
    """Tells whether a text is flagged, where moderation is asked for."""
    faults: deque[str] = field(default_factory=deque)
    """What goes wrong with the next requests, one each:

    - `slow`: the answer comes too late; `busy`: 429 and `Retry-After: 0`; `later`: 429 and `Retry-After: 1`;
      `dated`: the same as a date; `spent`: 429 for good; `broken`: 500; `overloaded`: 503;
    - `cut`: the connection ends in the middle of the answer; `ended`: a stream stops without an end;
    - `garbage`: a body that is no JSON; `empty`: JSON without an answer; `fine`: nothing goes wrong.
    """
    key: str | None = None
    """The key that is asked for."""
    models: tuple[str, ...] = ("toy",)
    schemas: str = "kept"
    """How it takes `response_format`: `kept`, `refused` with 400, or `ignored`."""
    has_usage: bool = True
    limit_name: str = "max_tokens"
    """The name under which it takes the limit of tokens; the other one is refused."""
    context: int = 10_000
    """Characters of a prompt at most."""
    dimensions: int = 8
    requests: list[dict[str, Any]] = field(default_factory=list)
    """The bodies of all requests."""
    headers: list[dict[str, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    """When each request came."""
    most_at_once: int = 0
    delay: float = 0.0
    """Seconds that each answer takes."""
    goes_away: bool = False
    """Whether the next answer is the last, after which nobody listens any more."""

    def __enter__(self) -> Self:
        self.lock = threading.Lock()
        self.at_once = 0
        handler = type("Handler", (_Handler,), {"world": self})
        self.http = _Http(("127.0.0.1", 0), handler)
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *about: object) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}/v1"


class _Http(ThreadingHTTPServer):
    # Of those who come at once, the system turns away all but five, who knock again after a second.
    request_queue_size = 128
    daemon_threads = True
    block_on_close = False


class _Handler(BaseHTTPRequestHandler):
    world: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def do_POST(self) -> None:
        world = self.world
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with world.lock:
            world.requests.append(body)
            world.headers.append({name.lower(): value for name, value in self.headers.items()})
            world.times.append(time.monotonic())
            world.at_once += 1
            world.most_at_once = max(world.most_at_once, world.at_once)
            fault = world.faults.popleft() if world.faults else "fine"
        try:
            time.sleep(world.delay)
            self.respond(body, fault)
        except (BrokenPipeError, ConnectionResetError):
            pass
        finally:
            with world.lock:
                world.at_once -= 1

    def respond(self, body: dict[str, Any], fault: str) -> None:
        refusal = self.refusal_of(body)
        if refusal is not None:
            self.refuse(*refusal)
        elif fault in BUSY:
            self.refuse(*BUSY[fault])
        elif fault == "dated":
            soon = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 2))
            self.refuse(429, fault, retry_after=soon)
        elif fault == "spent":
            self.refuse(429, "You exceeded your current quota", code="insufficient_quota")
        elif fault in {"garbage", "empty"}:
            self.send(200, b"{not json" if fault == "garbage" else b"{}")
        else:
            self.answer(body, fault)

    def refusal_of(self, body: dict[str, Any]) -> tuple[int, str] | None:
        world = self.world
        other = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}[world.limit_name]
        if world.key is not None and self.headers.get("Authorization") != f"Bearer {world.key}":
            return 401, "Incorrect API key provided"
        if body["model"] not in world.models:
            return 404, f"The model {body['model']} does not exist"
        if other in body:
            return 400, f"Unsupported parameter: '{other}'. Use '{world.limit_name}' instead."
        if world.schemas == "refused" and "response_format" in body:
            return 400, "response_format is not supported"
        if sum(len(message["content"]) for message in body.get("messages", [])) > world.context:
            return 400, "the prompt is too long"
        return None

    def answer(self, body: dict[str, Any], fault: str) -> None:
        if fault == "slow":
            time.sleep(SLOW)
        if self.path.endswith("/embeddings"):
            self.send(200, json.dumps(self.vectors(body)).encode(), cut=fault == "cut")
            return
        if self.path.endswith("/moderations"):
            flagged = self.world.unwanted(body["input"])
            result = {"flagged": flagged, "categories": {"violence": flagged, "hate": False}, "category_scores": {}}
            self.send(200, json.dumps({"id": "1", "model": "toy", "results": [result]}).encode(), cut=fault == "cut")
            return
        text, finish = self.text(body)
        if body.get("stream"):
            self.send_stream(text, finish, fault)
        else:
            self.send(200, json.dumps(self.completion(body, text, finish)).encode(), cut=fault == "cut")

    def text(self, body: dict[str, Any]) -> tuple[str, str]:
        prompt = body["messages"][-1]["content"]
        text = self.world.answer(prompt)
        if "response_format" in body and self.world.schemas == "kept":
            schema = body["response_format"]["json_schema"]["schema"]
            text = json.dumps(filled(schema, np.random.default_rng(0)), ensure_ascii=False)
        words, most = text.split(" "), body[self.world.limit_name]
        return (" ".join(words[:most]), "length") if len(words) > most else (text, "stop")

    def completion(self, body: dict[str, Any], text: str, finish: str) -> dict[str, Any]:
        message = {"role": "assistant", "content": text}
        found: dict[str, Any] = {"id": "1", "object": "chat.completion", "created": 0, "model": body["model"]}
        found["choices"] = [{"index": 0, "message": message, "finish_reason": finish}]
        if self.world.has_usage:
            asked = sum(len(message["content"].split(" ")) for message in body["messages"])
            written = len(text.split(" "))
            found["usage"] = {"prompt_tokens": asked, "completion_tokens": written, "total_tokens": asked + written}
        return found

    def vectors(self, body: dict[str, Any]) -> dict[str, Any]:
        size = body.get("dimensions", self.world.dimensions)
        found = FakeEncoderConfig(dimensions=size).build().encode(body["input"]) * 3
        data = [{"object": "embedding", "index": at, "embedding": row.tolist()} for at, row in enumerate(found)]
        # Out of order, which the index allows.
        return {"object": "list", "data": data[::-1], "model": body["model"], "usage": {"prompt_tokens": 1}}

    def send_stream(self, text: str, finish: str, fault: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        pieces = [text[start : start + 5] for start in range(0, len(text), 5)]
        for at, piece in enumerate(pieces):
            if fault in {"cut", "ended"} and at == (len(pieces) + 1) // 2:
                break
            self.event({"delta": {"content": piece}, "finish_reason": None})
        else:
            self.event({"delta": {}, "finish_reason": finish})
            self.chunk(b"data: [DONE]\n\n")
        if fault == "cut":
            self.close_connection = True
        else:
            self.chunk(b"")

    def event(self, choice: dict[str, Any]) -> None:
        data = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "toy"}
        self.chunk(f"data: {json.dumps({**data, 'choices': [{'index': 0, **choice}]})}\n\n".encode())

    def chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def send(self, status: int, data: bytes, *, cut: bool = False, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        if self.world.goes_away:
            self.world.http.socket.close()
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if cut else data)
        self.close_connection = cut

    def refuse(self, status: int, message: str, retry_after: str | None = None, code: str | None = None) -> None:
        data = json.dumps({"error": {"message": message, "type": "error", "code": code}}).encode()
        self.send(status, data, headers={} if retry_after is None else {"Retry-After": retry_after})
