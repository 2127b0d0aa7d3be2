"""The story of a move: a model of a run goes to work on another scenario, beside one that begins anew there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

import polars as pl

from genre import pipeline
from genre.adaptation.adapted import CONFIGS, AdaptedConfig, can_be_moved
from genre.adaptation.distil import DistilledConfig
from genre.adaptation.origin import Inner
from genre.config import Experiment
from genre.config_file import parse, read_experiment
from genre.core.errors import ConfigError, DataError
from genre.core.run import Progress, RunContext
from genre.data.build import build_dataset
from genre.data.columns import ITEM_ID, TIMESTAMP, USER_ID
from genre.data.readers import FilesConfig
from genre.data.readers.files import load_files, read_items
from genre.data.tables import Tables
from genre.engine import Engine
from genre.evaluation.few_users import FewUsersConfig
from genre.features.text import TextConfig
from genre.features.vectors import VectorsConfig
from genre.language.local import LocalGeneratorConfig
from genre.language.smollm import SmolLmConfig
from genre.language.tuning import TuningConfig
from genre.recommenders.base import RecommenderConfig
from genre.recommenders.learning_language import LanguageModel
from genre.recommenders.llm_ranker import LlmRankerConfig
from genre.recommenders.llm_sequential import LlmSequentialConfig
from genre.recommenders.sasrec import ItemTextConfig, SasrecConfig
from genre.recommenders.two_tower import TwoTowerConfig
from genre.runs import CONFIG
from genre.workspace import read_manifest

METHODS: Final[Mapping[str, Mapping[str, Any]]] = {
    "zero_shot": {"learn": "nothing", "align": False},
    "finetune": {"learn": "all", "align": False},
    "domain": {"learn": "all", "align": True},
}
"""How a model is moved: as it is; learning on; learning on, once the texts are spread as the source's are and, where it
is a language model, read."""
PROMPT, WITH_EXAMPLES = "prompt", "prompt_examples"
"""Nothing is moved into a language model that is only asked, without and with examples of the target."""
DISTILL, ALONE = "distill", "student_from_scratch"
"""A small model that the moved one teaches, and the same with the log alone."""
CHOICES: Final = (*METHODS, PROMPT, DISTILL)
Student: TypeAlias = Literal["sasrec", "two_tower", "llm_sequential"]
STUDENTS: Final[tuple[Student, ...]] = get_args(Student)
SCRATCH: Final = "from_scratch"
_ZERO_SHOT: Final = "zero_shot"
_TEACHERS: Final = ("domain", "finetune")
"""Moved models that have learned on, the best first."""
_SMALL: Final = 1 << 16
"""Bytes above which a log is not read twice to see whether it holds anything."""
_SIZE: Final = 64
"""Numbers of an item's vector in a student."""
_EXAMPLES: Final = 4
"""People that a language model is told of: two whom the title suits and two whom it does not."""


def adapt(
    source: Path,
    target: Experiment,
    runs: Path,
    *,
    methods: Sequence[str] = ("finetune",),
    model: str | None = None,
    base: str | None = None,
    student: Student | None = None,
    unlabelled: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Run an experiment with a model moved to it in one way or several, and return the run's directory.

    Beside the moved ones stands the same model fitted anew, and all of them with the events of few users: at the
    shares that `few_users` of the target says, where it says any, and with the models that it names.

    Args:
        source: A finished run, or the config of one, which is run if need be.
        target: The other scenario.
        runs: Where runs are kept.
        methods: Of `CHOICES`: each makes a model of its name. `prompt` makes two, which put in order what the moved
            model finds with `zero_shot`; `distill` makes a student beside the same without a teacher, and the teacher
            is the model moved with `domain` or else `finetune`. What these need is made too.
        model: Of the source; its best one that can be moved, where none is named.
        base: The language model that `prompt` asks, and that a student `llm_sequential` learns in, a directory or a
            name on the hub. Where none is named, that of the source's model if it is one, or else the one that comes
            with Genre.
        student: The kind of model that `distill` teaches; where none is named, `sasrec`, or `two_tower` where the
            source's is a `sasrec` itself.
        unlabelled: A file of further histories of the target, of which nobody knows how they go on; the teacher of
            `distill` is asked about them, too.
        settings: Further ones of all models that are moved, as of `adapted`: `keep`, `rehearse`, `budget`, `layers`.
        progress: Shows how far it has come.

    Raises:
        ArtifactError: There is no finished run.
        ConfigError: No model of the source can be moved, there is no such method, a name is taken, a setting is wrong,
            or there are unlabelled histories and nobody is taught.
        DataError: The target's log holds no event.
    """
    for method in methods:
        if method not in CHOICES:
            raise ConfigError(
                f"there is no method {method!r}", place="adapt", remedy=f"Choose from {', '.join(CHOICES)}."
            )
    if unlabelled is not None and DISTILL not in methods:
        raise ConfigError(
            f"a teacher would be asked about {str(unlabelled)!r}, and there is none",
            place="adapt.unlabelled",
            remedy="Add the method `distill`, or leave it out.",
        )
    parse(AdaptedConfig, {"source": source, "model": model or "", **(settings or {})}, "adapt")
    _check_events(target)
    where = pipeline.run(read_experiment(source), runs, progress=progress) if source.suffix in CONFIGS else source
    name = model or movable(where)
    how: dict[str, Any] = {"base": base, "student": student, "unlabelled": unlabelled, "settings": settings}
    found = moving(where, name, target, methods, **how)
    return pipeline.run(found, runs, progress=progress)


def without_events(source: Path, items: Path, *, model: str | None = None, align: bool = False) -> Engine:
    """Return what answers where there is a catalogue and no event yet: a model of a run as it is, as `zero_shot`.

    It is asked about histories of visitors: nobody is known by an id.

    Args:
        source: A finished run.
        items: A file with the catalogue of the other scenario, whose items have texts.
        model: Of the source; its best one that can be moved, where none is named.
        align: Whether texts are first spread, as a whole, as the source's are, as with `domain`.

    Raises:
        ArtifactError: There is no finished run, or no such model in it.
        ConfigError: No model of the source can be moved.
        DataError: The file cannot be read, or none of the items has a text.
    """
    log = pl.DataFrame(schema={USER_ID: pl.String, ITEM_ID: pl.String, TIMESTAMP: pl.Int64})
    data = build_dataset(Tables(log, read_items(items)))
    config = AdaptedConfig(source=source, model=model or movable(source), learn="nothing", align=align)
    return Engine(data, config.build({}).fit(data, RunContext()))


def _check_events(target: Experiment) -> None:
    """Make sure that a target of files has an event; only small files can have none."""
    if not isinstance(target.data, FilesConfig):
        return
    paths = target.data.paths("interactions")
    if any(not path.is_file() or path.stat().st_size > _SMALL for path in paths):
        return
    parts = load_files(target.data).parts["interactions"]
    if parts and all(part.frame.is_empty() for part in parts):
        raise DataError(
            "the log holds no event, and what a run makes it also measures",
            place=str(paths[0]),
            remedy="`zero_shot`, and the alignment of `domain`, need no event: until there are some, "
            "`genre.adapt.without_events(SOURCE_RUN, ITEMS_FILE)` answers by the texts of the catalogue. `distill` "
            "learns from `--unlabelled` histories, as soon as a few events can judge it.",
        )


def moving(
    source: Path,
    model: str,
    target: Experiment,
    methods: Sequence[str],
    *,
    base: str | None = None,
    student: Student | None = None,
    unlabelled: Path | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Experiment:
    """Return the target's experiment with a model of a finished run moved to it; see `adapt`.

    Raises:
        ArtifactError: There is no such run, or no such model in it.
        ConfigError: The model cannot be moved, a name is taken, or a setting is wrong.
    """
    chosen = {"source": source, "model": model, **(settings or {})}
    parse(AdaptedConfig, chosen, "adapt").inner()
    inner = AdaptedConfig(source=source, model=model).inner()
    teacher = next((name for name in _TEACHERS if name in methods), _TEACHERS[0])
    needed = [*[_ZERO_SHOT] * (PROMPT in methods), *[teacher] * (DISTILL in methods)]
    more: dict[str, RecommenderConfig] = {SCRATCH: inner}
    for method in (*needed, *methods):
        if method in METHODS:
            more[method] = AdaptedConfig(**{**reading(method, inner), **chosen, **METHODS[method]})
    own = inner.base if isinstance(inner, LlmSequentialConfig) else SmolLmConfig()
    language = own if base is None else LocalGeneratorConfig(model=base)
    if PROMPT in methods:
        more |= prompts(target, language)
    if DISTILL in methods:
        more |= taught(teacher, inner, student, language, unlabelled)
    if taken := sorted(set(more) & set(target.models)):
        raise ConfigError(
            f"the target has a model {taken[0]!r} already", place="models", remedy="Give it another name there."
        )
    few = FewUsersConfig(models=tuple(more))
    if target.few_users is not None:
        few = target.few_users.model_copy(update={"models": (*more, *target.few_users.models)})
    models = {**target.models, **more}
    return Experiment.model_validate({**dict(target), "models": models, "few_users": few})


def reading(method: str, source: Inner) -> dict[str, int]:
    """Return how long a language model reads the target's catalogue first: for `domain`, where enough of it learns."""
    if (
        method != "domain"
        or not isinstance(source, LlmSequentialConfig)
        or source.tuning.method in ("frozen", "prefix")
    ):
        return {}
    return {"read_first": max(1, source.read_first)}


def prompts(target: Experiment, base: LanguageModel) -> dict[str, RecommenderConfig]:
    """Return language models that are asked and learn nothing: without examples, and with some of the training log.

    They put in order what the moved model finds without learning, so that nothing is needed but the texts.

    Args:
        target: They are asked in the language of its reasons.
        base: What is asked.
    """
    plain = LlmRankerConfig(
        retriever=_ZERO_SHOT,
        base=base,
        tuning=TuningConfig(method="frozen"),
        language=target.answer.reasons or "en",
        text=TextConfig(language=target.answer.reasons or "en"),
    )
    return {PROMPT: plain, WITH_EXAMPLES: plain.model_copy(update={"examples": _EXAMPLES})}


def taught(
    teacher: str, source: Inner, kind: Student | None, language: LanguageModel, unlabelled: Path | None = None
) -> dict[str, RecommenderConfig]:
    """Return a small model that another teaches, and the same with the log alone.

    It reads the texts as the source does, so that it knows new items too, and is trained as the source is, unless one
    of them is a language model.

    Args:
        teacher: By its name.
        source: Settings of the source's model.
        kind: Of the student; another than the source's where none is named.
        language: What a student that is a language model learns in.
        unlabelled: Histories that the teacher is asked about beside those of the log.

    Raises:
        ConfigError: There is no such kind.
    """
    kind = kind or ("two_tower" if isinstance(source, SasrecConfig) else "sasrec")
    if kind not in STUDENTS:
        raise ConfigError(f"there is no student {kind!r}", place="adapt", remedy=f"Choose from {', '.join(STUDENTS)}.")
    vectors = source.reads or VectorsConfig()
    how: dict[str, Any] = {"embedding_size": _SIZE}
    if not isinstance(source, LlmSequentialConfig) and kind != "llm_sequential":
        how["training"] = source.training
    student: Inner
    if kind == "sasrec":
        student = SasrecConfig(text=ItemTextConfig(vectors=vectors), num_blocks=1, **how)
    elif kind == "two_tower":
        student = TwoTowerConfig(vectors=vectors, **how)
    else:
        student = LlmSequentialConfig(base=language, vectors=vectors, **how)
    more = None if unlabelled is None else FilesConfig(interactions=unlabelled)
    return {DISTILL: DistilledConfig(teacher=teacher, student=student, unlabelled=more), ALONE: student}


def movable(run: Path) -> str:
    """Return the best model of a run that can be moved.

    Raises:
        ArtifactError: There is no finished run.
        ConfigError: None can.
    """
    ranking: list[str] = read_manifest(run)["ranking"]
    models = read_experiment(run / CONFIG).models
    for name in ranking:
        if can_be_moved(models[name]):
            return name
    raise ConfigError(
        f"none of the models {ranked_kinds(ranking, models)} can be moved",
        place=str(run),
        remedy="Add a `two_tower`, a `sasrec` with `text`, or an `llm_sequential` to the source, and run it again.",
    )


def ranked_kinds(ranking: list[str], models: Mapping[str, Any]) -> list[str]:
    """Return names with their kinds."""
    return [f"{name} ({models[name].kind})" for name in ranking]
