"""What moves of a run's model: the model itself, or what answers in one that was guarded, taught or moved before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

from pydantic import Field, TypeAdapter, ValidationError

from genre.adaptation.distil import DistilledConfig
from genre.adaptation.guard import CHOICE, GuardedConfig
from genre.core.errors import ArtifactError, ConfigError
from genre.core.parts import text_of_array
from genre.recommenders.base import RecommenderConfig
from genre.recommenders.llm_sequential import LlmSequentialConfig
from genre.recommenders.moving import Movable
from genre.recommenders.sasrec import SasrecConfig
from genre.recommenders.store import CONFIG_FILE, load_as, load_part
from genre.recommenders.two_tower import TwoTowerConfig

Inner: TypeAlias = SasrecConfig | TwoTowerConfig | LlmSequentialConfig
SETTINGS: TypeAdapter[Inner] = TypeAdapter(Annotated[Inner, Field(discriminator="kind")])
INNER: Final = "adapted.config"
"""Name of the part of a moved model in which the settings of what moved stand."""
_CAN_MOVE: Final = (
    "Name a `two_tower`, a `sasrec` with `text`, or an `llm_sequential`, or one of these that was guarded, taught or "
    "moved itself."
)


def reads_and_learns(config: RecommenderConfig) -> bool:
    """Return whether what answers in a model of these settings reads texts and can learn on: it can then be moved."""
    if isinstance(config, GuardedConfig):
        config = config.model
    if isinstance(config, DistilledConfig):
        config = config.student
    if isinstance(config, SasrecConfig):
        return config.text is not None and config.form == "torch"
    return isinstance(config, LlmSequentialConfig) or (isinstance(config, TwoTowerConfig) and config.form == "torch")


def settings_of(source: Path, name: str) -> Inner:
    """Return the settings of what answers in a model of a run.

    Args:
        source: Directory of the run.
        name: Of the model.

    Raises:
        ArtifactError: There is no such run, no such model in it, or its files are damaged.
        ConfigError: The model is none that can be moved.
    """
    place = source / "models" / name
    try:
        text = (place / CONFIG_FILE).read_text(encoding="utf-8")
        kind = json.loads(text)["kind"]
    except OSError as error:
        raise ArtifactError(
            f"there is no model {name!r} ({error})",
            place=str(source),
            remedy="Name the directory of a finished run, and a model that it holds.",
        ) from error
    except (ValueError, LookupError, TypeError) as error:
        raise ArtifactError(
            f"the model's settings cannot be read ({error!r})", place=str(place), remedy="Run the experiment again."
        ) from error
    try:
        found = _inside(kind, text, place)
    except ValidationError as error:
        raise ConfigError(
            f"the model {name!r} is a {kind!r}, which cannot be moved", place=str(source), remedy=_CAN_MOVE
        ) from error
    _check(found, repr(name) if found.kind == kind else f"in {name!r} ({kind})", str(source))
    return found


def opened(source: Path, name: str) -> Movable:
    """Return what answers in a model of a run, by itself.

    Raises:
        ArtifactError: There is no such run, no such model in it, or its files are damaged.
        ConfigError: The model is none that can be moved.
        DependencyError: A library that it needs is not installed.
    """
    found: Any = load_as(settings_of(source, name), source / "models" / name, {})
    return found  # type: ignore[no-any-return]


def _inside(kind: str, text: str, place: Path) -> Inner:
    """Return the settings of what answers in a model of these settings, whose files are at a place."""
    if kind == "adapted":
        text = text_of_array(load_part(place, INNER))
    elif kind == "distilled":
        text = DistilledConfig.model_validate_json(text).student.model_dump_json()
    elif kind == "guarded":
        kept = json.loads(text_of_array(load_part(place, CHOICE)))["protection"]
        text = GuardedConfig.model_validate_json(text).guarding(kept).model_dump_json()
    return SETTINGS.validate_json(text)


def _check(config: Inner, which: str, place: str) -> None:
    if isinstance(config, SasrecConfig) and config.text is None:
        raise ConfigError(
            f"the model {which} is a `sasrec` without `text`: it knows items by their likes alone, and says nothing "
            "of others",
            place=place,
            remedy="Give it `text`, and run the source again.",
        )
    if not isinstance(config, LlmSequentialConfig) and config.form != "torch":
        raise ConfigError(
            f"the model {which} has the form {config.form!r}, which only answers",
            place=place,
            remedy="Name it in a run where it has the form `torch`, such as the one that it was compressed from.",
        )
