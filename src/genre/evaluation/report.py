"""The report of a finished run: one HTML file that needs nothing else, to be read, printed and sent.

Plots come first, tables beside them. Nothing is loaded from anywhere, and without JavaScript only sorting is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from genre.evaluation._classified import classifiers, validities
from genre.evaluation._frontier import frontiers as frontiers
from genre.evaluation._labels import duration
from genre.evaluation._matrix import matrix
from genre.evaluation._measures import Measure, measure, number, percent, size
from genre.evaluation._moved import few_users as view_of_few_users
from genre.evaluation._moved import moved
from genre.evaluation._pictures import calibration, gaps, overview, slices
from genre.evaluation._taught import lessons
from genre.evaluation._texts import view_of_texts
from genre.evaluation._view import headline, leaderboard, lengths, read_models
from genre.evaluation._view import measured as columns_of
from genre.evaluation.results import Intervals
from genre.features.enrich.account import in_words
from genre.metrics.ranking import METRICS

if TYPE_CHECKING:
    from jinja2 import Template

TEMPLATE: Final = "report.html.j2"
NUM_EXAMPLES: Final = 12
"""People whose recommendations are shown."""
BEYOND: Final = ("coverage", "novelty", "diversity", "serendipity", "gini", "popularity_lift", "entropy", "reachable")
CLICKS: Final = ("auc", "gauc", "log_loss", "calibration_error")


def render_report(
    *,
    title: str,
    config_yaml: str,
    manifest: Mapping[str, Any],
    account: Mapping[str, Any],
    reading: Sequence[Mapping[str, Any]],
    accounts: Mapping[str, Mapping[str, Any]],
    plan: Sequence[Mapping[str, Any]],
    results: Mapping[str, Any],
    examples: Sequence[Mapping[str, Any]],
    texts: Sequence[Mapping[str, Any]],
    measured: Mapping[str, Any],
    few_users: Mapping[str, Any],
    beside: Mapping[str, Any],
    notice: str | None,
) -> str:
    """Return the report as HTML.

    Args:
        title: Name of the experiment.
        config_yaml: Its resolved config.
        manifest: What the run says of itself: genre, python, libraries, finished, key, and the rest.
        account: What happened to the data: sizes before and after, cleaning, privacy, queries, fingerprint.
        reading: For each encoder that read the items: its key, the models that asked for it, how many items, how many
            of them with a text, seconds.
        accounts: For each model that tells how it came about, by its name, what it tells.
        plan: For each model: name, kind, memory, seconds, and why it was skipped or None.
        results: The content of `metrics.json`; see `genre.evaluation.results`.
        examples: Rows of answers: user_id, history (titles, newest last), rank, item_id, title, score, source, reason.
        texts: What was written: user_id, item_id, title, kind, language, text, writer, provenance.
        measured: What was found out about the texts by more than reading them; see `genre.texts.write_texts`.
        few_users: What models are worth with the events of some users; see `genre.few_users`.
        beside: What a compressed model is shown beside; see `genre.compressing`.
        notice: A sentence that must stand above all results, or None.
    """
    primary = results["primary"]
    models = read_models(results, plan)
    tests, beyond, clicks = ([getattr(model, part) for model in models] for part in ("test", "beyond", "clicks"))
    ranking = [f"{name}@{k}" for k in lengths(models) for name in METRICS]
    return _template().render(
        title=title,
        notice=notice,
        config_yaml=config_yaml,
        manifest=manifest,
        account=account,
        reading=reading,
        frontiers=frontiers(accounts),
        matrix=matrix(accounts, results, few_users, title),
        moved=moved(accounts),
        few_users=view_of_few_users(few_users),
        classifiers=classifiers(accounts),
        validities=validities(accounts),
        lessons=lessons(accounts),
        protocol=results["protocol"],
        models=models,
        skipped=[planned for planned in plan if planned["skipped"]],
        headline=headline(models, primary),
        pictures=overview(models, results, beside),
        board=leaderboard(models, primary),
        every_metric=columns_of(ranking, tests),
        beyond=columns_of(BEYOND, beyond),
        slices=slices(models, primary),
        gaps=gaps(models),
        clicks=columns_of(CLICKS, clicks),
        calibration=calibration(models),
        meanings={
            "ranking": _meanings([f"{name}@{primary.partition('@')[2]}" for name in METRICS], tests),
            "beyond": _meanings(BEYOND, beyond),
            "clicks": _meanings(CLICKS, clicks),
        },
        examples=_examples(examples),
        written=view_of_texts(texts, measured) if texts else None,
    )


@cache
def _template() -> Template:
    """Return the page to be filled, read and compiled once."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "duration": duration, "size": size, "percent": percent, "plain": _plain}
    environment.filters["enrichment"] = in_words
    return environment.get_template(TEMPLATE)


def _meanings(names: Iterable[str], of_models: Sequence[Intervals]) -> list[Measure]:
    """Return the measures that any model has."""
    return [measure(name) for name in names if any(name in values for values in of_models)]


@dataclass(frozen=True)
class Example:
    """What one person liked, and what is recommended."""

    user_id: str
    history: tuple[str, ...]
    """Titles, newest first."""
    answers: tuple[Mapping[str, Any], ...]


def _examples(rows: Sequence[Mapping[str, Any]]) -> list[Example]:
    of_user: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        of_user.setdefault(row["user_id"], []).append(row)
    return [
        Example(user_id, tuple(reversed(answers[0]["history"])), tuple(sorted(answers, key=lambda row: row["rank"])))
        for user_id, answers in list(of_user.items())[:NUM_EXAMPLES]
    ]


def _plain(value: Any) -> str:
    """Return any plain value in words: lists with commas, numbers with thousands, names without underscores."""
    if isinstance(value, Mapping):
        return "; ".join(f"{str(name).replace('_', ' ')}: {_plain(part)}" for name, part in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value)) or "none"
    if isinstance(value, bool) or value is None:
        return {None: "none", True: "yes", False: "no"}[value]
    return f"{value:,}" if isinstance(value, int) else str(value)
