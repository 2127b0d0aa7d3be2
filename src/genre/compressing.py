"""The story of a model made smaller: write the small form, measure it beside the whole one, keep it inside a budget.

`genre compress`. What is past the budget vanishes, and nothing that was there is touched.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from genre._version import __version__
from genre.adaptation.adapted import Adapted, AdaptedConfig
from genre.adaptation.compression import encoders, writers
from genre.adaptation.compression.measuring import (
    BESIDE,
    MANY,
    ONE,
    RUN,
    SIZE,
    WEIGHTS,
    Compared,
    Compression,
    Limits,
    bytes_held,
    bytes_on_disk,
    of_calls,
    of_questions,
    of_two,
)
from genre.adaptation.distil import Distilled, DistilledConfig
from genre.config import BASELINE, Experiment
from genre.config_file import digest_of, read_experiment
from genre.core.errors import ConfigError
from genre.core.files import atomic_directory
from genre.core.run import Progress, RunContext, Silent
from genre.evaluation._measures import WRITING
from genre.evaluation._writing_texts import general_texts
from genre.evaluation.judge import judge_on_validation, time_to_answer, validation_task
from genre.evaluation.ranking import evaluate_ranking
from genre.evaluation.results import Results
from genre.evaluation.writing import WritingConfig
from genre.guarding import limits_of
from genre.language.local import LocalGeneratorConfig
from genre.language.smollm import SmolLmConfig
from genre.pipeline import run as run_experiment
from genre.recommenders.base import Recommender, RecommenderConfig
from genre.recommenders.compact import Compact, CompactConfig
from genre.recommenders.learning_language import LanguageModel
from genre.runs import CONFIG, load_into
from genre.stages import MODELS, Fitted, Prepared, cost_of, make_judge, source_key
from genre.workspace import MANIFEST, Workspace, read_manifest, verify

Method: TypeAlias = Literal["int8", "int4", "prune", "onnx"]
_EMBEDDED: Final = ("smollm2", "minilm")
_TAKES: Final[dict[str, tuple[Method, ...]]] = {
    "a run": ("int8", "onnx"),
    "a language model": ("int8", "int4", "prune"),
    "an encoder": ("int8", "onnx"),
}
_COSTS: Final = (SIZE, WEIGHTS, ONE, MANY)
_TURNS, _TIMED, _N = 15, 256, 10
"""Calls that are timed, queries of those that ask for many, and answers to each."""


@dataclass(frozen=True)
class Wish:
    """What is wanted."""

    method: Method
    limits: tuple[str, ...] = ()
    """Each as `measure=limit`; the usual ones where there are none."""
    out: Path | None = None
    """Where the small form goes; beside the whole one, by default."""
    model: str | None = None
    """Of a run; its choice where it is not given."""
    texts: Path | None = None
    """What a language model shall go on writing like: a .jsonl file with a `text` in each line, or a text file with
    empty lines between texts. Every other one is kept for measuring."""
    layers: int | None = None
    """How many `prune` takes away; 1 by default, and 0 where heads are named."""
    heads: int = 0
    """How many, or how many groups that share keys and values, `prune` takes from each layer that is left."""
    epochs: int = 3
    """How often what is left reads the texts then."""
    writing: WritingConfig = field(default_factory=lambda: WritingConfig())
    """What is measured of writing."""


def compress(target: str, wish: Wish, progress: Progress | None = None) -> Compression:
    """Make a smaller form of a model.

    Args:
        target: A finished run; a directory with a language model or an encoder; or `smollm2` or `minilm`.
        wish: How, and what it may cost.
        progress: Shows how far it has come.

    Raises:
        ArtifactError: The run is not finished, or damaged.
        ConfigError: This cannot be made of that, there is something in the place of the small form, or a limit is none.
        DependencyError: A library is not there.
        ModelError: A graph gives other answers than the model.
    """
    place, run = Path(target).expanduser(), RunContext(progress=progress or Silent())
    kind = _kind_of(target, place)
    if wish.method not in _TAKES[kind]:
        raise ConfigError(
            f"{target!r} is {kind}, which {wish.method!r} is not for",
            place="--method",
            remedy=f"Choose from {', '.join(_TAKES[kind])}.",
        )
    for option, value in (("--layers", wish.layers), ("--heads", wish.heads)):
        if value and wish.method != "prune":
            raise ConfigError(
                f"{wish.method!r} takes none away, and {value} are to go",
                place=option,
                remedy="Leave it out, or take --method prune.",
            )
    out = wish.out or place.with_name(f"{place.name}-{wish.method}")
    if out.exists():
        raise ConfigError("there is something here", place=str(out), remedy="Remove it, or choose another --out.")
    make = {"a run": _of_run, "a language model": _of_writer, "an encoder": _of_encoder}[kind]
    return make(target, wish, out, run)


class _PastBudgetError(Exception):
    """Leaves the block in which the small form is written, so that it vanishes."""


@contextmanager
def _kept_if_inside(out: Path) -> Iterator[Path]:
    """Give a directory to write into, which becomes `out` unless the block ends past the budget."""
    try:
        with atomic_directory(out) as made:
            yield made
    except _PastBudgetError:
        return


def _of_writer(target: str, wish: Wish, out: Path, run: RunContext) -> Compression:
    source: LanguageModel = SmolLmConfig() if target == "smollm2" else LocalGeneratorConfig(model=target)
    limits = _limits(wish, {"bits_per_byte": "+3%"}, (*_COSTS, *WRITING))
    source.check_installed()
    texts = [] if wish.texts is None else [one.text for one in general_texts(wish.texts, ("en", "zh"))]

    method: Any = wish.method
    layers = wish.layers if wish.layers is not None else int(not wish.heads)

    def make(made: Path) -> tuple[list[Compared], dict[str, Any]]:
        told = writers.write_smaller(
            source, method, texts[::2], made, run, layers=layers, heads=wish.heads, epochs=wish.epochs
        )
        return writers.compare_writers(source, made, wish.writing, texts[1::2], run), told

    return _made(target, wish, out, limits, make)


def _of_encoder(target: str, wish: Wish, out: Path, run: RunContext) -> Compression:
    limits = _limits(wish, {encoders.COSINE: -0.01}, (*_COSTS, encoders.COSINE))

    def make(made: Path) -> tuple[list[Compared], dict[str, Any]]:
        for _ in run.progress.track(range(1), "making a graph", 1):
            compared = encoders.export(target, made, int8=wish.method == "int8")
        return compared, {}

    return _made(target, wish, out, limits, make)


def _made(
    target: str,
    wish: Wish,
    out: Path,
    limits: Limits,
    make: Callable[[Path], tuple[list[Compared], dict[str, Any]]],
) -> Compression:
    with _kept_if_inside(out) as made:
        compared, told = make(made)
        found = Compression(target, wish.method, tuple(compared), tuple(limits.breaches(compared)), out, told)
        if found.breaches:
            raise _PastBudgetError
        found.save(made)
    return found


def _limits(wish: Wish, usual: dict[str, str | float], names: Sequence[str]) -> Limits:
    limits = Limits(limits_of(wish.limits) if wish.limits else usual)
    limits.check(names)
    return limits


def _kind_of(target: str, place: Path) -> str:
    if target in _EMBEDDED:
        return "a language model" if target == "smollm2" else "an encoder"
    if (place / MANIFEST).is_file():
        return "a run"
    if (place / "modules.json").is_file():
        return "an encoder"
    if (place / "config.json").is_file() or place.suffix == ".gguf":
        return "a language model"
    raise ConfigError(
        f"there is neither a finished run nor a model at {target!r}",
        place="compress",
        remedy=f"Name a run directory, a directory with a model, or one of {', '.join(_EMBEDDED)}.",
    )


def _of_run(target: str, wish: Wish, out: Path, run: RunContext) -> Compression:
    """Compress a model of a run, and finish a run of its own with it, which judges it and answers everybody."""
    source = Path(target)
    manifest = read_manifest(source)
    verify(source, CONFIG, "data")
    name = wish.model or manifest["chosen"]
    experiment = read_experiment(source / CONFIG)
    _check_kind(experiment, name, str(source))
    limits = _limits(wish, {experiment.evaluation.primary: "-1%"}, (*_COSTS, experiment.evaluation.primary))
    models: dict[str, Recommender] = {}
    load_into(models, experiment, source, name)
    whole = _what_answers(models[name], experiment, name, str(source))
    small = _with_form(experiment, name, whole.config, wish, out)
    prepared = Prepared.load(source / "data")
    compact = Compact(small.models[name], whole.source).taken(whole)
    key = {"config": digest_of(small), "data": source_key(small), "genre": __version__}
    work = Workspace(out, key)
    try:
        _fill(work, source, small, name, Fitted(compact, **cost_of(source / MODELS / name)), prepared)
        again = Fitted.load(work.directory / MODELS / name, type(small.models[name]), {}).model
        compared = _compare_models(whole, again, prepared, experiment, run)
        sizes = (bytes_on_disk(place / MODELS / name) for place in (source, work.directory))
        compared = [of_two(SIZE, sizes), *compared]
        told: dict[str, Any] = {} if whole is models[name] else {"made_of": models[name].config.model_dump(mode="json")}
        doubts = tuple(limits.doubts(compared))
        found = Compression(name, wish.method, tuple(compared), tuple(limits.breaches(compared)), out, told, doubts)
        if found.breaches:
            return found
        told |= {RUN: source.name, BESIDE: _beside(source, name, whole, prepared, experiment, run)}
        found = replace(found, told=told)
        found.save(work.directory)
        run_experiment(small, out.parent, progress=run.progress)
    finally:
        shutil.rmtree(work.directory, ignore_errors=True)
    return found


def _check_kind(experiment: Experiment, name: str, place: str) -> None:
    """Make sure that there is such a model, of a kind that can be compressed."""
    if name not in experiment.models:
        raise ConfigError(f"the run has no model {name!r}", place=place, remedy="Name one with --model.")
    if not _can_be_compressed(experiment.models[name]):
        raise _cannot_be_compressed(experiment, name, place)


def _can_be_compressed(config: RecommenderConfig) -> bool:
    """Return whether it can, by its settings; of one that was moved, only what was moved tells."""
    config = config.student if isinstance(config, DistilledConfig) else config
    return isinstance(config, AdaptedConfig) or (isinstance(config, CompactConfig) and config.form == "torch")


def _cannot_be_compressed(experiment: Experiment, name: str, place: str) -> ConfigError:
    able = [one for one, other in experiment.models.items() if one != name and _can_be_compressed(other)]
    return ConfigError(
        f"the model {name!r} of kind {experiment.models[name].kind!r} cannot be compressed",
        place=place,
        remedy=f"Name one with --model: {', '.join(able)}."
        if able
        else "Those that can: sasrec and two_tower, also as the student of a distilled one, or moved.",
    )


def _what_answers(model: Any, experiment: Experiment, name: str, place: str) -> Any:
    """Return the model itself, or what answers in one that was taught or moved: a student needs no teacher any more."""
    if isinstance(model, Distilled):
        return model.student
    if not isinstance(model, Adapted):
        return model
    moved: Any = model.model
    if not isinstance(moved.config, CompactConfig):
        raise _cannot_be_compressed(experiment, name, place)
    if moved.elsewhere is not None:
        raise ConfigError(
            f"the model {name!r} answers people by what they liked in the source, which a small form does not hold",
            place=place,
            remedy="Move it with `same_users: false`, or let it teach a `distilled`, and compress that.",
        )
    return moved


def _with_form(experiment: Experiment, name: str, config: CompactConfig, wish: Wish, out: Path) -> Experiment:
    """Return the experiment of one model in another form, with what stands in where it has no answer."""
    small = config.model_copy(update={"form": wish.method})
    small.check_installed()
    kept = {one for one in experiment.fitting_order(experiment.answer.fallback) if one != name} | {BASELINE}
    models = {one: experiment.models[one] for one in experiment.models if one in kept} | {name: small}
    changes = {
        "name": out.name,
        "models": models,
        "seeds": experiment.seeds[:1],
        "answer": experiment.answer.model_copy(update={"model": name, "budget": None}),
        "write": None,
        "few_users": None,
        "teach": None,
        "tune": None,
    }
    return experiment.model_copy(update=changes)


def _fill(work: Workspace, source: Path, small: Experiment, name: str, fitted: Fitted, prepared: Prepared) -> None:
    """Put data and models where a run that was interrupted after fitting has them."""
    first = replace(prepared, splits=prepared.splits[:1])
    work.stage("data", lambda: first, save=Prepared.save, load=Prepared.load)
    for other in small.models:
        if other != name and (source / MODELS / other).exists():
            shutil.copytree(source / MODELS / other, work.directory / MODELS / other)
    with atomic_directory(work.directory / MODELS / name) as directory:
        fitted.save(directory)


def _compare_models(
    whole: Recommender, small: Recommender, prepared: Prepared, experiment: Experiment, run: RunContext
) -> list[Compared]:
    part, evaluation = prepared.splits[0], experiment.evaluation
    task = validation_task(part, evaluation, RunContext(seed=experiment.seeds[0]))
    queries = task.holdout.queries
    rows = run.rng("timed").permutation(len(queries))[:_TIMED]
    one, many = queries.take(rows[:1]), queries.take(rows)

    def asked(model: Recommender, some: Any) -> Callable[[], object]:
        return lambda: model.recommend(some, _N)

    found = [of_two(WEIGHTS, map(bytes_held, (whole, small)))]
    for name, some in ((ONE, one), (MANY, many)):
        found.append(of_calls(name, asked(whole, some), asked(small, some), turns=_TURNS, per=len(some)))
    before, after = (
        judge_on_validation(model, task, (), run.progress).per_query[evaluation.primary] for model in (whole, small)
    )
    rng = np.random.default_rng(experiment.seeds[0])
    return [*found, of_questions(evaluation.primary, before, after, rng)]


def _beside(
    source: Path, name: str, whole: Recommender, prepared: Prepared, experiment: Experiment, run: RunContext
) -> dict[str, Any]:
    """Return what the report shows beside the small form.

    That is the whole one, measured now as the small one is in its run, and the other models of the run that it is of,
    its teacher perhaps among them, as that run measured them.
    """
    judge, primary = make_judge(experiment, prepared, 0), experiment.evaluation.primary
    test = evaluate_ranking(whole, judge.test, run.progress, beyond=False).per_query[primary]
    others = {
        other: {"accuracy": found.test[primary].mean, "answer": found.seconds.get("answer")}
        for other, found in Results.load(source).models.items()
        if other != name
    }
    own = {"accuracy": float(test.mean()) if len(test) else None, "answer": time_to_answer(whole, judge.test)}
    return {"run": experiment.name, "model": name, "metric": primary, "whole": own, "others": others}
