"""`/v1/write`, `/v1/why` and `/v1/chat`: what takes longer than a list."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import asdict
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Depends, Response
from fastapi.responses import StreamingResponse

from genre.conversation.conversation import Reply
from genre.conversation.state import State
from genre.core.errors import GenreError, ResourceError
from genre.generation.kinds import kind_of
from genre.serving.batching import BusyError
from genre.serving.guard import Refused
from genre.serving.live import LiveVersion
from genre.serving.routes.asker import PROBLEMS, Asker, may
from genre.serving.scenario import Scenario
from genre.serving.schemas import ChatReply, ChatRequest, Question, SimilarRequest, Texts, WhyRequest, WriteRequest
from genre.serving.service import Service
from genre.serving.writers import ScenarioWriter

router = APIRouter(prefix="/v1", tags=["texts"], responses=PROBLEMS)
Reader = Annotated[Asker, Depends(may("read"))]
Writer = Annotated[Asker, Depends(may("write"))]
T = TypeVar("T")
_EVENTS: Final = "text/event-stream"


@router.post(
    "/write",
    response_model=Texts,
    responses={200: {"content": {_EVENTS: {"schema": {"type": "string"}}}, "description": "Texts, or one as it comes"}},
)
async def write(body: WriteRequest, asker: Writer) -> Response:
    """Write for somebody about what is recommended, or about given items: nothing that is not in the facts.

    Where `kinds`, `language` or `place` is left out, it is that of the `write` of the scenario's run, if there is one.
    """
    scenario, service = asker.scenario(body.scenario), asker.service
    who, writer = _who(body, scenario), service.writer(scenario)
    body = writer.filled(body)
    version, _ = scenario.answering(who)
    _check_items(body.item_ids or (), version)
    if body.stream:
        told = sentences(body, who, version, writer, service)
        try:
            # What goes wrong before anything is told is an answer like any other.
            first = await anext(told, None)
        except TimeoutError:
            raise late(body) from None
        return StreamingResponse(_events(first, told), media_type=_EVENTS, headers={"cache-control": "no-store"})
    by, texts = await _written(body, who, version, writer, service)
    for text in texts:
        service.metrics.wrote(text["writer"], text["text"] or "")
        text.pop("user_id")
    content = {"scenario": scenario.name, "version": version.name, "written_by": by, "texts": texts}
    return Response(json.dumps(content, ensure_ascii=False, default=str).encode(), media_type="application/json")


@router.post("/why")
async def why(body: WhyRequest, asker: Reader) -> dict[str, Any]:
    """Tell how an item came to be recommended to somebody, or why it was not."""
    scenario, service = asker.scenario(body.scenario), asker.service
    who = _who(body, scenario)
    version, _ = scenario.answering(who)

    def work() -> dict[str, Any]:
        trace = version.engine.why(who, body.item_id, history=body.history, n=body.n, language=body.language)
        return asdict(trace)

    found = await _in_time(work, body, service)
    return {**found, "user_id": body.user_id, "scenario": scenario.name, "version": version.name}


@router.post("/chat")
async def chat(body: ChatRequest, asker: Writer) -> ChatReply:
    """Answer one turn of a conversation about the catalogue; what was said is in `state`, and nowhere else."""
    scenario, service = asker.scenario(body.scenario), asker.service
    who, writer = _who(body, scenario), service.writer(scenario)
    version, _ = scenario.answering(who)
    reply = await replied(writer.filled(body), who, version, writer, service)
    return ChatReply(
        scenario=scenario.name,
        version=version.name,
        text=reply.text,
        items=reply.items.to_dicts(),
        state=reply.state.to_json(),
        writer=reply.writer,
    )


async def replied(
    body: ChatRequest, who: str | None, version: LiveVersion, writer: ScenarioWriter, service: Service
) -> Reply:
    """Return the next turn of a conversation, without the language model where that takes too long.

    Raises:
        BusyError: Too much is going on.
        TimeoutError: It took too long.
        DataError: The state or an item of the history is none.
    """
    state = State() if body.state is None else State.from_json(body.state)

    def work(*, plain: bool) -> Reply:
        conversation = writer.conversation(version, body.place, plain=plain)
        return conversation.turn(state, body.message, user=who, history=body.history)

    try:
        reply = await _in_time(lambda: work(plain=False), body, service, plain=writer.has_model)
    except (TimeoutError, ResourceError) as error:
        if not writer.has_model or isinstance(error, BusyError):
            raise
        # The language model hangs, or all its threads do: patterns and facts can talk without it.
        reply = await _plainly(lambda: work(plain=True), service)
    service.metrics.wrote(reply.writer, reply.text)
    return reply


async def _written(
    body: WriteRequest, who: str | None, version: LiveVersion, writer: ScenarioWriter, service: Service
) -> tuple[str, list[dict[str, Any]]]:
    """Return who wrote, and what; texts from the facts alone where the language model takes too long."""

    def work(*, plain: bool = False) -> list[dict[str, Any]]:
        return _texts(body, who, version, writer, plain=plain)

    try:
        return "service", await _in_time(work, body, service, plain=writer.has_model)
    except (TimeoutError, ResourceError) as error:
        if not writer.has_model or isinstance(error, BusyError):
            raise
        return "facts", await _plainly(lambda: work(plain=True), service)


def _texts(
    body: WriteRequest, who: str | None, version: LiveVersion, writer: ScenarioWriter, *, plain: bool = False
) -> list[dict[str, Any]]:
    return version.engine.write(
        [who or ""],
        histories=_histories(body),
        items=body.item_ids,
        n=body.n,
        kinds=body.kinds,
        language=body.language,
        scenario=body.place,
        question=body.question,
        begin=body.begin,
        config=writer.config,
        generator=None if plain else writer.generator,
    )


async def _events(first: str | None, rest: AsyncGenerator[str, None]) -> AsyncGenerator[bytes, None]:
    """Yield one text sentence by sentence, and how it ended."""
    try:
        async with aclosing(rest):
            if first is not None:
                yield _event("sentence", {"text": first})
            async for sentence in rest:
                yield _event("sentence", {"text": sentence})
    except (TimeoutError, ResourceError):
        yield _event("error", {"problem": "the rest took too long"})
    except GenreError as error:
        yield _event("error", {"problem": str(error)})
    else:
        yield _event("end", {})


async def sentences(
    body: WriteRequest, who: str | None, version: LiveVersion, writer: ScenarioWriter, service: Service
) -> AsyncGenerator[str, None]:
    """Yield one text sentence by sentence; from the facts, where the language model says nothing in time.

    Raises:
        TimeoutError: The rest did not come in time.
        ResourceError: Too much is going on.
        GenreError: The writing failed.
    """
    told, about, begun = list[str](), dict[str, Any](), time.monotonic()
    try:
        async for sentence in _sentences(body, who, version, writer, service, about):
            told.append(sentence)
            yield sentence
        service.metrics.stages.labels("write").observe(time.monotonic() - begun)
    except (TimeoutError, ResourceError):
        if told or not writer.has_model:
            raise
        one = _about_one(body)
        for text in await _plainly(lambda: _texts(one, who, version, writer, plain=True), service):
            if text["text"] is not None:
                told.append(text["text"])
                about["writer"] = text["writer"]
                yield text["text"]
    finally:
        if told:
            service.metrics.wrote(about.get("writer", "template"), "".join(told))


async def _sentences(
    body: WriteRequest,
    who: str | None,
    version: LiveVersion,
    writer: ScenarioWriter,
    service: Service,
    about: dict[str, Any],
) -> AsyncGenerator[str, None]:
    """Yield the sentences that a thread writes; when nobody listens any more, it stops at the next one.

    Raises:
        TimeoutError: The next one did not come in time.
        GenreError: The writing failed.
    """
    loop, queue, gone = asyncio.get_running_loop(), asyncio.Queue[str | None](), threading.Event()

    def work() -> None:
        for sentence in _stream(body, who, version, writer, about):
            if gone.is_set():
                return
            loop.call_soon_threadsafe(queue.put_nowait, sentence)

    future = service.slow.begin(work)
    future.add_done_callback(lambda _: loop.call_soon_threadsafe(queue.put_nowait, None))
    until = loop.time() + patience_of(body, service)
    try:
        while (sentence := await asyncio.wait_for(queue.get(), max(0.0, until - loop.time()))) is not None:
            yield sentence
        future.result()
    finally:
        gone.set()
        service.slow.give_up(future)


def _stream(
    body: WriteRequest, who: str | None, version: LiveVersion, writer: ScenarioWriter, about: dict[str, Any]
) -> Iterator[str]:
    engine, items = version.engine, body.item_ids
    if items is None and kind_of(body.kinds[0], body.language).about == "item":
        best = engine.recommend([who or ""], histories=_histories(body), n=1)
        items = tuple(best["item_id"])
    return engine.stream(
        who,
        items,
        history=body.history,
        n=body.n,
        kind=body.kinds[0],
        language=body.language,
        scenario=body.place,
        question=body.question,
        begin=body.begin,
        config=writer.config,
        generator=writer.generator,
        about=about,
    )


def _about_one(body: WriteRequest) -> WriteRequest:
    """Return what is asked with the first of its items alone: a stream is one text."""
    if kind_of(body.kinds[0], body.language).about != "item":
        return body
    return body.model_copy(update={"n": 1, "item_ids": body.item_ids and body.item_ids[:1]})


def _event(name: str, data: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def _check_items(item_ids: Sequence[str], version: LiveVersion) -> None:
    """Make sure that items are in the catalogue.

    Raises:
        Refused: One is not.
    """
    for item_id, row in zip(item_ids, version.engine.data.items.vocabulary.rows(item_ids), strict=True):
        if row < 0:
            raise Refused(
                404, "no_item", f"there is no item {item_id!r}", "Use ids of the catalogue.", place="item_ids"
            )


def _histories(body: Question) -> list[tuple[str, ...]] | None:
    return None if body.history is None else [body.history]


def _who(body: Question, scenario: Scenario) -> str | None:
    return None if body.user_id is None else scenario.stored_id(body.user_id)


async def _in_time(work: Callable[[], T], body: Question, service: Service, *, plain: bool = False) -> T:
    """Return what the work returns.

    Args:
        work: What takes long.
        body: Says how long.
        service: Does it.
        plain: Whether it can be done without the language model that does it.

    Raises:
        Refused: It took longer than the client allows, and that is all there is.
        TimeoutError: It took longer than the service allows.
    """
    begun = time.monotonic()
    try:
        result = await service.slow.do(work, patience_of(body, service))
    except TimeoutError:
        if plain:
            raise
        raise late(body) from None
    service.metrics.stages.labels("write").observe(time.monotonic() - begun)
    return result


async def _plainly(work: Callable[[], T], service: Service) -> T:
    """Return what the work returns, which needs no language model."""
    begun = time.monotonic()
    result = await service.lanes.plain.do(work)
    service.metrics.stages.labels("write").observe(time.monotonic() - begun)
    return result


def late(body: Question | SimilarRequest) -> Exception:
    """Return what says that it took longer than the client or, where that says nothing, the service allows."""
    if body.deadline_ms is None:
        return TimeoutError()
    return Refused(408, "late", f"it takes longer than {body.deadline_ms} ms", "Allow more time.", place="deadline_ms")


def patience_of(body: Question | SimilarRequest, service: Service) -> float:
    """Return how many seconds somebody waits for what may take longer than a list."""
    return service.config.writing_deadline if body.deadline_ms is None else body.deadline_ms / 1000
