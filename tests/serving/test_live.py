"""What happens since a version learned weighs as it will when it is learned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl

from genre.data.appending import appended
from genre.data.feedback import DAY, FeedbackConfig
from genre.recent import Happened
from genre.runs import open_run
from genre.serving.live import LiveVersion
from genre.serving.service import Service


def test_what_comes_late_weighs_less_where_events_fade(films: Path) -> None:
    feedback = FeedbackConfig(half_life=10)
    plain, fading = (LiveVersion("v1", open_run(films), 0, feedback=one) for one in (FeedbackConfig(), feedback))
    data = fading.engine.data
    user, item = str(data.users.vocabulary.ids[0]), str(data.items.vocabulary.ids[3])
    times = [data.end_time - 25 * DAY, data.end_time, data.end_time + 40 * DAY]
    for version in (plain, fading):
        version.happened([(user, Happened(item, time, 1.0, at)) for at, time in enumerate(times, 1)], [1, 2, 3])
    assert [event.weight for event in plain.engine.recent.of(user)] == [1, 1, 1]
    assert [event.weight for event in fading.engine.recent.of(user)] == [0.5**2.5, 1, 1]
    late = pl.DataFrame({"user_id": [user], "item_id": [item], "timestamp": times[:1]})
    longer = appended(data, late, feedback)
    assert longer.data.interactions.weights[longer.new].tolist() == [float(pl.Series([0.5**2.5], dtype=pl.Float32)[0])]


def test_a_served_version_fades_as_its_run_says(serving: Callable[..., Service]) -> None:
    scenario = serving().scenario(None)
    assert scenario.live.feedback == scenario.feedback == FeedbackConfig(like_at=3)
