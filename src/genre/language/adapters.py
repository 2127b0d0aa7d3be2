"""What several scenarios have taught one language model, side by side on it, chosen row by row.

Edward Hu et al.: LoRA: Low-Rank Adaptation of Large Language Models. ICLR 2022. Ying Sheng et al.: S-LoRA: Serving
Thousands of Concurrent LoRA Adapters. MLSys 2024.

Shapes: R rows, L places, r numbers of an update in the middle, n those of all adapters of a batch together.
"""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from genre.core.errors import ArtifactError, ConfigError
from genre.core.files import atomic_directory
from genre.language.tuning import TunedModel

CONFIG: Final = "adapter_config.json"
_WEIGHTS, _BASE = "adapter_model.safetensors", "base.json"
_NAME = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")
_UNKNOWN: Final = ("use_dora", "lora_bias", "alpha_pattern", "modules_to_save", "trainable_token_indices")
"""Settings of `peft` for more than two factors of each layer."""


@dataclass(frozen=True)
class Adapter:
    """Low-rank updates ``x A^T B`` of linear layers, by the layers' names: A (r, inputs) and B (r, outputs)."""

    updates: Mapping[str, tuple[Tensor, Tensor]]


def save_adapter(tuned: TunedModel, directory: Path, base: str) -> None:
    """Write what a model has learned as `peft` does, so that others can load it too, and which base it is of.

    Args:
        tuned: Tuned by `lora`.
        directory: Where to; what is there is replaced.
        base: Tells the base from others, as `base_key` does.

    Raises:
        ConfigError: It has learned in another way.
    """
    if tuned.config.method != "lora":
        raise ConfigError(
            f"what {tuned.config.method!r} has learned is no update that can stand beside others",
            place="tuning.method",
            remedy="Choose 'lora'.",
        )
    with atomic_directory(directory) as made:
        tuned.language.save_pretrained(made)
        (made / _BASE).write_text(json.dumps({"base": base}), encoding="utf-8")


def check_adapter(directory: Path, base: str) -> None:
    """Make sure that there is an adapter of a form that is known, and of this base as far as it says so itself.

    Raises:
        ArtifactError: There is none, or its files are damaged.
        ConfigError: It has another form, or is of another base.
    """
    settings = _settings(directory)
    odd = [name for name in _UNKNOWN if settings.get(name)]
    if settings.get("peft_type") != "LORA" or odd:
        raise ConfigError(
            f"this adapter is a {settings.get('peft_type')!r}{f' with {odd[0]}' if odd else ''}",
            place=str(directory),
            remedy="Only plain LoRA adapters can stand side by side: name one, or merge this one into its base.",
        )
    try:
        of = json.loads((directory / _BASE).read_text(encoding="utf-8"))["base"]
    except FileNotFoundError:
        return  # Another program wrote it; whether its layers fit shows when it is loaded.
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(directory, error) from error
    if of != base:
        raise ConfigError(
            f"this adapter was learned on the language model {of!r}, and this one is {base!r}",
            place=str(directory),
            remedy="Name the language model that it was learned on, or teach this one anew.",
        )


def read_adapter(directory: Path) -> Adapter:
    """Return an adapter, in float32; its scale is in B.

    Raises:
        ArtifactError: Its files are damaged.
    """
    from safetensors.torch import load_file

    settings = _settings(directory)
    found: dict[str, dict[str, Tensor]] = {}
    try:
        for name, value in load_file(directory / _WEIGHTS).items():
            layer, part = _NAME.fullmatch(name).groups()  # type: ignore[union-attr]
            found.setdefault(layer, {})[part] = value.float()
        alpha = float(settings["lora_alpha"])
        updates = {}
        for layer, parts in found.items():
            rank = len(parts["A"])
            scale = alpha / (math.sqrt(rank) if settings.get("use_rslora") else rank)
            updates[layer] = (parts["A"], scale * parts["B"].T.contiguous())
    except Exception as error:  # Names, shapes and the form of the file can each be wrong.
        raise _damaged(directory, error) from error
    return Adapter(updates)


class Choice:
    """Which adapter counts in which row of a batch."""

    def __init__(self, rows: Sequence[str | None], among: Sequence[str]) -> None:
        """Keep them.

        Args:
            rows: R names; None is the base as it is.
            among: Those that count in some row of the batch, now or before: what is put together once is used again.
        """
        self.among = tuple(among)
        self.one = rows[0] if len(set(rows)) == 1 else None
        """The adapter of all rows, if there is one."""
        self.nobody = not any(rows)
        """Whether no row has any."""
        self._at = torch.tensor([-1 if name is None else self.among.index(name) for name in rows])
        self._masks: dict[tuple[int, ...], Tensor] = {}

    def mask(self, ranks: tuple[int, ...], like: Tensor) -> Tensor:
        """Return (R, 1, n) 1 where a number in the middle is of the row's own adapter, 0 elsewhere."""
        if ranks not in self._masks:
            owner = torch.arange(len(ranks)).repeat_interleave(torch.tensor(ranks))
            self._masks[ranks] = (self._at[:, None] == owner)[:, None].to(like.device, like.dtype)
        return self._masks[ranks]


class AdaptedLinear(nn.Module):
    """A linear layer, and what adapters add to it in the rows that they are chosen for.

    Updates of all adapters of a batch are one pair of factors, and what belongs to others is 0 in the middle. That is
    one product where a loop over the adapters takes as many: on a processor, twenty small products take longer than
    one that is twenty times as large.
    """

    def __init__(self, base: nn.Module, chosen: threading.local) -> None:
        """Wrap a layer; `chosen.choice` says which adapters count in the call of this thread."""
        super().__init__()
        self.base = base
        self.updates: dict[str, tuple[Tensor, Tensor]] = {}
        self._chosen = chosen
        self._together: tuple[tuple[str, ...], tuple[int, ...], Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return (R, L, outputs) for (R, L, inputs)."""
        out: Tensor = self.base(x)
        choice: Choice | None = getattr(self._chosen, "choice", None)
        if choice is None or choice.nobody:
            return out
        if choice.one is not None:
            if choice.one not in self.updates:
                return out
            first, second = self.updates[choice.one]
            return out + (x @ first.T) @ second
        ranks, first, second = self._of(choice.among)
        if not len(first):
            return out
        return out + ((x @ first.T) * choice.mask(ranks, x)) @ second

    def _of(self, names: tuple[str, ...]) -> tuple[tuple[int, ...], Tensor, Tensor]:
        """Return the ranks of adapters here, and their factors (n, inputs) and (n, outputs) put together."""
        kept = self._together  # Another thread may put another in its place meanwhile.
        if kept is None or kept[0] != names:
            pairs = [self.updates.get(name) for name in names]
            ranks = tuple(0 if pair is None else len(pair[0]) for pair in pairs)
            there = [pair for pair in pairs if pair is not None]
            outputs, inputs = self.base.weight.shape  # type: ignore[misc]
            empty = torch.empty(0, inputs), torch.empty(0, outputs)
            first, second = (torch.cat([pair[at] for pair in there] or [empty[at]]) for at in (0, 1))
            kept = self._together = (names, ranks, first, second)
        return kept[1], kept[2], kept[3]


class Adapters:
    """The adapters on one base. Several threads may use it, each with its own choice."""

    def __init__(self, model: Any) -> None:
        """Prepare; the model is as it was until an adapter is added, and afterwards wherever none is chosen."""
        self._model = model
        self._chosen = threading.local()
        self._lock = threading.Lock()
        self._layers: dict[str, AdaptedLinear] = {}
        self._names: set[str] = set()

    def __contains__(self, name: object) -> bool:
        """Return whether there is an adapter of this name."""
        return name in self._names

    def add(self, name: str, adapter: Adapter, place: str = "adapter") -> None:
        """Put an adapter beside the others.

        Args:
            name: What it is chosen by.
            adapter: What was learned.
            place: Where it is from, for messages.

        Raises:
            ConfigError: It does not fit the model's layers.
        """
        with self._lock:
            pairs = [(layer, self._fitting(layer, pair, place)) for layer, pair in adapter.updates.items()]
            for layer, pair in pairs:
                self._layer(layer).updates[name] = pair
            self._names.add(name)

    @contextmanager
    def chosen(self, rows: Sequence[str | None], among: Sequence[str] | None = None) -> Iterator[None]:
        """Let an adapter count in each row of what this thread asks the model, for as long as this lasts."""
        before = getattr(self._chosen, "choice", None)
        self._chosen.choice = Choice(rows, among or sorted({name for name in rows if name is not None}))
        try:
            yield
        finally:
            self._chosen.choice = before

    def _layer(self, name: str) -> AdaptedLinear:
        if name not in self._layers:
            above, _, last = name.rpartition(".")
            parent = self._model.get_submodule(above)
            self._layers[name] = AdaptedLinear(getattr(parent, last), self._chosen)
            setattr(parent, last, self._layers[name])
        return self._layers[name]

    def _fitting(self, name: str, pair: tuple[Tensor, Tensor], place: str) -> tuple[Tensor, Tensor]:
        """Return both factors in the layer's numbers and on its device."""
        try:
            layer: Any = self._layers.get(name) or self._model.get_submodule(name)
        except AttributeError:
            layer = None
        weight = getattr(layer.base if isinstance(layer, AdaptedLinear) else layer, "weight", None)
        wanted = (pair[1].shape[1], pair[0].shape[1])
        if weight is None or tuple(weight.shape) != wanted:
            have = "which it has not" if weight is None else f"which is {tuple(weight.shape)} here"
            raise ConfigError(
                f"this adapter updates {name!r} of shape {wanted}, {have}",
                place=place,
                remedy="Name the language model that it was learned on.",
            )
        first, second = (part.to(weight.device, weight.dtype) for part in pair)
        return first, second


class WithAdapter:
    """A base as it is with one adapter, for whoever asks it a whole batch at a time."""

    def __init__(self, model: Any, adapters: Adapters, name: str) -> None:
        """Look at a model that others look at too."""
        self._model, self._adapters, self._name = model, adapters, name

    def __getattr__(self, name: str) -> Any:
        """Return what the base has."""
        return getattr(self._model, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the base says with the adapter in every row."""
        with self._adapters.chosen([self._name]):
            return self._model(*args, **kwargs)


def _settings(directory: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ArtifactError(
            f"there is no adapter here: {CONFIG} is missing",
            place=str(directory),
            remedy="Name a directory `adapter` that `genre teach` has written, or one that `peft` has.",
        ) from error
    except (OSError, ValueError) as error:
        raise _damaged(directory, error) from error
    return found


def _damaged(directory: Path, error: Exception) -> ArtifactError:
    return ArtifactError(
        f"the adapter cannot be read ({type(error).__name__}: {' '.join(str(error).split())[:200]})",
        place=str(directory),
        remedy="Restore its files, or teach it anew.",
    )
