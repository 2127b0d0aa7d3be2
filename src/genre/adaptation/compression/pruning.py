"""A causal language model with fewer layers or heads, which has learned to say what the whole one says.

Shapes: B texts, L tokens, H numbers of a hidden state.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from genre.adaptation.compression.heads import heads_of, importance_of, without_heads
from genre.core.errors import ConfigError
from genre.core.run import RunContext
from genre.language.decoding import LoadedModel
from genre.language.hardware import dtype_of
from genre.language.second_order import decoder_layers
from genre.language.tuning import TunedModel, TuningConfig
from genre.training.config import TrainingConfig
from genre.training.imitation import Imitation

_TEXTS_AT_ONCE, _BATCH = 8, 4


@dataclass(frozen=True)
class Pruned:
    """What is left."""

    tuned: TunedModel
    """The smaller model, with what it has learned since as low-rank updates."""
    account: dict[str, Any]
    """How much each layer changed its input and each group of heads mattered, which were taken away, and what was
    learned since."""


def prune(
    loaded: LoadedModel, windows: Tensor, *, layers: int = 1, heads: int = 0, epochs: int, run: RunContext
) -> Pruned:
    """Take the layers away that change their input least and then, of each layer that is left, the least heads.

    What a layer changes is 1 less the cosine of what it reads and what it makes of it, the mean over tokens; for what
    a head is worth see `importance_of`. Low-rank updates then learn to say what the whole model says of the same texts.

    Men et al.: ShortGPT: Layers in Large Language Models are More Redundant Than You Expect. 2024; Ma, Fang, Wang:
    LLM-Pruner: On the Structural Pruning of Large Language Models. NeurIPS 2023 (recovery by low-rank updates).

    Args:
        loaded: The model, in float32; it stays as it is.
        windows: (B, L) tokens of texts.
        layers: How many are taken away; 0 only beside heads.
        heads: How many are taken from each layer; where query heads share keys and values, groups of them.
        epochs: How often the texts are learned from; 0 learns nothing.
        run: Seed and progress.

    Raises:
        ConfigError: There are not so many layers or heads, or they cannot be told apart.
    """
    _check(loaded.model, layers, heads)
    student, account = loaded.model, dict[str, Any]()
    if layers:
        changes = changes_of(student, windows)
        gone = sorted(changes.argsort(stable=True)[:layers].tolist())
        student = without_layers(student, gone)
        account |= {"changes": changes.tolist(), "taken_away": gone}
    if heads:
        importance = importance_of(student, windows)
        lost = importance.argsort(dim=1, stable=True)[:, :heads].sort(dim=1).values.tolist()
        student = without_heads(student, lost)
        account |= {"importance": importance.tolist(), "heads_taken_away": lost}
    # A low rank is enough to bring the layers beside a gap together, and what the others know is left alone.
    tuned = TunedModel(student, TuningConfig(method="lora", rank=16, alpha=32, dropout=0.0))
    losses = _recovered(tuned, loaded.model, windows, epochs, run) if epochs else []
    return Pruned(tuned, account | {"losses": losses})


def _check(model: Any, layers: int, heads: int) -> None:
    """Make sure that something is taken away, and something left."""
    count = len(decoder_layers(model))
    if not (0 if heads else 1) <= layers < count:
        raise ConfigError(
            f"{layers} layers cannot be taken from {count}",
            place="--layers",
            remedy=f"Choose from 1 to {count - 1}; more than a quarter costs much.",
        )
    if not heads:
        return
    whole = heads_of(model)
    if not 0 < heads < whole.groups:
        what = "heads" if whole.shared == 1 else f"groups of {whole.shared} heads that share keys and values"
        raise ConfigError(
            f"{heads} cannot be taken from the {whole.groups} {what} of a layer",
            place="--heads",
            remedy=f"Choose from 1 to {whole.groups - 1}."
            if whole.groups > 1
            else "Take layers away instead, with --layers.",
        )


def changes_of(model: Any, windows: Tensor) -> Tensor:
    """Return how much each layer changes its input: 1 less the cosine, the mean over tokens."""
    layers = decoder_layers(model)
    sums = torch.zeros(len(layers), dtype=torch.float64)

    def look(at: int) -> Any:
        def hook(_: nn.Module, given: tuple[Any, ...], options: dict[str, Any], found: Any) -> None:
            before = given[0] if given else options["hidden_states"]
            after = found[0] if isinstance(found, tuple) else found
            sums[at] += (1 - functional.cosine_similarity(before.float(), after.float(), dim=-1)).double().sum().cpu()

        return hook

    hooks = [layer.register_forward_hook(look(at), with_kwargs=True) for at, layer in enumerate(layers)]
    with torch.no_grad():
        for some in torch.split(windows, _TEXTS_AT_ONCE):
            model(input_ids=some.to(model.device), use_cache=False, logits_to_keep=1)
    for hook in hooks:
        hook.remove()
    return sums / windows.numel()


def without_layers(model: Any, gone: list[int]) -> Any:
    """Return a copy of a model without some layers, whose settings say so."""
    student = deepcopy(model)
    layers = decoder_layers(student)
    kept = [at for at in range(len(layers)) if at not in gone]
    remaining = [layers[at] for at in kept]
    del layers[len(kept) :]
    settings = student.config.get_text_config(decoder=True)
    kinds = getattr(settings, "layer_types", None)
    for place, layer in enumerate(remaining):
        layers[place] = layer
        parts: Iterator[Any] = layer.modules()
        for part in parts:  # Where what is remembered of a prompt is looked up by the layer's number.
            if hasattr(part, "layer_idx"):
                part.layer_idx = place
    settings.num_hidden_layers = len(kept)
    if kinds is not None:
        settings.layer_types = [kinds[at] for at in kept]
    return student


def _recovered(tuned: TunedModel, teacher: Any, windows: Tensor, epochs: int, run: RunContext) -> list[float]:
    from genre.training.loop import train

    fast = dtype_of("auto", windows.device) == torch.bfloat16
    config = TrainingConfig(
        epochs=epochs,
        batch_size=_BATCH,
        learning_rate=1e-3,
        schedule="linear",
        warm_up_steps=3,
        clip_norm=1.0,
        patience=None,
        precision="bf16" if fast else "fp32",
        tracker="none",
    )
    found = train(
        tuned.language,
        Imitation(teacher, windows, batch_size=_BATCH),
        config,
        name="recover",
        seed=run.seed,
        progress=run.progress,
    )
    tuned.language.eval()
    return [epoch.loss for epoch in found.epochs]
