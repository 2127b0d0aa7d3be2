"""A fitted recommender on disk: its settings as JSON, what it learned as safetensors. Never a pickle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file
from scipy import sparse

from genre.core.errors import ArtifactError
from genre.recommenders.base import Recommender, RecommenderConfig, State

CONFIG_FILE = "config.json"
STATE_FILE = "state.safetensors"
_PARTS = ("data", "indices", "indptr", "shape")
_MARK = "#csr."
"""Between the name of a sparse matrix and the name of its part."""


def save_model(model: Recommender, directory: Path) -> None:
    """Write a fitted model into an existing directory."""
    (directory / CONFIG_FILE).write_text(model.config.model_dump_json(indent=2), encoding="utf-8")
    save_file(_to_arrays(model.state()), directory / STATE_FILE)


def load_model(directory: Path, kind: type[RecommenderConfig], members: Mapping[str, Recommender]) -> Recommender:
    """Read a fitted model back.

    Args:
        directory: Where `save_model` wrote.
        kind: The class of its settings.
        members: The fitted models that a composite one answers with.

    Raises:
        ArtifactError: A file is missing or damaged.
        DependencyError: A library that the model needs is not installed.
    """
    try:
        config = kind.model_validate_json((directory / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise _unreadable(directory, error) from error
    return load_as(config, directory, members)


def load_as(config: RecommenderConfig, directory: Path, members: Mapping[str, Recommender]) -> Recommender:
    """Read a fitted model back by settings that are not its own, such as those of what answers in it.

    Args:
        config: The settings.
        directory: Where `save_model` wrote: a model that answers with another writes that one's parts among its own.
        members: The fitted models that a composite one answers with.

    Raises:
        ArtifactError: A file is missing or damaged.
        DependencyError: A library that the model needs is not installed.
    """
    try:
        state = _from_arrays(load_file(directory / STATE_FILE))
    except (OSError, SafetensorError) as error:
        raise _unreadable(directory, error) from error
    config.check_installed()
    model = config.build({name: members[name] for name in config.answers_with})
    try:
        model.restore(state)
    except KeyError as error:
        raise ArtifactError(
            f"the model lacks the part {error.args[0]!r}",
            place=str(directory),
            remedy="It was written by another version: run the experiment again.",
        ) from error
    return model


def load_part(directory: Path, name: str) -> np.ndarray[Any, Any]:
    """Return one part of what a fitted model has learned, without reading the others.

    Raises:
        ArtifactError: The file is missing or damaged, or has no such part.
    """
    try:
        with safe_open(directory / STATE_FILE, "np") as found:
            part: np.ndarray[Any, Any] = found.get_tensor(name)
    except (OSError, SafetensorError) as error:
        raise _unreadable(directory, error) from error
    return part


def _unreadable(directory: Path, error: Exception) -> ArtifactError:
    return ArtifactError(
        f"the model cannot be read ({error})", place=str(directory), remedy="Run the experiment again."
    )


def _to_arrays(state: State) -> dict[str, np.ndarray[Any, Any]]:
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for name, value in state.items():
        if isinstance(value, sparse.csr_matrix | sparse.csr_array):
            parts = (value.data, value.indices, value.indptr, np.array(value.shape))
            arrays.update({f"{name}{_MARK}{part}": array for part, array in zip(_PARTS, parts, strict=True)})
        else:
            arrays[name] = np.asarray(value, order="C")
    return arrays


def _from_arrays(arrays: Mapping[str, np.ndarray[Any, Any]]) -> State:
    state: State = {}
    for name, array in arrays.items():
        stem, _, part = name.rpartition(_MARK)
        if not stem:
            state[name] = array
        elif part == "data":
            data, indices, indptr, shape = (arrays[f"{stem}{_MARK}{part}"] for part in _PARTS)
            state[stem] = sparse.csr_matrix((data, indices, indptr), shape=tuple(shape))
    return state
