"""The story of a move: a model of a run goes to work on another scenario, beside one that begins anew there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from genre import pipeline
from genre.adaptation.adapted import CONFIGS, MOVABLE, AdaptedConfig
from genre.config import Experiment
from genre.config_file import read_experiment
from genre.core.errors import ConfigError
from genre.core.run import Progress
from genre.evaluation.few_users import FewUsersConfig
from genre.features.text import TextConfig
from genre.language.local import LocalGeneratorConfig
from genre.language.smollm import SmolLmConfig
from genre.language.tuning import TuningConfig
from genre.recommenders.base import RecommenderConfig
from genre.recommenders.learning_language import LanguageModel
from genre.recommenders.llm_ranker import LlmRankerConfig
from genre.recommenders.sasrec import SasrecConfig
from genre.runs import CONFIG
from genre.workspace import read_manifest

METHODS: Final[Mapping[str, Mapping[str, Any]]] = {
    "zero_shot": {"learn": "nothing", "align": False},
    "finetune": {"learn": "all", "align": False},
    "domain": {"learn": "all", "align": True},
}
"""How a model is moved: as it is; learning on; learning on, once the texts are spread as the source's are."""
PROMPT, WITH_EXAMPLES = "prompt", "prompt_examples"
"""Nothing is moved into a language model that is only asked, without and with examples of the target."""
CHOICES: Final = (*METHODS, PROMPT)
SCRATCH: Final = "from_scratch"
_ZERO_SHOT: Final = "zero_shot"
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
    progress: Progress | None = None,
) -> Path:
    """Run an experiment with a model moved to it in one way or several, and return the run's directory.

    Beside the moved ones stands the same model fitted anew, and all of them with the events of few users: at the
    shares that `few_users` of the target says, where it says any, and with the models that it names.

    Args:
        source: A finished run, or the config of one, which is run if need be.
        target: The other scenario.
        runs: Where runs are kept.
        methods: Of `CHOICES`: each makes a model of its name, and `prompt` two. These put in order what the moved
            model finds with `zero_shot`, which is there too then.
        model: Of the source; its best one that can be moved, where none is named.
        base: The language model that `prompt` asks, a directory or a name on the hub; the one that comes with Genre
            where none is named.
        progress: Shows how far it has come.

    Raises:
        ArtifactError: There is no finished run.
        ConfigError: No model of the source can be moved, there is no such method, or a name is taken.
    """
    for method in methods:
        if method not in CHOICES:
            raise ConfigError(
                f"there is no method {method!r}", place="adapt", remedy=f"Choose from {', '.join(CHOICES)}."
            )
    where = pipeline.run(read_experiment(source), runs, progress=progress) if source.suffix in CONFIGS else source
    name = model or movable(where)
    return pipeline.run(moving(where, name, target, methods, base=base), runs, progress=progress)


def moving(
    source: Path, model: str, target: Experiment, methods: Sequence[str], *, base: str | None = None
) -> Experiment:
    """Return the target's experiment with a model of a finished run moved to it; see `adapt`.

    Raises:
        ArtifactError: There is no such run, or no such model in it.
        ConfigError: The model cannot be moved, or a name is taken.
    """
    more: dict[str, RecommenderConfig] = {SCRATCH: AdaptedConfig(source=source, model=model).inner()}
    for method in (_ZERO_SHOT, *methods) if PROMPT in methods else methods:
        if method in METHODS:
            more[method] = AdaptedConfig(source=source, model=model, **METHODS[method])
    if PROMPT in methods:
        more |= prompts(target, base)
    if taken := sorted(set(more) & set(target.models)):
        raise ConfigError(
            f"the target has a model {taken[0]!r} already", place="models", remedy="Give it another name there."
        )
    few = FewUsersConfig(models=tuple(more))
    if target.few_users is not None:
        few = target.few_users.model_copy(update={"models": (*more, *target.few_users.models)})
    models = {**target.models, **more}
    return Experiment.model_validate({**dict(target), "models": models, "few_users": few})


def prompts(target: Experiment, base: str | None = None) -> dict[str, RecommenderConfig]:
    """Return language models that are asked and learn nothing: without examples, and with some of the training log.

    They put in order what the moved model finds without learning, so that nothing is needed but the texts.

    Args:
        target: They are asked in the language of its reasons.
        base: A directory or a name on the hub; the embedded one where none is named.
    """
    asked: LanguageModel = SmolLmConfig() if base is None else LocalGeneratorConfig(model=base)
    plain = LlmRankerConfig(
        retriever=_ZERO_SHOT,
        base=asked,
        tuning=TuningConfig(method="frozen"),
        language=target.answer.reasons or "en",
        text=TextConfig(language=target.answer.reasons or "en"),
    )
    return {PROMPT: plain, WITH_EXAMPLES: plain.model_copy(update={"examples": _EXAMPLES})}


def movable(run: Path) -> str:
    """Return the best model of a run that can be moved.

    Raises:
        ArtifactError: There is no finished run.
        ConfigError: None can.
    """
    ranking: list[str] = read_manifest(run)["ranking"]
    models = read_experiment(run / CONFIG).models
    for name in ranking:
        config = models[name]
        if isinstance(config, MOVABLE) and (not isinstance(config, SasrecConfig) or config.text is not None):
            return name
    raise ConfigError(
        f"none of the models {ranked_kinds(ranking, models)} can be moved",
        place=str(run),
        remedy="Add a `two_tower`, or a `sasrec` with `text`, to the source, and run it again.",
    )


def ranked_kinds(ranking: list[str], models: Mapping[str, Any]) -> list[str]:
    """Return names with their kinds."""
    return [f"{name} ({models[name].kind})" for name in ranking]
