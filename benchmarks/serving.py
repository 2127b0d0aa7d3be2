"""A service under load: how long people wait, how many it bears, whether it forgets, whether it grows.

    python benchmarks/serving.py latency  --run RUN --rate 200 --minutes 5
    python benchmarks/serving.py capacity --run RUN
    python benchmarks/serving.py reads    --run RUN --trials 10000
    python benchmarks/serving.py memory   --run RUN --minutes 10
    python benchmarks/serving.py durability --run RUN --rounds 100 [--database postgresql://...]
    python benchmarks/serving.py rollback --run RUN --rate 100 --rounds 50
    python benchmarks/serving.py --make-run          (Amazon Beauty: the fusion of sasrec, graph and content)

The load comes from the same machine. Arrivals are open-loop: a request is sent when its time has come, by a Poisson
process, whether earlier ones are answered or not, and its time is counted from when it should have been sent. `plain`
is what one would write without Genre's service: a FastAPI endpoint that asks the same model, one request at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import psutil
from common import data_files, table, write_result

PATIENCE = 10.0
"""Seconds after which a request counts as an error."""
LIMIT = 0.2
"""Seconds at the 99th percentile that a rate may take to be called sustained."""
PLAIN = """
import sys, threading
from fastapi import FastAPI
from pydantic import BaseModel
import torch, uvicorn
from genre import open_run
torch.set_num_threads(1)
engine, lock, app = open_run(sys.argv[1]), threading.Lock(), FastAPI()
engine.recommend([""], n=10)

class Question(BaseModel):
    user_id: str
    n: int = 10

@app.post("/v1/recommend")
def recommend(question: Question):
    with lock:
        return {"items": engine.recommend([question.user_id], n=question.n).to_dicts()}

@app.get("/health/ready")
def ready():
    return {}

uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), access_log=False, log_level="error")
"""


@dataclass
class Seen:
    """What came of some load."""

    seconds: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    late_starts: list[float] = field(default_factory=list)
    """How much later than it should the generator itself has sent."""

    def summary(self, rate: float) -> dict[str, Any]:
        """Return the figures."""
        times = 1000 * np.array(self.seconds or [float("nan")])
        errors = sum(n for what, n in self.outcomes.items() if what not in {"200", "model"})
        return {
            "rate": rate,
            "requests": len(self.seconds),
            **{f"p{q}": round(float(np.percentile(times, q)), 2) for q in (50, 90, 99, 99.9)},
            "max": round(float(times.max()), 1),
            "errors": errors,
            "outcomes": dict(self.outcomes),
            "generator_late_p99": round(1000 * float(np.percentile(self.late_starts or [0], 99)), 2),
        }


class Connections:
    """Connections to the service that are kept open; as many as requests are on their way."""

    def __init__(self, port: int) -> None:
        self._port, self._free = port, list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]()

    async def ask(self, path: str, body: dict[str, Any] | None) -> tuple[int, bytes]:
        """Return status and body; without one to send, it is a GET."""
        while self._free and self._free[-1][0].at_eof():
            self._free.pop()  # The service has closed what was idle.
        reader, writer = self._free.pop() if self._free else await asyncio.open_connection("127.0.0.1", self._port)
        content = b"" if body is None else json.dumps(body).encode()
        method = "GET" if body is None else "POST"
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(content)}\r\n\r\n"
        )
        writer.write(head.encode() + content)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        read = await reader.readexactly(length)
        self._free.append((reader, writer))
        return int(answer[9:12]), read

    def close(self) -> None:
        """Close those that are free."""
        for _, writer in self._free:
            writer.close()


async def load(port: int, rate: float, seconds: float, make: Callable[[int], tuple[str, dict[str, Any]]]) -> Seen:
    """Send requests at a rate, and return what came of them."""
    rng, seen, connections = np.random.default_rng(0), Seen(), Connections(port)
    due = np.cumsum(rng.exponential(1 / rate, int(rate * seconds)))
    start, tasks = time.perf_counter() + 0.2, set[asyncio.Task[None]]()

    async def one(number: int, at: float) -> None:
        path, body = make(number)
        try:
            status, answer = await asyncio.wait_for(connections.ask(path, body), PATIENCE)
            outcome = str(status)
            if status == 200 and path == "/v1/recommend" and b'"answered_by": "' in answer:
                outcome = answer.partition(b'"answered_by": "')[2].partition(b'"')[0].decode()
        except (TimeoutError, OSError, asyncio.IncompleteReadError) as error:
            outcome = type(error).__name__
        seen.seconds.append(time.perf_counter() - at)
        seen.outcomes[outcome] += 1

    for number, offset in enumerate(due):
        at = start + float(offset)
        if (wait := at - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        seen.late_starts.append(max(0.0, time.perf_counter() - at))
        task = asyncio.create_task(one(number, at))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    connections.close()
    return seen


@contextmanager
def served(
    run: Path, *, plain: bool = False, url: str | None = None, aside: bool = False
) -> Iterator[tuple[int, psutil.Process]]:
    """Start a service in a process of its own, and end it; `aside` ranks in another one."""
    port, directory = 18_000 + os.getpid() % 1_000 + 1_000 * plain, tempfile.mkdtemp()
    url = url or f"sqlite:///{directory}/genre.db"
    own = [sys.executable, "-c", "from genre.cli import main; main()", "serve", str(run), "--no-studio"]
    command = [*own, "--port", str(port), "--database", url, "--set", "deadline=5"]
    command += ["--set", f"rank_aside={str(aside).lower()}"]
    if plain:
        command = [sys.executable, "-c", PLAIN, str(run), str(port)]
    log = Path(directory) / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        _wait_until_ready(port, process, log)
        yield port, psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        shutil.rmtree(directory, ignore_errors=True)


def _wait_until_ready(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    import httpx2

    for _ in range(600):
        if process.poll() is not None:
            raise SystemExit(log.read_text(encoding="utf-8")[-3000:])
        try:
            if httpx2.get(f"http://127.0.0.1:{port}/health/ready").status_code == 200:
                return
        except httpx2.HTTPError:
            time.sleep(0.2)
    raise SystemExit("the service does not get ready")


class World:
    """The users and items that the load is about."""

    def __init__(self, run: Path) -> None:
        from genre.data.files import load_dataset

        data = load_dataset(run / "data" / "all")
        self.users, self.items = data.users.vocabulary.ids.to_list(), data.items.vocabulary.ids.to_list()
        self._rng = np.random.default_rng(1)

    def question(self, _: int) -> tuple[str, dict[str, Any]]:
        """Ask for somebody, one in ten of them new."""
        user = self.users[int(self._rng.integers(len(self.users)))] if self._rng.random() > 0.1 else self._stranger()
        return "/v1/recommend", {"user_id": user, "n": 10}

    def mixed(self, number: int) -> tuple[str, dict[str, Any]]:
        """Ask, or in one of five cases tell of an event."""
        if number % 5:
            return self.question(number)
        item = self.items[int(self._rng.integers(len(self.items)))]
        user = self.users[int(self._rng.integers(len(self.users)))]
        event = {"event_id": f"{os.getpid()}-{number}-{time.time_ns()}", "user_id": user, "item_id": item}
        return "/v1/events", {"events": [event]}

    def _stranger(self) -> str:
        return f"stranger-{int(self._rng.integers(10_000))}"


def latency(run: Path, rate: float, minutes: float) -> None:
    """Measure how long people wait at a rate, with events mixed in."""
    world, found = World(run), {}
    for name, aside in (("rank_aside", True), ("by default", False)):
        with served(run, aside=aside) as (port, process):
            time.sleep(5)  # The other process gets its copy.
            asyncio.run(load(port, rate, 10, world.mixed))
            found[name] = asyncio.run(load(port, rate, 60 * minutes, world.mixed)).summary(rate)
            processes = [process, *process.children(recursive=True)]
            found[name]["cpu"] = sum(sum(one.cpu_times()[:2]) for one in processes)
            found[name]["memory"] = sum(one.memory_info().rss for one in processes)
    columns = ("p50", "p90", "p99", "p99.9", "max", "errors", "generator_late_p99")
    head = ["", "p50 ms", "p90", "p99", "p99.9", "max", "errors", "generator late p99", "CPU s", "memory MiB"]
    rows: list[list[object]] = [
        [name, *(one[column] for column in columns), round(one["cpu"]), one["memory"] >> 20]
        for name, one in found.items()
    ]
    note = (
        f"\n\n{rate:g} requests a second for {minutes:g} minutes each; one in five is an event. Outcomes: "
        + "; ".join(f"{name} {one['outcomes']}" for name, one in found.items())
    )
    write_result("serving-latency", {"config": {"rate": rate, "minutes": minutes}, **found}, table(head, rows) + note)


def capacity(run: Path, seconds: float) -> None:
    """Find the highest rate that the service, and a plain endpoint, bear."""
    world = World(run)
    found = {}
    for name in ("plain", "genre", "genre, rank_aside"):
        with served(run, plain=name == "plain", aside=name.endswith("aside")) as (port, _):
            time.sleep(5)
            asyncio.run(load(port, 20, 5, world.question))
            found[name] = _highest(port, seconds, world)
    ratios = [one["sustained"] / found["plain"]["sustained"] for one in found.values()][1:]
    head = ["", "sustained requests a second", "p50 ms there", "p99 ms there"]
    rows: list[list[object]] = [
        [name, one["sustained"], one["at"]["p50"], one["at"]["p99"]] for name, one in found.items()
    ]
    note = f"\n\nSustained: {seconds:g} s with p99 below {1000 * LIMIT:g} ms and no error. "
    note += f"**{ratios[0]:.1f}x, and {ratios[1]:.1f}x with `rank_aside`.**"
    write_result(
        "serving-capacity", {"config": {"seconds": seconds}, "ratios": ratios, **found}, table(head, rows) + note
    )


def _highest(port: int, seconds: float, world: World) -> dict[str, Any]:
    """Double the rate until it is too much, then halve the interval until it is a tenth."""
    tried, low, high, at = [], 0.0, float("inf"), {}
    rate = 25.0
    while high / max(low, 1e-9) > 1.1 and rate < 5_000:
        seen = asyncio.run(load(port, rate, seconds, world.question)).summary(rate)
        tried.append(seen)
        print(seen, flush=True)
        if seen["errors"] == 0 and seen["p99"] < 1000 * LIMIT:
            low, at = rate, seen
        else:
            high = rate
            time.sleep(2)
        rate = 2 * low if high == float("inf") else (low + high) / 2
    return {"sustained": low, "at": at, "tried": tried}


def reads(run: Path, trials: int) -> None:
    """Measure in how many trials an event changes the next answer, and how soon a new item can be recommended."""

    async def trial(connections: Connections, number: int) -> bool:
        user = f"reader-{number % 997}"
        _, before = await connections.ask("/v1/recommend", {"user_id": user, "n": 10})
        first = json.loads(before)["items"][0]["item_id"]
        event = {"event_id": f"r{number}", "user_id": user, "item_id": first}
        status, _ = await connections.ask("/v1/events", {"events": [event]})
        _, after = await connections.ask("/v1/recommend", {"user_id": user, "n": 10})
        listed = json.loads(after)
        return status == 200 and first not in {item["item_id"] for item in listed["items"]}

    async def all_trials(port: int) -> int:
        connections, seen, waiting = Connections(port), 0, iter(range(trials))

        async def worker() -> None:
            nonlocal seen
            for number in waiting:
                found = await trial(connections, number)
                seen += found

        await asyncio.gather(*(worker() for _ in range(16)))
        connections.close()
        return seen

    with served(run) as (port, _):
        seen = asyncio.run(all_trials(port))
        new = _new_items(port)
    summary = table(
        ["trials", "the event is in the next answer", "new item recommendable after, s (median, max of 20)"],
        [[trials, f"{seen} ({100 * seen / trials:.2f} %)", f"{np.median(new):.2f}, {max(new):.2f}"]],
    )
    write_result("serving-reads", {"config": {"trials": trials}, "seen": seen, "new_item_seconds": new}, summary)


def _new_items(port: int) -> list[float]:
    """Add items that are like one of the catalogue, and ask whoever liked that one until each is in the list."""
    import httpx2

    found = []
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", headers={"host": "localhost"}, timeout=30) as client:
        for number in range(20):
            liked = client.post("/v1/recommend", json={"user_id": f"finder-{number}", "n": 20}).json()["items"][number]
            item = {"item_id": f"new-{number}", "title": f"{liked['title']} (new edition)"}
            asked = {"history": [liked["item_id"]], "n": 500, "deadline_ms": 9_000}
            begun = time.perf_counter()
            client.put("/v1/items", json={"items": [item]}).raise_for_status()
            while item["item_id"] not in _listed(client.post("/v1/recommend", json=asked)):
                if time.perf_counter() - begun > 30:
                    raise SystemExit(f"{item} is not recommended")
            found.append(time.perf_counter() - begun)
    return found


def _listed(answer: Any) -> set[str]:
    return {item["item_id"] for item in answer.json()["items"]}


def memory(run: Path, minutes: float) -> None:
    """Watch memory and open files under a day's load in some minutes: 144 times the usual rate of a small shop.

    Everybody has asked once before it: as many last lists are kept as ever are.
    """
    world, samples = World(run), []

    async def everybody(port: int) -> None:
        connections, left = Connections(port), iter(world.users)

        async def some() -> None:
            for user in left:
                await connections.ask("/v1/recommend", {"user_id": user, "n": 10})

        await asyncio.gather(*(some() for _ in range(32)))
        connections.close()

    async def watched(port: int, process: psutil.Process) -> Seen:
        async def watch() -> None:
            begun = time.monotonic()
            while True:
                await asyncio.sleep(5)
                samples.append((time.monotonic() - begun, process.memory_info().rss / 2**20, process.num_fds()))

        watching = asyncio.create_task(watch())
        seen = await load(port, 100, 60 * minutes, world.mixed)
        watching.cancel()
        return seen

    with served(run) as (port, process):
        asyncio.run(everybody(port))
        seen = asyncio.run(watched(port, process))
    times, used, files = np.array(samples).T
    settled = times > times.max() / 5  # What is made on demand is made by then.
    slope = float(np.polyfit(times[settled], used[settled], 1)[0])
    found = seen.summary(100)
    head = [
        "minutes",
        "requests",
        "MiB after a fifth",
        "MiB at the end",
        "slope MiB a minute",
        "bytes an event",
        "files first, last",
        "errors",
    ]
    first = int(np.argmax(settled))
    events = found["outcomes"]["200"] / (60 * minutes)
    row = [minutes, found["requests"], round(used[first]), round(used[-1]), round(60 * slope, 3)]
    row.append(round(slope * 2**20 / events))
    # Connections come and go: the fewest of the beginning and of the end tell whether some are never closed.
    fewest = files[times < times.max() / 5].min(), files[times > 4 * times.max() / 5].min()
    summary = table(head, [[*row, "{:.0f}, {:.0f}".format(*fewest), found["errors"]]])
    write_result("serving-memory", {"config": {"minutes": minutes}, "samples": samples, **found}, summary)


class Ledger:
    """What was acknowledged, to be held against what a service knows after it was killed and has started again."""

    def __init__(self, people: list[str]) -> None:
        self.acknowledged: dict[str, tuple[str, str]] = {}
        """User and item of each event, by its id."""
        self._people, self._at_first = people, dict[str, Counter[str]]()

    def check(self, number: int, port: int) -> None:
        """Ask of everybody; an event that is missing, or that counts twice, ends the benchmark."""
        found = asyncio.run(self._known(port))
        if not self._at_first:
            self._at_first = {user: log - Counter(stored.values()) for user, (log, stored) in found.items()}
        for user, (log, stored) in found.items():
            # What memory has more than at first is what the store has: an event too many or too few is seen here.
            expected = self._at_first[user] + Counter(stored.values())
            if log != expected:
                raise SystemExit(f"start {number}: of {user!r} memory has {log}, and should have {expected}")
        lost = [one for one, (user, item) in self.acknowledged.items() if found[user][1].get(one) != item]
        if lost:
            raise SystemExit(f"start {number}: {len(lost)} lost, such as {lost[0]}")
        told = sum(len(stored) for _, stored in found.values())
        print(f"start {number}: {len(self.acknowledged):,} acknowledged, all of {told:,} known once", flush=True)

    async def tell_again(self, port: int) -> None:
        """Tell of the last thousand acknowledged events once more."""
        told = [
            {"event_id": name, "user_id": user, "item_id": item}
            for name, (user, item) in list(self.acknowledged.items())[-1_000:]
        ]
        connections = Connections(port)
        status, answer = await connections.ask("/v1/events", {"events": told})
        connections.close()
        if status != 200 or json.loads(answer)["known"] != len(told):
            raise SystemExit(answer.decode())

    async def _known(self, port: int) -> dict[str, tuple[Counter[str], dict[str, str]]]:
        """Return of each user the items of the log in memory, and the items of the stored events by their ids."""
        found = dict[str, tuple[Counter[str], dict[str, str]]]()
        connections, left = Connections(port), iter(self._people)

        async def some() -> None:
            for user in left:
                status, answer = await connections.ask(f"/v1/users/{quote(user, safe='')}", None)
                if status != 200:
                    raise SystemExit(answer.decode())
                said = json.loads(answer)
                stored = {event["event_id"]: event["item_id"] for event in said["events"]}
                found[user] = Counter(event["item_id"] for event in said["log"]), stored

        await asyncio.gather(*(some() for _ in range(8)))
        connections.close()
        return found


def durability(run: Path, rounds: int, url: str | None) -> None:
    """Kill the service under 500 events a second, in requests of ten, and look for what it had acknowledged.

    After each start it is asked what it knows of each user: the log that it answers from, in memory, has each event of
    the store once, besides what the run began with; at last also when events have been told of again.
    """
    world, rng, open_events = World(run), np.random.default_rng(2), list[dict[str, Any]]()
    people, ledger = world.users[:500], Ledger(world.users[:500])

    async def tell(port: int, number: int, seconds: float) -> None:
        connections, until = Connections(port), time.perf_counter() + seconds

        async def some(events: list[dict[str, Any]]) -> None:
            try:
                status, _ = await connections.ask("/v1/events", {"events": events})
                if status == 200:
                    ledger.acknowledged |= {one["event_id"]: (one["user_id"], one["item_id"]) for one in events}
                    return
            except (OSError, asyncio.IncompleteReadError):
                pass
            open_events.extend(events)

        async def kill() -> None:
            await asyncio.sleep(seconds)
            process.kill()

        # What was not acknowledged is told again first, whether it had been written or not.
        again, open_events[:] = list(open_events), []
        tasks = [asyncio.create_task(kill())]
        tasks += [asyncio.create_task(some(again[at : at + 100])) for at in range(0, len(again), 100)]
        sent = 0
        while time.perf_counter() < until:
            users, items = rng.choice(people, 10), rng.choice(world.items[:500], 10)
            events = [
                {"event_id": f"{number}-{sent}-{at}", "user_id": str(user), "item_id": str(item)}
                for at, (user, item) in enumerate(zip(users, items, strict=True))
            ]
            tasks.append(asyncio.create_task(some(events)))
            sent += 1
            await asyncio.sleep(max(0.0, until - seconds + sent / 50 - time.perf_counter()))
        await asyncio.gather(*tasks)

    with tempfile.TemporaryDirectory() as directory:
        url = url or f"sqlite:///{directory}/genre.db"
        for number in range(rounds):
            with served(run, url=url) as (port, process):
                ledger.check(number, port)
                asyncio.run(tell(port, number, float(rng.uniform(0.2, 2.0))))
        with served(run, url=url) as (port, _):
            ledger.check(rounds, port)
            asyncio.run(ledger.tell_again(port))
            ledger.check(rounds, port)
    kind = url.partition(":")[0]
    head = ["database", "rounds", "acknowledged", "lost", "applied twice"]
    summary = table(head, [[kind, rounds, f"{len(ledger.acknowledged):,}", 0, 0]])
    write_result(
        f"serving-durability-{kind}", {"config": {"rounds": rounds}, "acknowledged": len(ledger.acknowledged)}, summary
    )


def rollback(run: Path, rate: float, rounds: int) -> None:
    """Promote a version and go back, again and again, while people ask: who waits, who fails, who answers then."""
    from genre.serving.stores.database import Database
    from genre.serving.stores.models import Models

    world, changes, wrong = World(run), list[float](), list[str]()

    async def move(connections: Connections, version: str) -> float:
        begun = time.perf_counter()
        status, answer = await connections.ask(f"/v1/models/{version}", {"state": "live", "reason": "benchmark"})
        if status != 200:
            raise SystemExit(answer.decode())
        return time.perf_counter() - begun

    async def change(port: int) -> None:
        connections, names = Connections(port), ("v1", "second")
        for number in range(2 * rounds):
            changes.append(await move(connections, names[number % 2]))
            # Whoever asks from now on is answered by it.
            asked = [connections.ask(*world.question(number)) for _ in range(10)]
            named = [json.loads(answer)["version"] for _, answer in await asyncio.gather(*asked)]
            wrong.extend(version for version in named if version != names[number % 2])
            await asyncio.sleep(0.5)
        connections.close()

    async def begin(port: int) -> tuple[float, Seen]:
        loading = asyncio.create_task(load(port, rate, 20, world.question))
        await asyncio.sleep(5)
        connections = Connections(port)
        first = await move(connections, "second")
        connections.close()
        return first, await loading

    async def measured(port: int) -> Seen:
        changing = asyncio.create_task(change(port))
        seen = await load(port, rate, 1.2 * rounds, world.question)
        await changing
        return seen

    with tempfile.TemporaryDirectory() as directory:
        url = f"sqlite:///{directory}/genre.db"
        with served(run, url=url) as (port, _):
            with Database.open(url) as database:
                Models(database).add(run.name, "second", str(run.absolute()))
            asyncio.run(load(port, rate, 10, world.question))
            before = asyncio.run(load(port, rate, 30, world.question)).summary(rate)
            first, seen = asyncio.run(begin(port))
            loading, during = seen.summary(rate), asyncio.run(measured(port)).summary(rate)
    taken = 1000 * np.array(changes)
    head = ["", "requests", "p50 ms", "p99", "max", "errors", "a change is acknowledged after, ms (median, max)"]
    rows: list[list[object]] = [
        [name, *(one[key] for key in ("requests", "p50", "p99", "max", "errors")), said]
        for name, one, said in (
            ("nothing changes", before, ""),
            ("a version is loaded and goes live", loading, f"{1000 * first:.0f}"),
            (f"{len(changes)} changes", during, f"{np.median(taken):.0f}, {taken.max():.0f}"),
        )
    ]
    note = (
        f"\n\n{rate:g} requests a second. After each change ten were asked at once: {len(wrong)} of "
        f"{10 * len(changes):,} answers were another version's. Outcomes: {during['outcomes']}."
    )
    found = {"before": before, "loading": loading, "during": during, "first": first, "changes": changes}
    write_result(
        "serving-rollback",
        {"config": {"rate": rate, "rounds": rounds}, **found, "wrong": len(wrong)},
        table(head, rows) + note,
    )


def make_run(runs: Path) -> None:
    """Make the run that the figures are of."""
    from genre import pipeline
    from genre.config import Experiment
    from genre.console import Bars

    experiment = {
        "name": "beauty-serving",
        "data": {"kind": "files", **data_files("amazon-beauty")},
        "models": {
            "sasrec": {"kind": "sasrec", "text": {}, "training": {"epochs": 3, "tracker": "none"}},
            "graph": {"kind": "graph"},
            "content": {"kind": "content"},
            "fusion": {"kind": "fusion", "members": ["sasrec", "graph", "content"]},
        },
        "answer": {"model": "fusion", "examples": 0, "reasons": None},
        "evaluation": {"bootstrap": 100},
    }
    print(pipeline.run(Experiment.model_validate(experiment), runs, progress=Bars()))


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", nargs="?", choices=["latency", "capacity", "reads", "memory", "durability", "rollback"])
    parser.add_argument("--run", type=Path)
    parser.add_argument("--make-run", type=Path, nargs="?", const=Path("runs"), help="make the run, in this directory")
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each rate that is tried for the capacity")
    parser.add_argument("--rounds", type=int, default=100, help="kills, or times there and back")
    parser.add_argument("--database", help="for durability: a PostgreSQL URL in the place of SQLite")
    parser.add_argument("--trials", type=int, default=10_000)
    arguments = parser.parse_args()
    if arguments.make_run is not None:
        make_run(arguments.make_run)
    if arguments.what == "latency":
        latency(arguments.run, arguments.rate, arguments.minutes)
    elif arguments.what == "capacity":
        capacity(arguments.run, arguments.seconds)
    elif arguments.what == "reads":
        reads(arguments.run, arguments.trials)
    elif arguments.what == "durability":
        durability(arguments.run, arguments.rounds, arguments.database)
    elif arguments.what == "rollback":
        rollback(arguments.run, arguments.rate, arguments.rounds)
    elif arguments.what == "memory":
        memory(arguments.run, arguments.minutes)


if __name__ == "__main__":
    main()
