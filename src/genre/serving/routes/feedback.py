"""`/v1/events`: what users did and were shown comes back, and is on the disk before it is acknowledged."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request
from pydantic import ValidationError

from genre.serving.guard import Refused
from genre.serving.routes.asker import PROBLEMS, Asker, body_of, may
from genre.serving.schemas import MOST_EVENTS, EventsReply, EventsRequest
from genre.serving.service import Service
from genre.serving.stores.events import Event
from genre.serving.stores.intake import PART, Totals

router = APIRouter(prefix="/v1", tags=["events"], responses=PROBLEMS)
Teller = Annotated[Asker, Depends(may("events"))]
_LONGEST_LINE: Final = 1 << 18
"""Bytes of one event as a JSON line."""
_LONG: Final = 1 << 16
"""Bytes of a body that take longer to read than others should wait."""
LINES: Final = "application/x-ndjson"


@router.post(
    "/events",
    openapi_extra=body_of(
        EventsRequest, **{LINES: {"schema": {"type": "string", "description": "An event a line, any number of them"}}}
    ),
)
async def events(request: Request, asker: Teller, scenario: Annotated[str | None, Query()] = None) -> EventsReply:
    """Take events. What is acknowledged is durable, counts once however often it is sent, and changes the next answer.

    JSON lines go into the store part by part as they come; if one is wrong, those before its part are kept, and all can
    be sent again.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind == LINES:
        totals = await _from_lines(request, asker, scenario)
    else:
        body = await _from_json(await request.body(), asker.service)
        found = asker.scenario(body.scenario if body.scenario is not None else scenario)
        totals = await asker.service.append(found, body.events)
    return EventsReply(
        new=totals.new,
        known=totals.known,
        conflicts=totals.conflicts,
        bounded=totals.bounded,
        first_conflicts=totals.first_conflicts,
    )


async def _from_json(sent: bytes, service: Service) -> EventsRequest:
    """Return what stands in a body; a long one is read beside the loop, so that others are answered meanwhile."""
    try:
        if len(sent) > _LONG:
            return await service.lanes.plain.do(lambda: EventsRequest.model_validate_json(sent))
        return EventsRequest.model_validate_json(sent)
    except ValidationError as error:
        if error.error_count() == 1 and error.errors(include_input=False)[0]["type"] == "too_long":
            raise Refused(
                413, "too_long", f"the request has more than {MOST_EVENTS:,} events",
                f"Send fewer at once, or any number as {LINES}, an event a line.", place="events",
            ) from None  # fmt: skip
        raise


async def _from_lines(request: Request, asker: Asker, name: str | None) -> Totals:
    found, totals, number, part = asker.scenario(name), Totals(), 0, list[Event]()
    async for line in _lines(request):
        number += 1
        try:
            part.append(Event.model_validate_json(line))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "the event"
            raise Refused(
                422, "wrong", f"{where}: {first['msg']}",
                "Correct it and send everything again: what is known already does not count twice.",
                place=f"line {number}",
            ) from None  # fmt: skip
        if len(part) == PART:
            totals.merge(await asker.service.append(found, part))
            part = []
    if part:
        totals.merge(await asker.service.append(found, part))
    return totals


async def _lines(request: Request) -> AsyncIterator[bytes]:
    """Yield the lines of a body as it comes, holding one at a time."""
    rest = b""
    async for chunk in request.stream():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield line
        if len(rest) > _LONGEST_LINE:
            raise Refused(413, "too_long", f"a line has more than {_LONGEST_LINE:,} bytes", "Send an event a line.")
    if rest.strip():
        yield rest
