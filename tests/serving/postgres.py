"""A PostgreSQL cluster of the tests' own, in a directory that goes with it, on a free port of the loopback."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import psycopg

INSTALLED = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
TEMPLATE = "genre_template"


class Cluster:
    """A server that can be stopped, killed and started again."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="genre-postgres-"))
        self.data = self.directory / "data"
        self.port = _free_port()
        self._bin = INSTALLED[-1].parent
        # PostgreSQL refuses to run as root.
        self._as: dict[str, Any] = {}
        if os.getuid() == 0:
            user = next(user for user in pwd.getpwall() if user.pw_name in {"postgres", "nobody"})
            shutil.chown(self.directory, user.pw_uid, user.pw_gid)
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        init = ["initdb", "-D", self.data, "-U", "genre", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        self._do(*init)

    def start(self) -> None:
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "port": self.port,
            "max_connections": 60,
            "shared_buffers": "32MB",
            # Files of the log that are done with are deleted, not written over one day.
            "wal_recycle": "off",
            "min_wal_size": "32MB",
        }
        words = " ".join(f"-c {name}={value}" for name, value in options.items())
        self._do("pg_ctl", "-w", "-t", "90", "-D", self.data, "-l", self.directory / "log", "-o", words, "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop the server; `immediate` does it as a crash would, without a last look at anything."""
        self._do("pg_ctl", "-w", "-D", self.data, "-m", mode, "stop")

    def remove(self) -> None:
        self.stop("immediate")
        shutil.rmtree(self.directory, ignore_errors=True)

    def url(self, name: str) -> str:
        return f"postgresql://genre@127.0.0.1:{self.port}/{name}"

    def execute(self, *statements: str, database: str = "postgres") -> list[Any]:
        """Return the rows of the last statement."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def _do(self, program: str, *arguments: object) -> None:
        command = [str(self._bin / program), *map(str, arguments)]
        # Output goes to a file: the server would keep a pipe open for ever.
        with (self.directory / "output").open("w+") as output:
            done = subprocess.run(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, cwd="/", **self._as)
            output.seek(0)
            assert done.returncode == 0, output.read()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
