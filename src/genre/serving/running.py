"""From runs and settings to a service that listens, and back to an end without loss."""

from __future__ import annotations

import gc
import logging
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from importlib.resources import as_file, files
from importlib.util import find_spec
from pathlib import Path
from socket import socket
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

from genre import pipeline
from genre.config_file import read_experiment
from genre.console import Bars, console
from genre.core.errors import ConfigError
from genre.serving.app import make_app
from genre.serving.guard import STUDIO
from genre.serving.logs import write_json_lines
from genre.serving.service import Service
from genre.serving.settings import ServeConfig
from genre.serving.stores.database import Database
from genre.serving.stores.keys import StoredKeys
from genre.workspace import read_manifest

log = logging.getLogger("genre.serving")


def named_runs(runs: Sequence[str]) -> dict[str, Path]:
    """Return the run of each scenario, from `PATH`, which is called as its experiment, or `NAME=PATH`.

    Raises:
        ArtifactError: There is no finished run.
        ConfigError: Two have the same name.
    """
    named: dict[str, Path] = {}
    for given in runs:
        name, equals, path = given.rpartition("=")
        found = Path(path)
        manifest = read_manifest(found)
        name = name if equals else str(manifest["name"])
        if name in named:
            raise ConfigError(f"two scenarios are called {name!r}", place="serve", remedy="Call one NAME=RUN.")
        named[name] = found
    return named


def demo_run(runs: Path = Path("runs")) -> Path:
    """Return the run of the sample world, made if it is not there yet."""
    with as_file(files("genre") / "demo.yaml") as path:
        return pipeline.run(read_experiment(path), runs, progress=Bars())


def check_safe(config: ServeConfig) -> None:
    """Make sure that a service which others can reach asks for a key.

    Raises:
        ConfigError: There is none.
        ResourceError: The database cannot be read.
    """
    if config.is_local:
        return
    with Database.open(config.database) as database:
        if not any(key.revoked is None for key in StoredKeys(database).all()):
            raise ConfigError(
                f"others than this machine could reach {config.host!r}, and there is no key",
                place="--host",
                remedy="Make one first: `genre keys create NAME --scope read --scope events`.",
            )


def serve(config: ServeConfig, runs: dict[str, Path], *, studio: bool = True) -> None:
    """Listen until somebody ends it; requests that have begun are answered, and events that were taken are written.

    Args:
        config: Settings.
        runs: The run that each scenario begins with.
        studio: Show the page for people, if its library is installed.

    Raises:
        ConfigError: Others could reach it, and there is no key.
        GenreError: A run or the database cannot be used.
    """
    check_safe(config)
    write_json_lines()
    service = Service(config, runs)
    # Whoever asks whether it is ready gets no answer before it is.
    service.warm()
    app = make_app(service)
    has_studio = studio and find_spec("gradio") is not None
    if has_studio:
        from genre.serving.studio import mount_studio

        app = mount_studio(app, service)
    elif studio:
        log.warning("no %s: it needs `pip install 'genre-rec[studio]'`", STUDIO)
    # A thread that computes gives way ten times as soon as Python would have it: whoever waits for an answer waits for
    # the loop that hands it out, and that loop for its turn.
    sys.setswitchinterval(0.0005)
    # What is there by now stays: the collector need not look through models and catalogues again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*gc.get_threshold()[:2], 100)  # Ten times less often: there is hardly any garbage that is old.
    _end_with(app, service)
    settings = uvicorn.Config(
        app,
        host=config.host,
        port=config.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(config.drain),
        timeout_keep_alive=30,
        backlog=1024,
    )
    server = Server(settings, service, has_studio=has_studio)
    with suppress(KeyboardInterrupt):  # Somebody has thought better of it before it listened.
        server.run()
    if not server.started:
        raise SystemExit(3)


class Server(uvicorn.Server):
    """A server that says where it listens, and when it begins to end, so that open pages do not hold it up."""

    def __init__(self, config: uvicorn.Config, service: Service, *, has_studio: bool = False) -> None:
        """Serve the service's app."""
        super().__init__(config)
        self._service, self._has_studio = service, has_studio

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Listen, and say where: at the port that was free, if any would do."""
        await super().startup(sockets)
        if not self.started:
            return
        host, port = self._service.config.host, self.servers[0].sockets[0].getsockname()[1]
        address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        page = f"; the studio: {address}{STUDIO}" if self._has_studio else ""
        console.print(f"Genre answers at {address}{page}", highlight=False, soft_wrap=True)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let a signal end it, and not be raised again afterwards: who is told to end, and ends, has done well."""
        with super().capture_signals():
            yield
            self._captured_signals.clear()

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Take no more requests, and end when those that have begun are answered."""
        self._service.draining = True
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Say that the service is not ready any more, let load balancers notice, and then begin to end."""
        if self._service.leaving or not self._service.config.notice:
            super().handle_exit(sig, frame)
            return
        self._service.leaving = True
        threading.Timer(self._service.config.notice, super().handle_exit, (sig, frame)).start()


def _end_with(app: FastAPI, service: Service) -> None:
    """Close the service when the app ends, after what the app does itself."""
    plain = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(started: FastAPI) -> AsyncIterator[Any]:
        async with plain(started) as state:
            yield state
        service.close()

    app.router.lifespan_context = lifespan
