"""Summaries and profiles without a language model: sentences and keywords taken from the texts themselves."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from genre.core.run import Progress
from genre.features.enrich.account import UNREADABLE, Drop, StageAccount
from genre.features.enrich.answers import AnswerT, ItemSummary
from genre.features.enrich.config import AnyStage
from genre.features.enrich.writing import Task
from genre.features.keywords import keywords, summary_of
from genre.features.text import Language

_TITLE_KEYWORDS, _KEYWORDS, _TOPICS = 3, 8, 5
_SHORT = 30
"""Characters below which a text is read with its title."""
_LONGEST_TITLE, _LONGEST_SUMMARY, _LONGEST_WORDS = 100, 300, 40
"""Characters, those that a language model may use too."""


class KeywordWriter:
    """Writes as a `Writer` does, with what the texts hold.

    - A better title is the title with the three keywords of the text that it does not name.
    - A summary is the sentences that hold most keywords.
    - A profile has the most frequent labels of a history for topics, and the keywords of its lines.

    Each text is read in its own language: nothing is translated.
    """

    def __init__(self, language: Language, progress: Progress) -> None:
        """Nothing is written yet."""
        self.accounts: list[StageAccount] = []
        self.drops: list[Drop] = []
        self._language, self._progress = language, progress

    def write(
        self, config: AnyStage, tasks: Sequence[Task], form: type[AnswerT], *, name: str, masked: int = 0
    ) -> dict[str, AnswerT]:
        """Return what was found, by the id of the task."""
        account = StageAccount(name, "keywords", len(tasks), masked=masked)
        self.accounts.append(account)
        started = time.perf_counter()
        found: dict[str, AnswerT] = {}
        for task in self._progress.track(tasks, f"{name}: keywords of {len(tasks)} texts", len(tasks)):
            account.left_out += task.source.left_out
            text = task.source.text
            if len(text) < _SHORT:
                text = ". ".join(part for part in (task.source.title, text) if part)
            (best,) = keywords([text], n=_KEYWORDS)
            parts = self._summary(task, text, best) if form is ItemSummary else _profile(task, best)
            answer = _answer(form, parts)
            if answer is None:
                account.dropped[UNREADABLE] += 1
                self.drops.append(Drop(name, task.id, UNREADABLE, "the text holds too little"))
            else:
                found[task.id] = answer
        account.accepted, account.seconds = len(found), time.perf_counter() - started
        return found

    def _summary(self, task: Task, text: str, best: Sequence[str]) -> dict[str, Any]:
        title = task.source.title or task.source.text
        new = [word for word in best if word.casefold() not in title.casefold()][:_TITLE_KEYWORDS]
        comma, opening = (", ", ": ") if self._language == "en" else ("、", "：")
        longer = opening.join(part for part in (title, comma.join(new)) if part)
        return {"title": longer[:_LONGEST_TITLE], "summary": summary_of(text, max_chars=_LONGEST_SUMMARY)}


def _profile(task: Task, best: Sequence[str]) -> dict[str, Any]:
    topics, words = ([part[:_LONGEST_WORDS] for part in parts] for parts in (task.source.labels[:_TOPICS], best))
    return {"topics": topics, "keywords": words}


def _answer(form: type[AnswerT], parts: dict[str, Any]) -> AnswerT | None:
    try:
        return form.model_validate(parts)
    except ValidationError:
        return None
