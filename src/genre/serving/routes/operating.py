"""Versions of models, experiments, health and metrics: for those who run the service."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse

from genre.serving.replies import ExperimentReply, Ready
from genre.serving.routes.asker import PROBLEMS, Asker, may
from genre.serving.scenario import Scenario
from genre.serving.schemas import ExperimentRequest, ModelChange, ModelReply, ModelsReply
from genre.serving.service import Service
from genre.serving.slow import LONGEST
from genre.serving.stores.experiments import Experiment, Experiments
from genre.serving.stores.values import Id

router = APIRouter(tags=["operating"])
Admin = Annotated[Asker, Depends(may("admin"))]
Reader = Annotated[Asker, Depends(may("read"))]
ScenarioName = Annotated[Id | None, Query(description="May be left out where there is one.")]
PAGE = "text/plain; version=0.0.4; charset=utf-8"


@router.get("/v1/models", responses=PROBLEMS)
async def models(asker: Admin, scenario: ScenarioName = None) -> ModelsReply:
    """List the versions of a scenario's model, and what became of each."""
    found = asker.scenario(scenario)
    return await asker.service.lanes.reads.do(lambda: _models(found))


@router.post("/v1/models/{version}", responses=PROBLEMS)
async def change(version: Id, body: ModelChange, asker: Admin) -> ModelsReply:
    """Let a version go live, try it on a share of the users, or reject it.

    It is loaded first, so that no request waits; one that cannot answer changes nothing. To go back, let the version
    that was live before go live again: it is still in memory.
    """
    found = asker.scenario(body.scenario)

    def work() -> ModelsReply:
        found.move(version, body.state, share=body.share, reason=body.reason, actor=asker.caller.key_id)
        return _models(found)

    return await asker.service.lanes.changes.do(work, LONGEST)


@router.get("/v1/experiments", responses=PROBLEMS)
async def experiments(asker: Admin, scenario: ScenarioName = None) -> list[ExperimentReply]:
    """List the experiments of a scenario."""
    found = asker.scenario(scenario)
    store = Experiments(asker.service.database)
    return [_plain(one) for one in await asker.service.lanes.reads.do(lambda: store.all(found.name))]


@router.post("/v1/experiments", responses=PROBLEMS)
async def plan(body: ExperimentRequest, asker: Admin) -> ExperimentReply:
    """Begin an experiment: everybody is in the same arm each time, by a hash of their id. One runs at a time."""
    found, store = asker.scenario(body.scenario), Experiments(asker.service.database)

    def work() -> ExperimentReply:
        begun = store.begin(found.name, body.name, body.arms, actor=asker.caller.key_id)
        found.follow()
        return _plain(begun)

    return await asker.service.lanes.changes.do(work)


@router.post("/v1/experiments/{name}/stop", responses=PROBLEMS)
async def stop(name: Id, asker: Admin, scenario: ScenarioName = None) -> ExperimentReply:
    """End an experiment."""
    found, store = asker.scenario(scenario), Experiments(asker.service.database)

    def work() -> ExperimentReply:
        stopped = store.move(found.name, name, "stopped", actor=asker.caller.key_id)
        found.catch_up()
        return _plain(stopped)

    return await asker.service.lanes.changes.do(work)


@router.get("/health/live", openapi_extra={"security": []})
async def live() -> dict[str, Literal["ok"]]:
    """Say that the process answers."""
    return {"status": "ok"}


@router.get(
    "/health/ready",
    response_model=Ready,
    openapi_extra={"security": []},
    responses={503: {"model": Ready, "description": "It cannot take requests now"}},
)
async def ready(request: Request) -> JSONResponse:
    """Say whether requests can be taken; lists are answered while the database is away, and events are not."""
    service: Service = request.app.state.service
    ending = service.draining or service.leaving
    body: dict[str, Any] = {
        "status": "draining" if ending else "ok",
        "database": "up" if service.database_up else "down",
    }
    if service.is_open:
        # Who has no key need not know what is served.
        body["scenarios"] = {name: scenario.live.name for name, scenario in service.scenarios.items()}
        body["problems"] = sorted({problem for one in service.scenarios.values() for problem in one.problems})
    return JSONResponse(body, status_code=503 if ending else 200)


@router.get(
    "/metrics",
    responses={**PROBLEMS, 200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    response_class=Response,
)
async def metrics(asker: Reader) -> Response:
    """Return what Prometheus reads; it is of all scenarios, so the key must be too."""
    asker.everywhere()
    asker.service.gauges()
    return Response(asker.service.metrics.page(), media_type=PAGE)


def _models(scenario: Scenario) -> ModelsReply:
    loaded = scenario.loaded
    versions = [
        ModelReply(
            version=one.version,
            state=one.state,
            share=one.share,
            reason=one.reason,
            created=one.created,
            changed=one.changed,
            loaded=one.version in loaded,
            problem=scenario.problem_of(one.version),
        )
        for one in scenario.versions()
    ]
    return ModelsReply(scenario=scenario.name, versions=versions)


def _plain(experiment: Experiment) -> ExperimentReply:
    return ExperimentReply(**{name: getattr(experiment, name) for name in ExperimentReply.model_fields})
