"""The texts of a run: what is written about what it recommends, and how good that is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from genre.core.run import RunContext
from genre.data.columns import ITEM_ID, USER_ID
from genre.data.dataset import Dataset
from genre.engine import Engine
from genre.evaluation.personal_fit import personal_fit
from genre.generation.evidence import proven
from genre.generation.facts import FactBook
from genre.generation.faithfulness import faithfulness
from genre.generation.judging import JudgeConfig, Pair, judge_pairs
from genre.generation.kinds import kind_of
from genre.generation.person import Person
from genre.generation.reasons import Reasons
from genre.generation.stage import PersonalFitConfig, TextsConfig

_SHOWN: Final = 3
"""Samples of each measure."""
_FEWEST: Final = 3
"""Likes of those whose texts are measured for personal fit: some are withheld, some must be left."""
_PROPOSED: Final = 20
"""Answers for each person that the items for personal fit are chosen from."""


def write_texts(engine: Engine, wanted: TextsConfig, run: RunContext) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Write what is wanted, and measure what takes more than the texts themselves.

    Args:
        engine: Recommends and writes.
        wanted: What to write, and what to measure.
        run: Seed, store and progress.

    Returns:
        The texts with their references, and as plain values `reasons`, `personal` and `judge`, as far as wanted.
    """
    data = engine.data
    rows = spread(data, wanted.users)
    names = data.users.vocabulary.names(rows).to_list()
    written = _written(engine, wanted, run, users=names, n=wanted.n)
    texts = [text | {"reference": _reference(data, text[ITEM_ID], wanted.references)} for text in written]
    found: dict[str, Any] = {}
    kinds = {name: kind_of(name, wanted.language) for name in wanted.kinds}
    if wanted.reason_draws and any("reason" in kind.inputs for kind in kinds.values()):
        found["reasons"] = _faithful(engine, rows, wanted, run)
    # A profile and a path have no item in common with those of others, nor the facts of one to be judged by.
    about_items = {name: kind for name, kind in kinds.items() if kind.about == "item"}
    personal = [name for name, kind in about_items.items() if "person" in kind.inputs]
    if wanted.personal is not None and personal:
        found["personal"] = _personal(engine, wanted, wanted.personal, personal, run)
    if wanted.judge is not None and about_items:
        own = {kind.name for kind in about_items.values()}
        judged = [text for text in texts if text["kind"] in own]
        found["judge"] = _judged(engine, wanted, wanted.judge, list(about_items), judged, run)
    return texts, _plain(found)


def spread(data: Dataset, count: int, rows: NDArray[np.integer] | None = None) -> NDArray[np.int64]:
    """Return rows of users, of all or of `rows`, spread over those with the shortest to the longest histories."""
    among = np.arange(data.num_users) if rows is None else rows
    by_length = among[np.argsort(data.interactions.lengths[among], kind="stable")]
    picked = np.unique(np.linspace(0, len(by_length) - 1, min(count, len(by_length))).astype(int))
    return np.asarray(by_length[picked], np.int64)


def _written(engine: Engine, wanted: TextsConfig, run: RunContext, **changes: Any) -> list[dict[str, Any]]:
    settings = {"kinds": wanted.kinds, "language": wanted.language, "scenario": wanted.scenario, "config": wanted}
    return engine.write(**{**settings, "without": wanted.references, "progress": run.progress, **changes})


def _reference(data: Dataset, item_id: str | None, column: str | None) -> str | None:
    if column is None or item_id is None:
        return None
    text: str | None = data.items.frame[column][int(data.items.vocabulary.rows([item_id])[0])]
    return text


def _faithful(engine: Engine, rows: NDArray[np.int64], wanted: TextsConfig, run: RunContext) -> dict[str, Any]:
    """Put to the test whether the reasons are those of the model."""
    queries = engine.data.queries(rows)
    answer, candidates = engine.answer(queries, wanted.n), engine.candidates(queries)
    reasons = proven(engine.model, Reasons(engine.data), queries, answer, candidates, wanted.language)
    found = faithfulness(
        engine.model,
        queries,
        answer,
        reasons,
        engine.data.items.vocabulary,
        candidates,
        rng=run.rng("reasons"),
        draws=wanted.reason_draws,
    )
    return asdict(found)


def _personal(
    engine: Engine, wanted: TextsConfig, how: PersonalFitConfig, kinds: Sequence[str], run: RunContext
) -> dict[str, Any]:
    """Write about the same items for people whose newest likes the writer is not shown, and look who is found again."""
    data = engine.data
    ids, liked = data.items.vocabulary.ids, data.interactions.liked()
    rows = spread(data, how.people, np.flatnonzero(liked.lengths >= _FEWEST))
    if not len(rows):
        return {}
    names = data.users.vocabulary.names(rows).to_list()
    histories, later = [], []
    for row in rows:
        kept = min(len(liked.items[row]) - 1, max(1, round(len(liked.items[row]) * (1 - how.withheld))))
        histories.append(ids.gather(liked.items[row][:kept]).to_list())
        later.append(liked.items[row][kept:])
    items = ids.gather(_for_all(engine, names, histories, later, how.items)).to_list()
    book = FactBook(data.items, wanted.language, without=wanted.references)
    withheld = {
        name: [" ".join(filter(None, book[int(item)].lines)) for item in some]
        for name, some in zip(names, later, strict=True)
    }
    # Nobody is shown these, so they are not in the audit log.
    texts = _written(
        engine, wanted, run, users=names, histories=histories, items=items, kinds=kinds,
        config=wanted.model_copy(update={"audit": None}),
    )  # fmt: skip
    found = {}
    for kind in dict.fromkeys(text["kind"] for text in texts):
        own = [text for text in texts if text["kind"] == kind]
        fit = personal_fit(
            [text["text"] for text in own],
            [text[USER_ID] for text in own],
            [text[ITEM_ID] for text in own],
            withheld,
            how.encoder.build(),
            rng=run.rng("personal fit"),
            progress=run.progress,
        )
        same = [text for text in own if text[ITEM_ID] == items[0]][:_SHOWN]
        found[kind] = asdict(fit) | {
            "samples": [{name: text[name] for name in (USER_ID, "title", "text")} for text in same]
        }
    return found


def _for_all(
    engine: Engine,
    names: Sequence[str],
    histories: Sequence[Sequence[str]],
    later: Sequence[NDArray[np.integer]],
    count: int,
) -> NDArray[np.int64]:
    """Return rows of items that are recommended to most of these people, and withheld from none."""
    answers = engine.recommend(names, histories=histories, n=_PROPOSED)
    rows = engine.data.items.vocabulary.rows(answers[ITEM_ID])
    counts = np.bincount(rows, minlength=engine.data.num_items)
    counts[np.concatenate(later)] = -1
    return np.argsort(-counts, kind="stable")[:count]


def _judged(
    engine: Engine,
    wanted: TextsConfig,
    judge: JudgeConfig,
    names: Sequence[str],
    texts: Sequence[Mapping[str, Any]],
    run: RunContext,
) -> dict[str, Any]:
    """Let a language model compare what a language model wrote with what is put together from the facts."""
    plain = wanted.model_copy(update={"generator": None, "moderation": None, "audit": None})
    users = list(dict.fromkeys(text[USER_ID] for text in texts))
    baseline = _written(engine, wanted, run, users=users, n=wanted.n, kinds=names, config=plain)
    other = {(text[USER_ID], text[ITEM_ID], text["kind"]): text["text"] for text in baseline}
    book = FactBook(engine.data.items, wanted.language, without=wanted.references)
    kinds = list(dict.fromkeys(text["kind"] for text in texts))
    found = {}
    for kind in kinds:
        by_model = [text for text in texts if text["kind"] == kind and text["writer"] == "model"]
        share = min(len(by_model), max(1, judge.pairs // len(kinds)))
        own = [by_model[at] for at in np.linspace(0, len(by_model) - 1, share).astype(int).tolist()]
        pairs = [_pair(text, other[text[USER_ID], text[ITEM_ID], kind], engine.data, book) for text in own]
        if pairs:
            verdict = judge_pairs(judge, pairs, wanted.language, run=run, rng=run.rng("judge"))
            samples = [
                {"title": text["title"], "text": pair.first, "other": pair.second, "outcome": outcome}
                for text, pair, outcome in zip(own, pairs, verdict.outcomes, strict=True)
            ]
            found[kind] = asdict(verdict) | {"samples": samples[:_SHOWN]}
    return found


def _pair(text: Mapping[str, Any], other: str, data: Dataset, book: FactBook) -> Pair:
    item, user = (
        int(table.vocabulary.rows([text[name]])[0]) for table, name in ((data.items, ITEM_ID), (data.users, USER_ID))
    )
    person = Person.of(text[USER_ID], data.interactions.liked().items[user], book, but=item)
    facts = ". ".join(filter(None, book[item].lines))
    return Pair(facts, "; ".join(person.liked), text["text"], other)


def _plain(value: Any) -> Any:
    """Return values as JSON knows them: no number is None."""
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
