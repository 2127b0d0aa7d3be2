"""What a search may vary, and how long. Needs no Optuna, so that a config file can be read without."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from importlib.util import find_spec
from typing import Any, get_args

from pydantic import Field, NonNegativeInt, ValidationError, model_validator

from genre.core.config import Config
from genre.core.errors import DependencyError
from genre.evaluation.writing import Budget, WritingConfig, check_measured
from genre.recommenders.base import RecommenderConfig

MODELS = "models"
"""What every path of a space begins with."""


class Vary(Config):
    """The values that a setting may take: `choices`, or numbers from `low` to `high`."""

    low: float | None = None
    high: float | None = None
    """The largest; it may be taken, as `low` may. A setting that is a whole number gets whole numbers."""
    log: bool = False
    """Whether ratios count in place of differences, which suits what may be 1 or 1000."""
    step: float | None = Field(default=None, gt=0)
    """Distance of the values, counted from `low`; by default 1 for whole numbers, and none for others."""
    choices: tuple[Any, ...] | None = Field(default=None, min_length=2)
    """Values in no order: words, yes or no, or numbers of which only these make sense."""

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Vary:
        if self.choices is not None:
            if self.low is not None or self.high is not None or self.log or self.step is not None:
                raise ValueError("`choices` stand alone: leave out `low`, `high`, `log` and `step`")
            return self
        if self.low is None or self.high is None:
            raise ValueError("say what to try: `choices: [64, 128]`, or both `low` and `high`")
        if self.low >= self.high:
            raise ValueError(f"`low` {self.low:g} is not below `high` {self.high:g}: exchange them, or widen the range")
        if self.log and self.low <= 0:
            raise ValueError(f"`low` {self.low:g} has no logarithm: take a number above 0, or leave out `log`")
        if self.log and self.step is not None:
            raise ValueError(f"`log` and `step` {self.step:g} exclude each other: leave out one of them")
        if self.step is not None and (Decimal(str(self.high)) - Decimal(str(self.low))) % Decimal(str(self.step)):
            raise ValueError(f"`high` {self.high:g} cannot be reached from `low` {self.low:g} by `step` {self.step:g}")
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        """Return the smallest and the largest number that may be taken."""
        return -math.inf if self.low is None else self.low, math.inf if self.high is None else self.high


class TuneConfig(Config):
    """What `genre tune` searches. A run takes no notice of it."""

    space: dict[str, Vary] = Field(min_length=1)
    """By path, such as `models.ease.regularization`."""
    model: str = "best"
    """Whose value counts; "best" takes in each trial the best one of those that the space changes, be it through their
    members."""
    objective: str | None = None
    """The metric to bring up, on the validation events; the primary one by default."""
    budget: Budget | None = None
    """What the writing of language models may lose against their bases; a trial that is over it is never the best."""
    writing: WritingConfig = WritingConfig()
    """How writing is measured, where there is a budget for it; about a minute for each trial of the embedded model."""
    trials: int = Field(default=50, ge=1)
    """Trials in all, those of an interrupted search and of other processes included."""
    seed: NonNegativeInt = 0
    """Decides what is tried."""
    prune: bool = True
    """Whether the training of a network is given up once it is worse than half of the earlier ones were by then."""

    @model_validator(mode="after")
    def _budget_is_measured(self) -> TuneConfig:
        check_measured(self.budget, self.writing, "tune.budget")
        return self

    def check_installed(self) -> None:
        """Make sure that Optuna is there.

        Raises:
            DependencyError: It is not.
        """
        if find_spec("optuna") is None:
            raise DependencyError(
                "needs the library 'optuna', which is not installed",
                place="tune",
                remedy="Install it with `pip install 'genre-rec[tune]'`.",
            )

    def check_space(self, models: Mapping[str, RecommenderConfig]) -> None:
        """Try every bound and every choice on the setting that it is for, each alone.

        Raises:
            ValueError: A path leads nowhere, or its setting cannot have such a value.
        """
        for path, vary in self.space.items():
            place = f"tune.space.{path}"
            config, parts = _find(models, path)
            number = number_of(config, parts)
            if vary.choices is not None:
                given = {f"choices.{index}": value for index, value in enumerate(vary.choices)}
            elif number is None:
                raise ValueError(f"{place}: the setting is no number: list what to try as `choices`")
            else:
                _check_whole(vary, number, place)
                given = dict(zip(("low", "high"), map(number, vary.bounds), strict=True))
            for name, value in given.items():
                _try(config, parts, value, f"{place}.{name}")


def changed(models: Mapping[str, RecommenderConfig], values: Mapping[str, Any]) -> dict[str, RecommenderConfig]:
    """Return the models with other values in the settings at these paths.

    Raises:
        ValidationError: A model cannot have these values together.
    """
    dumps: dict[str, dict[str, Any]] = {}
    for path, value in values.items():
        _, name, *parents, last = path.split(".")
        target = dumps.setdefault(name, models[name].model_dump())
        for part in parents:
            target = target[part]
        target[last] = value
    return {
        name: type(config).model_validate(dumps[name]) if name in dumps else config for name, config in models.items()
    }


def number_of(config: RecommenderConfig, parts: Sequence[str]) -> type[int] | type[float] | None:
    """Return the type of number that the setting below `config` takes, None where it takes none."""
    owner: Any = config
    for part in parts[:-1]:
        owner = getattr(owner, part)
    types = set(_types_in(type(owner).model_fields[parts[-1]].annotation))
    return float if float in types else int if int in types else None


def model_of(path: str) -> str:
    """Return the name of the model that a path of a space leads into."""
    return path.split(".")[1]


def _find(models: Mapping[str, RecommenderConfig], path: str) -> tuple[RecommenderConfig, tuple[str, ...]]:
    """Return the model that a path leads into, and the parts below its name."""
    place, (first, *rest) = f"tune.space.{path}", path.split(".")
    if first != MODELS or len(rest) < 2:
        raise ValueError(f"{place}: only settings of models can be varied: write models.NAME.SETTING")
    name, *parts = rest
    if name not in models:
        raise ValueError(f"{place}: there is no model {name!r}; choose from {sorted(models)}")
    owner: Any = models[name]
    for depth, part in enumerate(parts):
        if not isinstance(owner, Config):
            above = ".".join((MODELS, name, *parts[:depth]))
            raise ValueError(f"{place}: {above} is {owner!r}, which has no parts: write it out under `models` first")
        valid = sorted(field for field in type(owner).model_fields if field != "kind")
        if part not in valid:
            raise ValueError(f"{place}: there is no setting {part!r}; choose from {valid}")
        owner = getattr(owner, part)
    return models[name], tuple(parts)


def _check_whole(vary: Vary, number: type[int] | type[float], place: str) -> None:
    for name in ("low", "high", "step"):
        value = getattr(vary, name)
        if number is int and value is not None and not value.is_integer():
            raise ValueError(f"{place}.{name} = {value!r}: the setting is a whole number: take one here too")


def _try(config: RecommenderConfig, parts: tuple[str, ...], value: Any, place: str) -> None:
    try:
        changed({"it": config}, {".".join((MODELS, "it", *parts)): value})
    except ValidationError as error:
        for problem in error.errors():
            if problem["loc"]:  # Without a place, settings do not go together, and the others may vary too.
                message = problem["msg"].removeprefix("Value error, ")
                raise ValueError(f"{place} = {value!r}: {message[:1].lower()}{message[1:]}") from error


def _types_in(annotation: Any) -> Iterator[type]:
    if isinstance(annotation, type):
        yield annotation
    for part in get_args(annotation):
        yield from _types_in(part)
