"""A checkpoint is one safetensors file: written to a temporary name and renamed, so that half of one is never read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from genre.core.errors import ArtifactError
from genre.core.files import atomic_file
from genre.training.config import CHECKPOINT_FILE

_META = "genre"
_AGAIN = "Delete it to train from the start, or choose another directory."


@dataclass(frozen=True)
class Checkpoint:
    """All that is needed to go on as if nothing had happened."""

    about: dict[str, Any]
    """What was trained: config, vocabulary and so on, as plain values. A checkpoint of another one is refused."""
    progress: dict[str, Any]
    """How far it is, as plain values."""
    tensors: dict[str, Tensor]

    def save(self, directory: Path) -> Path:
        """Write the checkpoint, in place of the one before."""
        path = directory / CHECKPOINT_FILE
        text = json.dumps({"about": self.about, "progress": self.progress})
        with atomic_file(path) as temporary:
            save_file({name: value.contiguous() for name, value in self.tensors.items()}, temporary, {_META: text})
        return path

    @classmethod
    def load(cls, directory: Path, about: Mapping[str, Any]) -> Checkpoint | None:
        """Read the checkpoint of a directory; None where there is none.

        Args:
            directory: Where `save` wrote.
            about: What is being trained now.

        Raises:
            ArtifactError: The file is damaged, or of something else; the message says what differs.
        """
        path = directory / CHECKPOINT_FILE
        if not path.exists():
            return None
        try:
            with safe_open(path, "pt") as file:
                meta = json.loads(file.metadata()[_META])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"the checkpoint cannot be read ({error})", place=str(path), remedy=_AGAIN) from error
        now = json.loads(json.dumps(dict(about)))
        if meta["about"] != now:
            raise ArtifactError(
                f"the checkpoint is of another training: {_difference(meta['about'], now)}",
                place=str(path),
                remedy=_AGAIN,
            )
        return cls(meta["about"], meta["progress"], tensors)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return what an optimizer has gathered, by parameter and name."""
    state = optimizer.state_dict()["state"]
    return {
        f"{parameter}.{name}": torch.as_tensor(value)
        for parameter, values in state.items()
        for name, value in values.items()
        if value is not None
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give back what `optimizer_tensors` returned."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        parameter, _, name = key.partition(".")
        state.setdefault(int(parameter), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _difference(theirs: Mapping[str, Any], ours: Mapping[str, Any], path: str = "") -> str:
    """Name the first setting that differs, and both of its values."""
    for key in sorted({*theirs, *ours}):
        a, b = theirs.get(key), ours.get(key)
        if a != b:
            if isinstance(a, dict) and isinstance(b, dict):
                return _difference(a, b, f"{path}{key}.")
            return f"{path}{key} is {a!r} there and {b!r} here"
    return "nothing"
