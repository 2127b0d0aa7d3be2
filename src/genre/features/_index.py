"""The index of the content store: a SQLite file that says what is known, where it lies, and who works on what.

A content is a hash of 16 bytes; a model is the number of a row of `models`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeAlias

from genre.core.errors import ArtifactError, GenreError, ResourceError

FORMAT: Final = 1
"""Version of the tables and of the files beside them."""
Table: TypeAlias = Literal["vectors", "completions"]

_WAIT: Final = 60.0
"""Seconds to wait for another process's transaction; each takes milliseconds."""
_CHUNK: Final = 5_000
"""Contents asked for at once, well below the number of variables that SQLite takes."""
_DAMAGED: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_SCHEMA: Final = (
    """CREATE TABLE models (
        model INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, dimension INTEGER,
        slots INTEGER NOT NULL DEFAULT 0, UNIQUE (kind, key))""",
    """CREATE TABLE vectors (
        model INTEGER NOT NULL, content BLOB NOT NULL, slot INTEGER NOT NULL, checksum INTEGER NOT NULL,
        PRIMARY KEY (model, content)) WITHOUT ROWID""",
    """CREATE TABLE completions (
        model INTEGER NOT NULL, content BLOB NOT NULL, answer BLOB NOT NULL, checksum INTEGER NOT NULL,
        PRIMARY KEY (model, content)) WITHOUT ROWID""",
    """CREATE TABLE owners (
        owner INTEGER PRIMARY KEY AUTOINCREMENT, machine TEXT NOT NULL, pid INTEGER NOT NULL, started REAL NOT NULL,
        beat REAL NOT NULL)""",
    """CREATE TABLE claims (
        model INTEGER NOT NULL, content BLOB NOT NULL, owner INTEGER NOT NULL,
        PRIMARY KEY (model, content)) WITHOUT ROWID""",
)


class Index:
    """One connection to the index. It belongs to one thread."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        """Use an open connection; `opened` makes one."""
        self.path = path
        self._connection = connection

    @classmethod
    @contextmanager
    def opened(cls, path: Path) -> Iterator[Self]:
        """Connect, and make the tables where there are none.

        Raises:
            ArtifactError: The file is damaged, or of a newer version.
            ResourceError: It cannot be read or written.
        """
        with explained(path):
            connection = sqlite3.connect(path, timeout=_WAIT, isolation_level=None)
        with closing(connection):
            index = cls(path, connection)
            with explained(path):
                index._prepare()
            yield index

    def _prepare(self) -> None:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            self._connection.execute("PRAGMA journal_mode = WAL")
            with self.transaction() as db:
                # Another process may have been here since.
                (version,) = db.execute("PRAGMA user_version").fetchone()
                if version == 0:
                    for statement in (*_SCHEMA, f"PRAGMA user_version = {FORMAT}"):
                        db.execute(statement)
        if version > FORMAT:
            raise ArtifactError(
                f"the store has format {version}, newer than {FORMAT}",
                place=str(self.path),
                remedy="Upgrade Genre, or choose another directory for the store.",
            )

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Do all that is in the block or nothing, while no other process writes."""
        with explained(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            with self._connection:
                yield self._connection

    def model(self, kind: str, key: str) -> int:
        """Return the number of a model, a new one if it was never heard of."""
        select = "SELECT model FROM models WHERE kind = ? AND key = ?"
        with explained(self.path):
            row = self._connection.execute(select, (kind, key)).fetchone()
        if row is None:
            with self.transaction() as db:
                db.execute("INSERT OR IGNORE INTO models (kind, key) VALUES (?, ?)", (kind, key))
                row = db.execute(select, (kind, key)).fetchone()
        return int(row[0])

    def dimension(self, model: int) -> int | None:
        """Return how long an encoder's vectors are; None before the first."""
        with explained(self.path):
            row = self._connection.execute("SELECT dimension FROM models WHERE model = ?", (model,)).fetchone()
        return None if row[0] is None else int(row[0])

    def entries(self, table: Table, model: int, contents: Sequence[bytes]) -> dict[bytes, tuple[Any, int]]:
        """Return the place (a vector's slot or an answer) and the checksum of each content that is known."""
        place = "slot" if table == "vectors" else "answer"
        with explained(self.path):
            rows = select_contents(self._connection, f"content, {place}, checksum", table, model, contents)
            return {content: (found, checksum) for content, found, checksum in rows}

    def forget(self, table: Table, model: int, entries: dict[bytes, tuple[Any, int]]) -> None:
        """Remove entries that turned out to be damaged, unless another process has replaced them since."""
        place = "slot" if table == "vectors" else "answer"
        where = f"model = ? AND content = ? AND {place} = ? AND checksum = ?"
        lines = [(model, content, found, checksum) for content, (found, checksum) in entries.items()]
        with self.transaction() as db:
            db.executemany(f"DELETE FROM {table} WHERE {where}", lines)  # noqa: S608

    def reserve(self, model: int, dimension: int, count: int) -> int:
        """Return the first of `count` free slots in a row.

        Vectors of another length than before are the end of those before: nobody could use both.
        """
        with self.transaction() as db:
            before, first = db.execute("SELECT dimension, slots FROM models WHERE model = ?", (model,)).fetchone()
            if before != dimension:
                db.execute("DELETE FROM vectors WHERE model = ?", (model,))
                first = 0
            changed = (dimension, first + count, model)
            db.execute("UPDATE models SET dimension = ?, slots = ? WHERE model = ?", changed)
        return int(first)

    def record_vectors(self, model: int, dimension: int, lines: Sequence[tuple[bytes, int, int]]) -> None:
        """Make (content, slot, checksum) known, unless the length of the vectors has changed meanwhile."""
        with self.transaction() as db:
            (now,) = db.execute("SELECT dimension FROM models WHERE model = ?", (model,)).fetchone()
            if now == dimension:
                db.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?)", [(model, *line) for line in lines])

    def record_completions(self, model: int, lines: Sequence[tuple[bytes, bytes, int]]) -> None:
        """Make (content, answer, checksum) known."""
        with self.transaction() as db:
            db.executemany("INSERT OR REPLACE INTO completions VALUES (?, ?, ?, ?)", [(model, *line) for line in lines])


def select_contents(
    db: sqlite3.Connection, columns: str, table: str, model: int, contents: Sequence[bytes]
) -> Iterator[tuple[Any, ...]]:
    """Yield columns of those rows of a model that stand for one of these contents."""
    for at in range(0, len(contents), _CHUNK):
        chunk = contents[at : at + _CHUNK]
        marks = ",".join("?" * len(chunk))
        query = f"SELECT {columns} FROM {table} WHERE model = ? AND content IN ({marks})"  # noqa: S608
        yield from db.execute(query, (model, *chunk))


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Say what an error of SQLite or of the file system means for the store."""
    try:
        yield
    except GenreError:
        raise
    except sqlite3.Error as error:
        # The low byte is the kind, the rest its particulars.
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
            raise ArtifactError(
                f"the index of the store cannot be read ({error})",
                place=str(path),
                remedy="Restore it, or delete the directory: what is needed is then made again.",
            ) from error
        raise _unusable(path, error) from error
    except OSError as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: Exception) -> ResourceError:
    return ResourceError(
        f"the store cannot be used ({error})",
        place=str(path),
        remedy="Make sure that the directory can be written to and that its disk has room, or choose another one. "
        "What was stored before is kept.",
    )
