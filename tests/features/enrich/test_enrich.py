"""The stages together: what they read, what they add, and that nothing but training events is looked at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from genre.core.errors import ConfigError
from genre.core.run import RunContext, Silent
from genre.data.dataset import Dataset
from genre.data.splits import FewShotConfig, LeaveOneOutConfig, Split, SplitConfig, split
from genre.features.enrich.config import EnrichConfig
from genre.features.enrich.enrich import enrich
from genre.features.enrich.estimate import estimate
from genre.features.enrich.nearest import with_events
from genre.features.enrich.result import Enrichment, with_texts
from genre.features.store import ContentStore
from tests.features.enrich.writers import Reader, lines_of

ALL = [{"kind": "summarise"}, {"kind": "profile"}, {"kind": "imagine", "longest_history": 4, "least_similarity": 0.0}]


def parts_of(data: Dataset, config: SplitConfig | None = None) -> list[Split]:
    return split(data, config or LeaveOneOutConfig(cold_items=0.1), RunContext().rng("split"))


def enriched(data: Dataset, parts: list[Split], directory: Path, **settings: Any) -> tuple[Enrichment, Reader]:
    config = EnrichConfig.model_validate({"generator": {"kind": "fake"}, "stages": ALL, **settings})
    reader = Reader()
    store = ContentStore.open(directory)
    return enrich(data, parts, config, store=store, progress=Silent(), generator=reader), reader


@pytest.fixture(scope="module")
def parts(dataset: Dataset) -> list[Split]:
    return parts_of(dataset)


@pytest.fixture(scope="module")
def found(dataset: Dataset, parts: list[Split], tmp_path_factory: pytest.TempPathFactory) -> Enrichment:
    return enriched(dataset, parts, tmp_path_factory.mktemp("store"))[0]


def test_items_and_users_get_their_columns(dataset: Dataset, parts: list[Split], found: Enrichment) -> None:
    after = found.apply_split(parts[0], 0)
    for data in (found.apply(dataset), after.train):
        assert data.items.roles.text == ("title", "better_title", "summary")
        assert data.items.title.equals(dataset.items.title)
        unwritten = data.items.frame.filter(pl.col("summary").is_null())
        assert unwritten["title"].str.starts_with("音乐").all()  # Titles in Chinese come back in Chinese.
        assert len(unwritten) == 10
        assert data.users.roles.text == ("profile",)
        assert data.users.frame.columns == [*dataset.users.frame.columns, "profile"]
    assert found.apply(dataset).interactions is dataset.interactions


def test_who_asks_has_a_profile_too(parts: list[Split], found: Enrichment) -> None:
    after = found.apply_split(parts[0], 0)
    texts = dict(after.train.users.frame.select("user_id", "profile").iter_rows())
    for before, holdout in ((parts[0].validation, after.validation), (parts[0].test, after.test)):
        users = holdout.queries.users
        assert users is not None
        assert before.queries.users is not None
        assert users.drop("profile").equals(before.queries.users)
        assert users["profile"].to_list() == [texts[user] for user in users["user_id"]]
        assert users["profile"].null_count() < len(users)
        assert holdout.targets is before.targets


def test_who_asks_gets_columns_where_nothing_was_known(dataset: Dataset, tmp_path: Path) -> None:
    bare = replace(dataset, users=replace(dataset.users, frame=dataset.users.frame.select("user_id")))
    before = parts_of(bare)
    assert before[0].test.queries.users is None
    result, _ = enriched(bare, before, tmp_path)
    users = result.apply_split(before[0], 0).test.queries.users
    assert users is not None
    assert users.columns == ["user_id", "profile"]


def test_users_of_whom_nothing_is_learned_have_no_profile(dataset: Dataset, tmp_path: Path) -> None:
    before = parts_of(dataset, FewShotConfig(shots=2))
    result, _ = enriched(dataset, before, tmp_path)
    after = result.apply_split(before[0], 0)
    assert after.test.queries.users is not None
    assert after.test.queries.users["profile"].null_count() == len(after.test)


def test_profiles_are_made_of_training_events_alone(dataset: Dataset, parts: list[Split], tmp_path: Path) -> None:
    _, reader = enriched(dataset, parts, tmp_path)
    titles = dataset.items.title
    likes = parts[0].train.interactions.liked().items
    histories = {frozenset(titles.gather(np.unique(likes[row]))) for row in range(len(likes)) if len(likes[row])}
    profiled = [prompt for prompt in reader.asked if "topics" in prompt]
    assert profiled
    for prompt in profiled:
        quoted = [line.partition(":")[0] for line in lines_of(prompt) if " story " in line]
        assert any(set(quoted) <= history for history in histories)
    told = set[str]()
    for prompt in profiled:
        told |= {title for title in titles if f"- {title}:" in prompt}
    cold = set(titles.gather(np.flatnonzero(parts[0].cold_items)))
    assert cold
    assert not told & cold


def test_the_stages_are_chained(dataset: Dataset, parts: list[Split], tmp_path: Path) -> None:
    result, reader = enriched(dataset, parts, tmp_path)
    assert result.items is not None
    assert result.profiles is not None
    summaries = result.items["summary"].to_list()
    profile = [prompt for prompt in reader.asked if "topics" in prompt]
    assert sum(any(summary in prompt for summary in summaries) for prompt in profile) > len(profile) / 2
    imagine = [prompt for prompt in reader.asked if "Invent" in prompt]
    texts = result.profiles[0]["profile"].to_list()
    assert imagine
    assert sum(any(text in prompt for text in texts) for prompt in imagine) > len(imagine) / 2


def test_imagined_items_are_training_events_of_little_weight(parts: list[Split], found: Enrichment) -> None:
    before, after = parts[0], found.apply_split(parts[0], 0)
    assert found.imagined is not None
    events = found.imagined[0].drop_nulls("item_id")
    assert len(events) > 0
    assert events["synthetic"].all()
    assert after.train.num_items == before.train.num_items
    assert after.train.num_events == before.train.num_events + len(events)
    log, old = after.train.interactions, before.train.interactions
    for row in range(len(log)):
        count = len(log.items[row]) - len(old.items[row])
        assert log.items[row][count:].tolist() == old.items[row].tolist()
        added = log.items[row][:count].tolist()
        assert len(set(added)) == count
        assert not set(added) & set(old.items[row].tolist())
        liked = old.weights[old.offsets[row] : old.offsets[row + 1]]
        if count:
            assert len(set(old.liked().items[row].tolist())) <= 4
            assert np.allclose(log.weights[log.offsets[row]], 0.2 * liked[liked > 0].mean())
    assert (np.diff(log.timestamps)[np.diff(log.row_of_event) == 0] >= 0).all()


def test_imagined_items_warm_no_cold_item_and_are_in_no_question(parts: list[Split], found: Enrichment) -> None:
    before, after = parts[0], found.apply_split(parts[0], 0)
    touched = np.bincount(after.train.interactions.item_rows, minlength=after.train.num_items) > 0
    assert not (touched & before.cold_items).any()
    for old, new in ((before.validation, after.validation), (before.test, after.test)):
        assert new.queries.history is old.queries.history
        assert new.targets is old.targets


def test_what_was_written_reads_back(found: Enrichment, parts: list[Split], tmp_path: Path) -> None:
    found.save(tmp_path)
    again = Enrichment.load(tmp_path)
    assert again.account == found.account
    before, after = found.apply_split(parts[0], 0), again.apply_split(parts[0], 0)
    assert after.train.fingerprint() == before.train.fingerprint()
    assert again.imagined is not None
    assert found.imagined is not None
    assert again.imagined[0].equals(found.imagined[0])


def test_stages_that_are_not_wanted_leave_things_as_they_are(
    dataset: Dataset, parts: list[Split], tmp_path: Path
) -> None:
    result, _ = enriched(dataset, parts, tmp_path, stages=[{"kind": "summarise"}], budget={"max_items": 3})
    after = result.apply_split(parts[0], 0)
    assert after.train.items.frame["summary"].drop_nulls().len() == 3
    assert after.train.users is parts[0].train.users
    assert after.test.queries is parts[0].test.queries
    assert after.train.interactions is parts[0].train.interactions


def test_no_column_is_written_over(dataset: Dataset, parts: list[Split], tmp_path: Path) -> None:
    frame = dataset.items.frame.with_columns(summary=pl.lit("mine"))
    taken = replace(dataset, items=replace(dataset.items, frame=frame))
    with pytest.raises(ConfigError, match="has a column 'summary' already"):
        enriched(taken, parts, tmp_path)


def test_without_a_title_the_first_new_text_is_the_title(dataset: Dataset) -> None:
    table = with_texts(dataset.users, pl.DataFrame({"user_id": ["u1"], "profile": ["likes rivers"]}))
    assert table.roles.text == ("profile",)
    assert table.frame["profile"][1] == "likes rivers"
    assert table.frame["profile"].null_count() == len(table) - 1


def test_no_event_is_added_where_nothing_was_imagined(dataset: Dataset, found: Enrichment) -> None:
    assert found.imagined is not None
    assert with_events(dataset, found.imagined[0].clear()).fingerprint() == dataset.fingerprint()


def test_keywords_write_without_a_model(dataset: Dataset, parts: list[Split], tmp_path: Path) -> None:
    result, reader = enriched(dataset, parts, tmp_path, method="keywords", stages=ALL[:2])
    assert reader.asked == []
    assert result.items is not None
    assert result.profiles is not None
    assert len(result.items) == dataset.num_items
    assert result.items["better_title"][0].startswith("comedy story 0")
    assert "comedy" in result.profiles[0]["profile"].str.join(" ")[0]
    assert [stage["method"] for stage in result.account] == ["keywords", "keywords"]
    assert all(stage["prompt_tokens"] == 0 for stage in result.account)


def test_personal_data_is_masked_before_it_leaves_the_machine(dataset: Dataset, tmp_path: Path) -> None:
    mails = pl.Series([f"film {row} by maker{row}@studio.example" for row in range(dataset.num_items)])
    told = replace(dataset, items=replace(dataset.items, frame=dataset.items.frame.with_columns(title=mails)))
    away = {"kind": "endpoint", "model": "a", "base_url": "https://llm.example/v1"}
    result, reader = enriched(told, parts_of(told), tmp_path, generator=away)
    assert not any("@studio" in prompt for prompt in reader.asked)
    assert any("[email]" in prompt for prompt in reader.asked)
    assert result.account[0]["masked"] == dataset.num_items
    _, reader = enriched(told, parts_of(told), tmp_path / "local")
    assert any("@studio" in prompt for prompt in reader.asked)


def test_an_estimate_counts_what_is_missing(dataset: Dataset, parts: list[Split], tmp_path: Path) -> None:
    price = {"prompt": 1.0, "completion": 2.0}
    config = EnrichConfig.model_validate(
        {"generator": {"kind": "fake"}, "stages": ALL, "price_per_million": price, "tokens_per_second": 100}
    )
    store = ContentStore.open(tmp_path)
    first, *_ = estimate(dataset, parts, config, store=store, progress=Silent())
    assert (first.stage, first.subjects, first.to_ask) == ("summarise", 40, 40)
    assert first.completion_tokens == 40 * 256
    assert first.seconds == 40 * 256 / 100
    assert first.cost == pytest.approx((first.prompt_tokens + 2 * first.completion_tokens) / 1e6)
    enrich(dataset, parts, config, store=store, progress=Silent())
    again, *_ = estimate(dataset, parts, config, store=store, progress=Silent())
    assert (again.to_ask, again.cost, again.seconds) == (0, 0.0, 0.0)


def test_a_local_generator_is_tried_to_learn_its_speed(dataset: Dataset, parts: list[Split], tmp_path: Path) -> None:
    config = EnrichConfig.model_validate({"generator": {"kind": "fake"}})
    store = ContentStore.open(tmp_path)
    first, second = estimate(dataset, parts, config, store=store, progress=Silent())
    assert first.seconds is not None
    assert first.seconds > 0
    again, _ = estimate(dataset, parts, config, store=store, progress=Silent())
    assert again.to_ask == first.to_ask - 4  # The answers of the trial were kept.
    assert second.stage == "profile"
