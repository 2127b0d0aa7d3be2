"""`/v1/items`: the catalogue as it changes; a new item can be recommended when the answer is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from genre.core.errors import DataError
from genre.data.columns import ITEM_ID
from genre.data.dataset import Entities, Vocabulary
from genre.data.growth import extended
from genre.serving.guard import Refused
from genre.serving.routes.asker import PROBLEMS, Asker, may
from genre.serving.scenario import Scenario
from genre.serving.schemas import ItemReply, ItemsReply, ItemsRequest
from genre.serving.stores.values import Id

router = APIRouter(prefix="/v1", tags=["items"], responses=PROBLEMS)
Admin = Annotated[Asker, Depends(may("admin"))]
Reader = Annotated[Asker, Depends(may("read"))]
ScenarioName = Annotated[Id | None, Query(description="May be left out where there is one.")]


@router.put("/items")
async def put(body: ItemsRequest, asker: Admin) -> ItemsReply:
    """Add items, or replace all that is known of them; one that was withdrawn is back."""
    return await _change(asker, body, merge=False)


@router.patch("/items")
async def patch(body: ItemsRequest, asker: Admin) -> ItemsReply:
    """Change some columns of items; `null` takes a value away, and what is not given stays."""
    return await _change(asker, body, merge=True)


@router.get("/items/{item_id:path}")
async def get(item_id: Id, asker: Reader, scenario: ScenarioName = None) -> ItemReply:
    """Return an item as it is known."""
    found = asker.scenario(scenario)
    items = found.live.engine.data.items
    row = int(items.vocabulary.rows([item_id])[0])
    if row < 0:
        raise Refused(404, "no_item", f"there is no item {item_id!r}", "Use an id of the catalogue.", place=ITEM_ID)
    columns = items.frame.row(row, named=True)
    columns.pop(ITEM_ID, None)
    return ItemReply(item_id=item_id, columns=columns, withdrawn=found.live.is_withdrawn(item_id))


@router.delete("/items/{item_id:path}")
async def withdraw(item_id: Id, asker: Admin, scenario: ScenarioName = None) -> ItemsReply:
    """Take an item out of what may be recommended; it stays in the histories."""
    found = asker.scenario(scenario)
    known = _known(found, [item_id])
    if item_id not in known:
        raise Refused(404, "no_item", f"there is no item {item_id!r}", "Use an id of the catalogue.", place=ITEM_ID)

    def work() -> ItemsReply:
        changes = asker.service.items.withdraw(found.name, [item_id], known=known, actor=asker.caller.key_id)
        found.catch_up()
        return ItemsReply(changes=changes)

    return await asker.service.lanes.changes.do(work)


async def _change(asker: Asker, body: ItemsRequest, *, merge: bool) -> ItemsReply:
    found, store = asker.scenario(body.scenario), asker.service.items
    rows = _rows(body)

    def work() -> ItemsReply:
        _check(found.live.engine.data.items, rows)
        apply, known = store.change if merge else store.put, _known(found, rows)
        changes = apply(found.name, rows, known=known, actor=asker.caller.key_id)
        found.catch_up()
        return ItemsReply(changes=changes)

    return await asker.service.lanes.changes.do(work)


def _rows(body: ItemsRequest) -> dict[str, dict[str, Any]]:
    """Return the columns of each item by its id.

    Raises:
        DataError: An id is missing, is no text, or stands twice.
    """
    rows: dict[str, dict[str, Any]] = {}
    for number, item in enumerate(body.items, start=1):
        columns = dict(item)
        name = columns.pop(ITEM_ID, None)
        if not isinstance(name, str) or not name:
            raise DataError(f"`{ITEM_ID}` is {name!r}", place=f"items, row {number}", remedy="Give every item an id.")
        if name in rows:
            raise DataError(f"{name!r} stands twice", place=f"items, row {number}", remedy="Send an item once.")
        rows[name] = columns
    return rows


def _check(catalogue: Entities, rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Make sure that items fit the catalogue, whether they are in it or not.

    Raises:
        DataError: A column is not one of the catalogue's, or a value is not of its type.
    """
    nothing = Entities(Vocabulary(catalogue.vocabulary.ids[:0]), catalogue.frame[:0], catalogue.roles)
    extended(nothing, [{ITEM_ID: name, **row} for name, row in rows.items()])


def _known(scenario: Scenario, item_ids: Any) -> dict[str, dict[str, Any]]:
    """Return the columns of those items that the catalogue has."""
    items, wanted = scenario.live.engine.data.items, list(item_ids)
    rows = items.vocabulary.rows(wanted)
    frame = items.frame.drop(ITEM_ID)
    return {
        name: {column: value for column, value in frame.row(int(row), named=True).items() if value is not None}
        for name, row in zip(wanted, rows, strict=True)
        if row >= 0
    }
