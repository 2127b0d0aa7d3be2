"""`/v1/recommend` and `/v1/similar`."""

from __future__ import annotations

import json
import logging
import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from genre.core.errors import ResourceError
from genre.features.text import Language
from genre.serving.live import Ask, LiveVersion, shaping_of
from genre.serving.routes.asker import PROBLEMS, Asker, body_of, may
from genre.serving.routes.writing import late, patience_of
from genre.serving.scenario import Scenario
from genre.serving.schemas import Question, Recommendation, RecommendRequest, SimilarRequest, Similars
from genre.serving.service import Answer, Service

log = logging.getLogger("genre.serving")
router = APIRouter(prefix="/v1", tags=["answers"], responses=PROBLEMS)
Reader = Annotated[Asker, Depends(may("read"))]


@router.post("/recommend", response_model=Recommendation, openapi_extra=body_of(RecommendRequest))
async def recommend(request: Request, asker: Reader) -> Response:
    """Recommend to somebody, known or not. Always answers: `answered_by` says whether the model did."""
    # Read in one step, which takes a fraction of the framework's own.
    body = RecommendRequest.model_validate_json(await request.body())
    scenario, service = asker.scenario(body.scenario), asker.service
    ask = ask_of(body, scenario)
    begun = time.monotonic()
    answer = await service.recommend(scenario, ask, seconds_of(body, service))
    rows = rows_of(answer)
    if body.reasons is not None and rows:
        left = seconds_of(body, service) - (time.monotonic() - begun)
        await add_reasons(rows, ask, body.reasons, scenario.version(answer.version), service, seconds=left)
    arm = answer.arm
    content = {
        "list_id": answer.list_id,
        "scenario": scenario.name,
        "user_id": body.user_id,
        "version": answer.version,
        "answered_by": answer.answered_by,
        "items": rows,
        "experiment": None if arm is None else arm.experiment,
        "arm": None if arm is None else arm.arm,
    }
    # Written at once: to check our own answer once more would take longer than to make it.
    return Response(json.dumps(content, ensure_ascii=False).encode(), media_type="application/json")


@router.post("/similar")
async def similar(body: SimilarRequest, asker: Reader) -> Similars:
    """Find the items that go best with one, or with words."""
    scenario, service = asker.scenario(body.scenario), asker.service
    version = scenario.live

    def work() -> list[dict[str, Any]]:
        engine = version.engine
        if body.text is not None:
            return engine.similar_to_text(body.text, body.n).to_dicts()
        return engine.similar(str(body.item_id), body.n).to_dicts()

    try:
        items = await service.slow.do(work, patience_of(body, service))
    except TimeoutError:
        raise late(body) from None
    return Similars.model_validate({"scenario": scenario.name, "version": version.name, "items": items})


def ask_of(body: RecommendRequest, scenario: Scenario) -> Ask:
    """Return the question in a request."""
    shaping = shaping_of(scenario.experiment.answer.strategies, body.diversity, body.explore)
    user_id = None if body.user_id is None else scenario.stored_id(body.user_id)
    return Ask(user_id, body.history, body.n, body.exclude, shaping)


def seconds_of(body: Question, service: Service) -> float:
    """Return how long somebody waits."""
    return service.config.deadline if body.deadline_ms is None else body.deadline_ms / 1000


def rows_of(answer: Answer) -> list[dict[str, Any]]:
    """Return the places of a list."""
    return [
        {
            "rank": rank, "item_id": item.item_id, "title": item.title, "score": item.score, "source": item.source,
            "propensity": item.propensity, "reason": None,
        }
        for rank, item in enumerate(answer.items, start=1)
    ]  # fmt: skip


async def add_reasons(
    rows: list[dict[str, Any]],
    ask: Ask,
    language: Language,
    version: LiveVersion,
    service: Service,
    *,
    seconds: float | None = None,
) -> None:
    """Say why, if that is known in time; a list without reasons is better than none.

    Args:
        rows: Places of a list, which get their reasons.
        ask: For whom they are.
        language: Of the reasons.
        version: Has made the list.
        service: Asks it.
        seconds: That are left for them; by default as long as for a text, where the list is shown already.
    """
    ids = [row["item_id"] for row in rows]
    patience = service.config.writing_deadline if seconds is None else seconds
    if patience <= 0:
        return
    try:
        reasons = await service.slow.do(lambda: version.reasons(ask, ids, language), patience)
    except (TimeoutError, ResourceError):
        return
    except Exception:
        log.exception("reasons failed", extra={"version": version.name})
        return
    for row, reason in zip(rows, reasons, strict=True):
        row["reason"] = reason
