"""One database of a service, SQLite or PostgreSQL: connections, transactions, and what their errors mean."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeAlias
from urllib.parse import quote

from sqlalchemy import Connection, Engine, Table, create_engine, event, exc
from sqlalchemy import text as sql
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import QueuePool

from genre.core.errors import ArtifactError, ConfigError, DependencyError, GenreError, ResourceError

Kind: TypeAlias = Literal["sqlite", "postgresql"]
DEFAULT_URL: Final = "sqlite:///genre.db"
_DAMAGED: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_IDLE: Final = 60_000
"""Milliseconds after which PostgreSQL ends a transaction whose process has stopped in it, and with it its locks."""


class Database:
    """A database at a URL, with tables of this version. Any thread may use it, and several processes at once.

    A transaction that has ended is on the disk: SQLite writes ahead with `synchronous = FULL`, PostgreSQL with
    `synchronous_commit = on`, whatever the server's settings say.
    """

    def __init__(self, engine: Engine, kind: Kind, place: str, *, wait: float) -> None:
        """Use an engine; `open` makes one."""
        self.kind: Kind = kind
        self.place = place
        """What errors call it: the URL without a password."""
        self._engine, self._wait = engine, wait

    @classmethod
    def open(cls, url: str = DEFAULT_URL, *, wait: float = 10.0, connections: int = 8) -> Self:
        """Connect, and bring the tables to this version; a SQLite file is made where there is none.

        Args:
            url: `sqlite:///path`, `sqlite:////absolute/path`, or `postgresql://user:password@host/name`.
            wait: Seconds to wait for a connection, a lock, or the end of a statement, before it is an error.
            connections: Kept open at most; twice as many in a rush.

        Raises:
            ConfigError: The URL is none of these.
            DependencyError: PostgreSQL's driver is not installed.
            ArtifactError: The database is damaged, or its version newer than this one.
            ResourceError: It cannot be reached, read or written.
        """
        from genre.serving.stores.migrating import migrate

        parsed = _parsed(url)
        if parsed.get_backend_name() == "sqlite":
            path = Path(parsed.database or "").absolute()
            _make_file(path)
            engine, kind = _sqlite_engine(path, wait, connections), "sqlite"
        else:
            engine, kind = _postgresql_engine(parsed, wait, connections), "postgresql"
        database = cls(engine, kind, parsed.render_as_string(hide_password=True), wait=wait)  # type: ignore[arg-type]
        try:
            migrate(database)
        except BaseException:
            database.close()
            raise
        return database

    def close(self) -> None:
        """Close all connections that nobody uses."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that sees one state of the database, whatever others write meanwhile.

        Raises:
            ArtifactError: The database is damaged.
            ResourceError: It cannot be reached or read.
        """
        with self._explained(), self._engine.connect() as connection:
            if self.kind == "postgresql":
                # SQLite's way in any case.
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Do all that is in the block or nothing; what is done is on the disk when the block has ended.

        In SQLite one block runs at a time; in PostgreSQL blocks wait for each other where they lock the same rows.

        Raises:
            ArtifactError: The database is damaged.
            ResourceError: It cannot be reached or written, or another process holds it for too long. Whether the block
                was done is then not known if the connection was lost at its very end, so what is done again must be
                idempotent.
        """
        with self._explained(), self._engine.connect() as connection:
            connection = connection.execution_options(writes=True)
            with connection.begin():
                yield connection

    def one_at_a_time(self, connection: Connection, what: str) -> None:
        """Let transactions that name the same thing here wait for each other, even where they lock no common row.

        In SQLite they do in any case.
        """
        if self.kind == "postgresql":
            connection.execute(sql("SELECT pg_advisory_xact_lock(hashtextextended(:what, 0))"), {"what": what})

    def insert(self, table: Table) -> Any:
        """Return an insert that can say `on_conflict_do_nothing` or `on_conflict_do_update`."""
        return sqlite.insert(table) if self.kind == "sqlite" else postgresql.insert(table)

    def add_if_new(self, connection: Connection, table: Table, values: Mapping[str, Any]) -> bool:
        """Insert a row, and return whether it was: it is not where another one has the same unique values."""
        insert = self.insert(table).values(values).on_conflict_do_nothing()
        return connection.execute(insert.returning(*table.primary_key)).first() is not None

    def scrub(self, *tables: Table) -> None:
        """Write the database anew, so that its files hold nothing of what was deleted.

        A deleted row stays in a file until something else is written over it: SQLite clears what it deletes, but not
        the copies that it left when it moved rows between pages. Takes as long as to read and write the database once
        (in PostgreSQL: these tables, or all of them), and writers wait meanwhile. PostgreSQL's write-ahead log and its
        backups are its administrator's: they go with its own settings.

        Raises:
            ResourceError: Others use the database for too long; the scrubbing can be done again.
        """
        with self._explained(), self._engine.connect() as connection:
            alone = connection.execution_options(isolation_level="AUTOCOMMIT")
            try:
                self._scrub(alone, tables)
            finally:
                alone.invalidate()  # Nobody else gets a connection with these settings.

    def _scrub(self, alone: Connection, tables: Sequence[Table]) -> None:
        if self.kind == "postgresql":
            alone.exec_driver_sql("SET statement_timeout = 0")
            for name in [table.name for table in tables] or [""]:
                alone.exec_driver_sql(f"VACUUM (FULL, ANALYZE) {name}")
            return
        alone.exec_driver_sql("VACUUM")
        until = time.monotonic() + self._wait
        while alone.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]:
            if time.monotonic() > until:
                raise ResourceError(
                    "what was deleted is still in the write-ahead log, since somebody reads all the time",
                    place=self.place,
                    remedy="Scrub again when it is quieter.",
                )
            time.sleep(0.05)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say what an error of the database means."""
        try:
            yield
        except (GenreError, exc.IntegrityError):
            raise
        except exc.SQLAlchemyError as error:
            cause = getattr(error, "orig", None) or error
            # The low byte is the kind, the rest its particulars.
            if getattr(cause, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
                raise ArtifactError(
                    f"the database cannot be read ({cause})", place=self.place, remedy="Restore it from a copy."
                ) from error
            words = " ".join(str(cause).split())
            raise ResourceError(
                f"the database cannot be used ({words})",
                place=self.place,
                remedy="Make sure that it runs, can be reached, and has room on its disk; then try again. "
                "What was acknowledged before is kept.",
            ) from error


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except exc.ArgumentError:
        parsed = URL.create("")
    name, driver = parsed.get_backend_name() if parsed.drivername else "", parsed.drivername.partition("+")[2]
    memory = name == "sqlite" and (parsed.database or ":memory:") == ":memory:"
    if name not in {"sqlite", "postgresql"} or driver not in {"", "psycopg", "pysqlite"} or memory:
        shown = parsed.render_as_string(hide_password=True) if parsed.drivername else url
        raise ConfigError(
            f"{shown!r} is no database that lasts" if memory else f"{shown!r} is no URL of a database that Genre knows",
            place="database",
            remedy="Use sqlite:///PATH, or postgresql://USER:PASSWORD@HOST/NAME.",
        )
    if name == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
        if find_spec("psycopg") is None:
            raise DependencyError(
                "PostgreSQL needs the library 'psycopg', which is not installed",
                place="database",
                remedy="Install it with `pip install 'genre-rec[serve]'`, or use sqlite:///PATH.",
            )
    return parsed


def _make_file(path: Path) -> None:
    """Make an empty file, which is an empty database, that only its owner can read."""
    if path.exists():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Another process may make it at this moment; an empty file is what both want.
        os.close(os.open(path, os.O_CREAT, 0o600))
    except OSError as error:
        raise ResourceError(
            f"the database cannot be made ({error.strerror})", place=str(path), remedy="Choose another place for it."
        ) from error


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


class _Hinting(sqlite.base.SQLiteCompiler):
    """Tells SQLite which index to take, where a query says so."""

    def get_from_hint_text(self, table: Any, text: str | None) -> str | None:
        """Return what stands behind a table."""
        return text


def _sqlite_engine(path: Path, wait: float, connections: int) -> Engine:
    def connect() -> sqlite3.Connection:
        # "rw" and not "rwc": where the file is gone, an empty one in its place would be worse than an error.
        connection = sqlite3.connect(
            f"file:{quote(str(path))}?mode=rw", uri=True, timeout=wait, isolation_level=None, check_same_thread=False
        )
        for setting in ("journal_mode = WAL", "synchronous = FULL", "fullfsync = ON", "foreign_keys = ON",
                        "secure_delete = ON"):  # fmt: skip
            connection.execute(f"PRAGMA {setting}")
        return connection

    engine = create_engine(
        "sqlite://", creator=connect, poolclass=QueuePool, pool_size=connections, max_overflow=connections,
        pool_timeout=wait, json_serializer=_json,
    )  # fmt: skip

    engine.dialect.statement_compiler = _Hinting

    @event.listens_for(engine, "connect")
    def _note_file(_connection: Any, record: Any) -> None:
        record.info["file"] = _file_at(path)

    @event.listens_for(engine, "checkout")
    def _same_file(_connection: Any, record: Any, _proxy: Any) -> None:
        # A file that was moved or deleted can still be written to, and what is written there is lost.
        if record.info["file"] != _file_at(path):
            raise exc.DisconnectionError

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        # Who reads first and writes then is refused at once if another has written in between, however long it would
        # wait.
        if options.get("isolation_level") != "AUTOCOMMIT":
            connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("writes") else "BEGIN")

    return engine


def _file_at(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _postgresql_engine(url: URL, wait: float, connections: int) -> Engine:
    seconds, milliseconds = max(2, round(wait)), round(1000 * wait)
    settings = {
        "statement_timeout": 6 * milliseconds,
        "lock_timeout": milliseconds,
        "idle_in_transaction_session_timeout": _IDLE,
        "synchronous_commit": "on",
        "application_name": "genre",
    }
    return create_engine(
        url,
        pool_pre_ping=True,
        pool_size=connections,
        max_overflow=connections,
        pool_timeout=wait,
        json_serializer=_json,
        connect_args={
            "connect_timeout": seconds,
            # A server that vanished without a word is noticed.
            "keepalives_idle": seconds,
            "keepalives_interval": seconds,
            "keepalives_count": 3,
            "tcp_user_timeout": 3 * milliseconds,
            "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
        },
    )
