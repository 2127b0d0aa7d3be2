"""The catalogue as it changes while a service runs: items are added, changed and withdrawn.

The columns of an item are the catalogue's, as JSON. Each change of a scenario's items has the next number, `revision`;
whoever has read all up to one number has only those after it to read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

from sqlalchemy import Connection, Row, select, update

from genre.core.errors import DataError
from genre.serving.stores.audit import note
from genre.serving.stores.database import Database
from genre.serving.stores.tables import CATALOGUES, ITEMS
from genre.serving.stores.values import IDS_AT_ONCE, checked_id, checked_object, chunks

Change: TypeAlias = Literal["added", "changed", "same"]
_NAMED: Final = 20
"""Items whose ids stand in an entry of the audit log; of more, there is only the number."""


@dataclass(frozen=True, slots=True)
class Item:
    """An item as it is kept."""

    item_id: str
    data: dict[str, Any]
    """Its columns, `item_id` excluded."""
    withdrawn: bool
    """Whether it may not be recommended any more; it is kept, since histories hold it."""
    revision: int
    created: float
    changed: float


@dataclass(frozen=True, slots=True)
class _Wish:
    item_id: str
    data: Mapping[str, Any] | None
    """None leaves the columns as they are."""
    merge: bool = False
    withdrawn: bool | None = False
    """None leaves it as it is."""


class Items:
    """The items of all scenarios."""

    def __init__(self, database: Database, *, now: Callable[[], float] = time.time) -> None:
        """Use a database, and the server's clock in seconds since 1970."""
        self._database, self._now = database, now

    def put(
        self,
        scenario: str,
        items: Mapping[str, Mapping[str, Any]],
        *,
        known: Mapping[str, Mapping[str, Any]] | None = None,
        actor: str = "command line",
    ) -> dict[str, Change]:
        """Add items, or replace all columns of those that are there; one that was withdrawn is back.

        For `known` and `actor`, see `change`.

        Returns:
            What was done with each. One that was the same already has no new revision.

        Raises:
            DataError: An id or the columns of an item cannot be kept; then none of them is.
            ResourceError: The database cannot be written.
        """
        wishes = [
            _Wish(checked_id(item_id, "item_id"), checked_object(data, f"item {item_id!r}"))
            for item_id, data in items.items()
        ]
        return self._apply(scenario, wishes, "items put", actor, known=known or {})

    def change(
        self,
        scenario: str,
        items: Mapping[str, Mapping[str, Any]],
        *,
        known: Mapping[str, Mapping[str, Any]] | None = None,
        actor: str = "command line",
    ) -> dict[str, Change]:
        """Change some columns of items that are there; None takes a column away. Others stay as they are.

        Args:
            scenario: Where.
            items: The columns that change, by the items' ids.
            known: All columns of items that are there without ever having been put, as those of a run's catalogue.
            actor: Who does it; the audit log has this and how many items, and which if they are few.

        Raises:
            DataError: An item is not there, or its columns cannot be kept; then none of them is changed.
            ResourceError: The database cannot be written.
        """
        wishes = [
            _Wish(item_id, checked_object(data, f"item {item_id!r}"), merge=True, withdrawn=None)
            for item_id, data in items.items()
        ]
        return self._apply(scenario, wishes, "items changed", actor, must_exist=True, known=known or {})

    def withdraw(
        self,
        scenario: str,
        item_ids: Iterable[str],
        *,
        known: Mapping[str, Mapping[str, Any]] | None = None,
        actor: str = "command line",
    ) -> dict[str, Change]:
        """Take items out of what may be recommended; they stay in the histories.

        For `known` and `actor`, see `change`.

        Raises:
            DataError: An item is not there; then none is withdrawn.
            ResourceError: The database cannot be written.
        """
        wishes = [_Wish(item_id, None, withdrawn=True) for item_id in dict.fromkeys(item_ids)]
        return self._apply(scenario, wishes, "items withdrawn", actor, must_exist=True, known=known or {})

    def get(self, scenario: str, item_ids: Iterable[str]) -> dict[str, Item]:
        """Return those of these items that are there, withdrawn ones included."""
        with self._database.reading() as connection:
            return _found(connection, scenario, list(item_ids))

    def last(self, scenario: str) -> int:
        """Return the number of a catalogue's last change; 0 where there was none."""
        with self._database.reading() as connection:
            query = select(CATALOGUES.c.last).where(CATALOGUES.c.scenario == scenario)
            return connection.execute(query).scalar() or 0

    def since(self, scenario: str, after: int = 0, *, size: int = 5_000) -> Iterator[list[Item]]:
        """Yield the items that changed after a revision, in the order of their last change, `size` at a time."""
        query = select(ITEMS).where(ITEMS.c.scenario == scenario).order_by(ITEMS.c.revision).limit(size)
        while True:
            with self._database.reading() as connection:
                found = [_item(row) for row in connection.execute(query.where(ITEMS.c.revision > after))]
            if found:
                yield found
                after = found[-1].revision
            if len(found) < size:
                return

    def _apply(
        self,
        scenario: str,
        wishes: Sequence[_Wish],
        action: str,
        actor: str,
        *,
        must_exist: bool = False,
        known: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    ) -> dict[str, Change]:
        checked_id(scenario, "scenario")
        done: dict[str, Change] = {}
        with self._database.writing() as connection:
            revision = self._lock(connection, scenario)
            before = _found(connection, scenario, [wish.item_id for wish in wishes])
            there = before.keys() | known.keys()
            if must_exist and (missing := [wish.item_id for wish in wishes if wish.item_id not in there]):
                raise DataError(
                    f"there is no item {missing[0]!r}" + (f", nor {len(missing) - 1:,} others" if missing[1:] else ""),
                    place=f"scenario {scenario!r}",
                    remedy="Add it first, or leave it out; nothing was changed.",
                )
            rows = []
            for wish in wishes:
                old = before.get(wish.item_id)
                data = _merged(old.data if old else known.get(wish.item_id, {}), wish)
                was = old is not None and old.withdrawn
                withdrawn = was if wish.withdrawn is None else wish.withdrawn
                if old and (old.data, old.withdrawn) == (data, withdrawn):
                    done[wish.item_id] = "same"
                    continue
                new = old is None and wish.item_id not in known
                done[wish.item_id], revision, now = "added" if new else "changed", revision + 1, self._now()
                rows.append(
                    {"scenario": scenario, "item_id": wish.item_id, "data": data, "withdrawn": withdrawn,
                     "revision": revision, "created": old.created if old else now, "changed": now}
                )  # fmt: skip
            if rows:
                self._write(connection, rows)
                where = CATALOGUES.c.scenario == scenario
                connection.execute(update(CATALOGUES).where(where).values(last=revision))
                detail = _told({name: change for name, change in done.items() if change != "same"})
                note(connection, time=self._now(), actor=actor, action=action, scenario=scenario, detail=detail)
        return done

    def _write(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        insert = self._database.insert(ITEMS)
        names = ("data", "withdrawn", "revision", "changed")
        changed = {name: insert.excluded[name] for name in names}
        connection.execute(insert.on_conflict_do_update(index_elements=["scenario", "item_id"], set_=changed), rows)

    def _lock(self, connection: Connection, scenario: str) -> int:
        """Keep others from changing a catalogue until this transaction has ended, and return its last revision."""
        insert = self._database.insert(CATALOGUES).values(scenario=scenario, last=0)
        connection.execute(insert.on_conflict_do_nothing())
        query = select(CATALOGUES.c.last).where(CATALOGUES.c.scenario == scenario).with_for_update()
        last: int = connection.execute(query).scalar_one()
        return last


def _told(changes: Mapping[str, Change]) -> dict[str, Any]:
    """Return what the audit log says of changes."""
    done = list(changes.values())
    counts: dict[str, Any] = {name: done.count(name) for name in ("added", "changed") if name in done}
    return {**counts, "items": list(changes)} if len(changes) <= _NAMED else counts


def _merged(old: Mapping[str, Any], wish: _Wish) -> dict[str, Any]:
    if wish.data is None:
        return dict(old)
    if not wish.merge:
        return dict(wish.data)
    merged = {**old, **wish.data}
    return {name: value for name, value in merged.items() if value is not None or name not in wish.data}


def _found(connection: Connection, scenario: str, item_ids: Sequence[str]) -> dict[str, Item]:
    query = select(ITEMS).where(ITEMS.c.scenario == scenario)
    return {
        row.item_id: _item(row)
        for chunk in chunks(item_ids, IDS_AT_ONCE)
        for row in connection.execute(query.where(ITEMS.c.item_id.in_(chunk)))
    }


def _item(row: Row[Any]) -> Item:
    return Item(row.item_id, row.data, row.withdrawn, row.revision, row.created, row.changed)
