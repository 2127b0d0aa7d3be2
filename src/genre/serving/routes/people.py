"""`/v1/users`: what is kept of somebody is theirs to have and to have erased."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from genre.serving.replies import UserReply
from genre.serving.routes.asker import PROBLEMS, Asker, may
from genre.serving.schemas import Erased
from genre.serving.stores.values import Id

router = APIRouter(prefix="/v1/users", tags=["users"], responses=PROBLEMS)
Admin = Annotated[Asker, Depends(may("admin"))]
ScenarioName = Annotated[Id | None, Query(description="May be left out where there is one.")]


@router.get("/{user_id:path}", response_model=UserReply)
async def export(user_id: Id, asker: Admin, scenario: ScenarioName = None) -> Response:
    """Return all that is kept of somebody: what the stores have, and the log that the model was made with."""
    found = asker.scenario(scenario)

    def work() -> str:
        stored = asker.service.users.export(found.name, found.stored_id(user_id), actor=asker.caller.key_id)
        log = found.live.engine.log_of(user_id).to_dicts()
        return json.dumps({**stored, "user_id": user_id, "log": log}, ensure_ascii=False, default=str)

    # It writes an entry of the audit log.
    return Response(await asker.service.lanes.changes.do(work), media_type="application/json")


@router.delete("/{user_id:path}")
async def erase(user_id: Id, asker: Admin, scenario: ScenarioName = None) -> Erased:
    """Erase all that is kept of somebody: in the stores, in memory, and in the files that models are made from.

    Stop sending their events first: what comes later is kept again. Models that have learned from many hold no id, and
    learn without this person next time.
    """
    rows, runs = await asker.service.erase(asker.scenario(scenario), user_id, actor=asker.caller.key_id)
    return Erased(rows=rows, runs=runs)
