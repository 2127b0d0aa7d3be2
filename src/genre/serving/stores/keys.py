"""The keys of those who may ask: never the secret, only its hash, what it opens, and how much of it was used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Row, select, update

from genre.core.errors import DataError
from genre.serving.stores.audit import note
from genre.serving.stores.database import Database
from genre.serving.stores.tables import KEYS, USAGE


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as it is kept."""

    key_id: str
    """Stands in front of the secret; anybody may know it."""
    name: str
    digest: bytes
    """SHA-256 of the whole secret. It is 256 bits of chance, so that nothing slower is needed."""
    scopes: tuple[str, ...]
    scenario: str | None
    """The only one that it opens; None opens all."""
    quota: int | None
    """Requests a day; None is any number."""
    rate: float | None
    """Requests a second in the long run; None is any number."""
    created: float
    revoked: float | None
    """When it was; None where it is valid."""


class StoredKeys:
    """The keys of all scenarios."""

    def __init__(self, database: Database) -> None:
        """Use a database."""
        self._database = database

    def add(self, key: StoredKey, *, actor: str) -> None:
        """Keep a new key.

        Raises:
            DataError: A valid key has this name.
            ResourceError: The database cannot be written.
        """
        with self._database.writing() as connection:
            if not self._database.add_if_new(connection, KEYS, asdict(key)):
                raise DataError(
                    f"there is a key {key.name!r} already",
                    place="keys",
                    remedy="Choose another name, or revoke that one first.",
                )
            detail = {
                "key": key.key_id,
                "name": key.name,
                "scopes": list(key.scopes),
                "quota": key.quota,
                "rate": key.rate,
            }
            note(connection, time=key.created, actor=actor, action="key created", scenario=key.scenario, detail=detail)

    def revoke(self, wanted: str, *, at: float, actor: str) -> StoredKey:
        """Make a key invalid, by its name or its id, and return it.

        Raises:
            DataError: No valid key has this name or id.
            ResourceError: The database cannot be written.
        """
        valid = select(KEYS).where(KEYS.c.revoked.is_(None)).order_by(KEYS.c.created)
        with self._database.writing() as connection:
            keys = [_key(row) for row in connection.execute(valid.with_for_update())]
            # An id is nobody's name, unless somebody means harm: then the id counts.
            found = next((key for key in keys if key.key_id == wanted), None)
            found = found or next((key for key in keys if key.name == wanted), None)
            if found is None:
                names = ", ".join(key.name for key in keys) or "none"
                raise DataError(
                    f"there is no valid key {wanted!r}", place="keys", remedy=f"The valid ones are: {names}."
                )
            connection.execute(update(KEYS).where(KEYS.c.key_id == found.key_id).values(revoked=at))
            detail = {"key": found.key_id, "name": found.name}
            note(connection, time=at, actor=actor, action="key revoked", scenario=found.scenario, detail=detail)
        return found

    def all(self) -> list[StoredKey]:
        """Return all keys, revoked ones included, in the order in which they were made."""
        with self._database.reading() as connection:
            rows = connection.execute(select(KEYS).order_by(KEYS.c.created, KEYS.c.key_id))
            return [_key(row) for row in rows]

    def used(self, day: int, key_ids: Iterable[str] | None = None) -> dict[str, int]:
        """Return how many requests keys have made on a day of UTC, counted from 1970; those with none are left out."""
        query = select(USAGE.c.key_id, USAGE.c.used).where(USAGE.c.day == day)
        if key_ids is not None:
            query = query.where(USAGE.c.key_id.in_(list(key_ids)))
        with self._database.reading() as connection:
            return {row.key_id: row.used for row in connection.execute(query)}

    def add_used(self, used: Mapping[tuple[str, int], int]) -> None:
        """Add requests of (key id, day) to those that are counted already."""
        if not used:
            return
        insert = self._database.insert(USAGE)
        more = {"used": USAGE.c.used + insert.excluded.used}
        insert = insert.on_conflict_do_update(index_elements=["key_id", "day"], set_=more)
        rows = [{"key_id": key_id, "day": day, "used": n} for (key_id, day), n in sorted(used.items())]
        with self._database.writing() as connection:
            connection.execute(insert, rows)


def _key(row: Row[Any]) -> StoredKey:
    return StoredKey(
        row.key_id, row.name, bytes(row.digest), tuple(row.scopes), row.scenario, row.quota, row.rate, row.created,
        row.revoked,
    )  # fmt: skip
