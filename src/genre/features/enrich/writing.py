"""Asking a generator: never what is known, once more what went wrong, and nothing beyond a budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol

from genre.core.run import Progress, Silent
from genre.features.enrich.account import BUDGET, CUT, FAILED, FORM, UNREADABLE, Drop, StageAccount
from genre.features.enrich.answers import AnswerT, read_answer, schema_of
from genre.features.enrich.checks import Source, problem_of
from genre.features.enrich.config import AnyStage, EnrichConfig, PriceConfig
from genre.features.enrich.prompts import make_prompt, make_repair
from genre.features.store import ContentStore
from genre.language.base import Completion, Generator, Prompt, Sampling

CHAT_FORMAT = 40
"""Tokens that the format of a chat may add to those of a prompt's words."""


@dataclass(frozen=True)
class Task:
    """One item or user to write about."""

    id: str
    source: Source
    values: Mapping[str, Any]
    """What the prompt's template takes."""
    unfit: str | None = None
    """Why it cannot be written about, if so, beside having no words."""
    check: Callable[[Any], tuple[str, str] | None] | None = None
    """What an answer must pass beside what all must: returns as `problem_of` does."""

    @property
    def refused(self) -> str | None:
        """Why nothing is asked of it, if so."""
        return self.unfit or (None if self.source.words else "no words are left that are not orders to a model")


@dataclass(frozen=True)
class Refused:
    """Why a completion is not taken."""

    reason: str
    detail: str
    """What the second prompt says of it."""


@dataclass(frozen=True)
class _Stage(Generic[AnswerT]):
    """What all prompts of a stage share."""

    config: AnyStage
    form: type[AnswerT]
    account: StageAccount


class AnyWriter(Protocol):
    """Writes about tasks, and keeps an account."""

    accounts: list[StageAccount]
    drops: list[Drop]

    def write(
        self, config: AnyStage, tasks: Sequence[Task], form: type[AnswerT], *, name: str, masked: int = 0
    ) -> dict[str, AnswerT]:
        """Return what was written, by the id of the task."""


class Purse:
    """What may still be spent; shared by all stages."""

    def __init__(self, config: EnrichConfig) -> None:
        """Start with nothing spent."""
        self._budget, self._price = config.budget, config.price_per_million
        self._tokens, self._cost = 0, 0.0

    @property
    def bounded(self) -> bool:
        """Whether tokens or cost are bounded."""
        return self._budget.max_tokens_total is not None or self._budget.max_cost is not None

    def spend(self, completion: Completion) -> None:
        """Take what an answer took."""
        self._tokens += completion.prompt_tokens + completion.completion_tokens
        self._cost += cost_of(self._price, completion.prompt_tokens, completion.completion_tokens) or 0.0

    def first_to_forbid(self, prompt_tokens: Sequence[int], most: int) -> tuple[int, str | None]:
        """Return how many of some prompts fit, with answers of `most` tokens, and the setting that forbids the next."""
        tokens, cost = self._tokens, self._cost
        for place, size in enumerate(prompt_tokens):
            tokens += size + most
            cost += cost_of(self._price, size, most) or 0.0
            if self._budget.max_tokens_total is not None and tokens > self._budget.max_tokens_total:
                return place, "budget.max_tokens_total"
            if self._budget.max_cost is not None and cost > self._budget.max_cost:
                return place, "budget.max_cost"
        return len(prompt_tokens), None


class Writer:
    """Writes for one enrichment, stage after stage, and keeps the account."""

    def __init__(
        self, config: EnrichConfig, generator: Generator, store: ContentStore, progress: Progress | None = None
    ) -> None:
        """Nothing is asked yet."""
        self.accounts: list[StageAccount] = []
        self.drops: list[Drop] = []
        self._config, self._generator, self._store = config, generator, store
        self._progress = progress or Silent()
        self._purse = Purse(config)

    def write(
        self, config: AnyStage, tasks: Sequence[Task], form: type[AnswerT], *, name: str, masked: int = 0
    ) -> dict[str, AnswerT]:
        """Return the answers that may be kept, by the id of their task.

        Args:
            config: The stage, whose template is used.
            tasks: What to write about, in the order in which a budget is spent.
            form: What is expected.
            name: What the account calls the stage.
            masked: Pieces of personal data that were masked in the tasks.
        """
        account = StageAccount(name, "llm", len(tasks), masked=masked)
        account.cost = None if self._config.price_per_million is None else 0.0
        self.accounts.append(account)
        started = time.perf_counter()
        stage = _Stage(config, form, account)
        found: dict[str, AnswerT] = {}
        waiting = self._readable(stage, tasks)
        size = self._config.at_once if self._purse.bounded else max(1, len(waiting))
        while waiting:
            room, limit = self._room([prompt for _, prompt in waiting[:size]], config.sampling)
            if room == 0:
                self._stop(account, [task for task, _ in waiting], limit)
                break
            found |= self._answered(stage, waiting[:room])
            waiting = waiting[room:]
        account.accepted, account.seconds = len(found), time.perf_counter() - started
        return found

    def _readable(self, stage: _Stage[AnswerT], tasks: Sequence[Task]) -> list[tuple[Task, Prompt]]:
        """Return what is asked about, with its prompt."""
        most = self._config.budget.max_items
        if most is not None and len(tasks) > most:
            self._stop(stage.account, tasks[most:], "budget.max_items")
            tasks = tasks[:most]
        readable = []
        for task in tasks:
            stage.account.left_out += task.source.left_out
            if task.refused is None:
                readable.append((task, make_prompt(stage.config.kind, self._config.language, **task.values)))
            else:
                self._drop(stage.account, task, UNREADABLE, task.refused)
        return readable

    def _answered(self, stage: _Stage[AnswerT], asked: Sequence[tuple[Task, Prompt]]) -> dict[str, AnswerT]:
        """Ask, and ask once more where the answer cannot be used."""
        found: dict[str, AnswerT] = {}
        again: list[tuple[Task, Prompt, Refused]] = []
        for (task, prompt), answer in zip(asked, self._ask(stage, asked), strict=True):
            if not isinstance(answer, Refused):
                found[task.id] = answer
            elif answer.reason == FAILED:  # The generator has tried more than once already.
                self._drop(stage.account, task, answer.reason, answer.detail)
            else:
                repair = make_repair(stage.config.kind, self._config.language, prompt, answer.detail)
                again.append((task, repair, answer))
        room, limit = self._room([prompt for _, prompt, _ in again], stage.config.sampling)
        if limit is not None:
            stage.account.stopped = limit
        for task, _, before in again[room:]:
            self._drop(stage.account, task, before.reason, f"{before.detail}; no budget is left to ask again")
        repaired = self._ask(stage, [(task, prompt) for task, prompt, _ in again[:room]])
        for (task, _, _), answer in zip(again[:room], repaired, strict=True):
            if isinstance(answer, Refused):
                self._drop(stage.account, task, answer.reason, answer.detail)
            else:
                found[task.id] = answer
                stage.account.repaired += 1
        return found

    def _ask(self, stage: _Stage[AnswerT], asked: Sequence[tuple[Task, Prompt]]) -> list[AnswerT | Refused]:
        prompts, account = list(dict.fromkeys(prompt for _, prompt in asked)), stage.account
        if not prompts:
            return []
        how: dict[str, Any] = {
            "sampling": stage.config.sampling,
            "schema": schema_of(stage.form) if self._config.constrained else None,
        }
        known = sum(found is not None for found in self._store.known_completions(self._generator, prompts, **how))
        account.from_store += known
        account.asked += len(prompts) - known
        completions = self._store.completions(
            self._generator, prompts, **how, at_once=self._config.at_once, progress=self._progress
        )
        for completion in completions:
            self._purse.spend(completion)
            account.prompt_tokens += completion.prompt_tokens
            account.completion_tokens += completion.completion_tokens
        account.cost = cost_of(self._config.price_per_million, account.prompt_tokens, account.completion_tokens)
        by_prompt = dict(zip(prompts, completions, strict=True))
        return [self._judged(by_prompt[prompt], task, stage.form) for task, prompt in asked]

    def _judged(self, completion: Completion, task: Task, form: type[AnswerT]) -> AnswerT | Refused:
        if completion.finish == "error":
            return Refused(FAILED, completion.error or "the generator does not say why")
        answer = read_answer(completion.text, form)
        if isinstance(answer, str):
            reason, detail = (CUT, f"it is too long ({answer})") if completion.finish == "length" else (FORM, answer)
            return Refused(reason, detail)
        problem = problem_of(answer, task.source, self._config.language)
        if problem is None and task.check is not None:
            problem = task.check(answer)
        return answer if problem is None else Refused(*problem)

    def _room(self, prompts: Sequence[Prompt], sampling: Sampling) -> tuple[int, str | None]:
        if not self._purse.bounded:
            return len(prompts), None
        sizes = [tokens_of(self._generator, prompt) for prompt in prompts]
        return self._purse.first_to_forbid(sizes, sampling.max_tokens)

    def _stop(self, account: StageAccount, tasks: Sequence[Task], limit: str | None) -> None:
        account.stopped = limit
        for task in tasks:
            self._drop(account, task, BUDGET, f"stopped by `{limit}`")

    def _drop(self, account: StageAccount, task: Task, reason: str, detail: str) -> None:
        account.dropped[reason] += 1
        self.drops.append(Drop(account.stage, task.id, reason, detail))


def tokens_of(generator: Generator, prompt: Prompt) -> int:
    """Return about how many tokens a prompt takes, rather too many than too few."""
    return sum(generator.count_tokens(message["content"]) for message in prompt.messages) + CHAT_FORMAT


def cost_of(price: PriceConfig | None, prompt_tokens: float, completion_tokens: float) -> float | None:
    """Return what tokens cost, None where no price is stated."""
    if price is None:
        return None
    return (price.prompt * prompt_tokens + price.completion * completion_tokens) / 1e6
