"""What enrichment would take, before anything is asked: prompts, tokens, and cost or time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genre.core.run import Progress
from genre.data.dataset import Dataset
from genre.data.splits import Split
from genre.features.enrich.answers import Answer, ImaginedItems, ItemSummary, UserProfile, schema_of
from genre.features.enrich.config import (
    AnyStage,
    EnrichConfig,
    ImagineConfig,
    ProfileConfig,
    RewriteConfig,
    SummariseConfig,
)
from genre.features.enrich.enrich import check_columns, read_catalogue
from genre.features.enrich.prompts import make_prompt
from genre.features.enrich.rewrite import Rewriter
from genre.features.enrich.subjects import Histories
from genre.features.enrich.writing import Task, cost_of, tokens_of
from genre.features.store import ContentStore
from genre.language.base import Generator, Prompt, Schema

PROBED = 4
"""Prompts that a local generator is tried on."""
COUNTED = 256
"""Prompts whose tokens are counted; the others are taken to be as long on average."""


@dataclass(frozen=True)
class StageEstimate:
    """What one stage would take.

    Of later stages' prompts, what earlier stages have yet to write is not counted; a translation back is reckoned as if
    it read the text itself.
    """

    stage: str
    subjects: int
    """Items or users that a budget's `max_items` allows."""
    to_ask: int
    """Different prompts whose answers are not in the store."""
    prompt_tokens: int
    """Of those to ask."""
    completion_tokens: int
    """At most; most answers are shorter, and some are asked for twice."""
    cost: float | None
    """At most, without second tries; none where no price is stated."""
    seconds: float | None
    """At most, without second tries; none where nothing is known of the speed."""


@dataclass(frozen=True)
class _Stage:
    """A stage before it has asked anything."""

    name: str
    config: AnyStage
    prompts: list[Prompt]
    """Different ones whose answers are not in the store."""
    subjects: int
    schema: Schema | None


def estimate(
    data: Dataset, splits: Sequence[Split], config: EnrichConfig, *, store: ContentStore, progress: Progress
) -> list[StageEstimate]:
    """Say what each stage would take.

    A local generator without a stated `tokens_per_second` is tried on four prompts of the first stage that has any to
    ask. Their answers are kept in the store.

    Raises:
        ConfigError: A table has one of the new columns already.
        DataError: The items have no text.
    """
    check_columns(data, config)
    catalogue = read_catalogue(data.items, config)
    wanted: list[tuple[str, AnyStage, list[Task], type[Answer]]] = []
    if (items := config.stage(SummariseConfig)) is not None:
        wanted.append((items.kind, items, catalogue.tasks(), ItemSummary))
    for place, part in enumerate(splits):
        label = "" if len(splits) == 1 else f", split {place + 1}"
        histories = Histories(catalogue, {}, part.train)
        if (users := config.stage(ProfileConfig)) is not None:
            wanted.append((users.kind + label, users, histories.profile_tasks(users), UserProfile))
        if (cold := config.stage(ImagineConfig)) is not None:
            wanted.append((cold.kind + label, cold, histories.imagine_tasks(cold, {}), ImaginedItems))
    if (again := config.stage(RewriteConfig)) is not None:
        rewriter = Rewriter.of(data.items, splits, config, again)
        wanted += [(step.name, step.config, rewriter.tasks(step, None, {}), step.form) for step in rewriter.steps()]
    if config.method == "keywords":
        return [StageEstimate(name, len(tasks), 0, 0, 0, None, None) for name, _, tasks, _ in wanted]
    generator = config.generator.build()
    stages = [_stage(config, generator, store, *one) for one in wanted]
    rate = config.tokens_per_second
    asking = next((stage for stage in stages if stage.prompts), None)
    if rate is None and config.generator.local and asking is not None:
        rate = _measured_rate(generator, asking, store, progress)
    return [_estimated(stage, config, generator, rate) for stage in stages]


def _stage(
    config: EnrichConfig,
    generator: Generator,
    store: ContentStore,
    name: str,
    stage: AnyStage,
    tasks: Sequence[Task],
    form: type[Answer],
) -> _Stage:
    schema = schema_of(form) if config.constrained else None
    tasks = [task for task in tasks[: config.budget.max_items] if task.refused is None]
    prompts = list(dict.fromkeys(make_prompt(stage.kind, config.language, **task.values) for task in tasks))
    known = store.known_completions(generator, prompts, sampling=stage.sampling, schema=schema)
    missing = [prompt for prompt, found in zip(prompts, known, strict=True) if found is None]
    return _Stage(name, stage, missing, len(tasks), schema)


def _estimated(stage: _Stage, config: EnrichConfig, generator: Generator, rate: float | None) -> StageEstimate:
    to_ask = len(stage.prompts)
    counted = [stage.prompts[at] for at in np.unique(np.linspace(0, to_ask - 1, COUNTED).astype(int))] if to_ask else []
    prompt_tokens = round(sum(tokens_of(generator, prompt) for prompt in counted) / max(len(counted), 1) * to_ask)
    completion_tokens = to_ask * stage.config.sampling.max_tokens
    cost = cost_of(config.price_per_million, prompt_tokens, completion_tokens)
    seconds = None if rate is None and to_ask else completion_tokens / (rate or 1)
    return StageEstimate(stage.name, stage.subjects, to_ask, prompt_tokens, completion_tokens, cost, seconds)


def _measured_rate(generator: Generator, stage: _Stage, store: ContentStore, progress: Progress) -> float:
    """Return the answer tokens per second of a few prompts. Larger batches are quicker."""
    sampling = stage.config.sampling
    generator.generate([Prompt("1")], sampling=sampling.model_copy(update={"max_tokens": 1}))  # Loads the model.
    started = time.perf_counter()
    answers = store.completions(
        generator, stage.prompts[:PROBED], sampling=sampling, schema=stage.schema, progress=progress
    )
    return max(1, sum(answer.completion_tokens for answer in answers)) / (time.perf_counter() - started)
