"""Weights rounded to 4 bits so that what a layer says of real texts changes least. Needs torch.

Shapes: T tokens, I numbers in, O numbers out, N groups of inputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from genre.core.errors import ConfigError
from genre.core.run import Progress, Silent
from genre.language.hardware import dtype_of
from genre.language.quantised import GROUP, Int4Matrix, Rounding, best_grid, on_grid, put

_DAMPING = 0.01
"""Share of the mean square of inputs that is added to each: inputs that are never seen far from zero still count."""
_TEXTS_AT_ONCE = 8
_AT_ONCE = 128
"""Inputs after which all later weights take up the errors at once."""


def by_texts(squares: Tensor) -> Rounding:
    """Return a rounding that keeps ``X Wᵀ`` as it was as well as it can, by the inputs' products ``XᵀX`` (I, I).

    Inputs are rounded one after the other, and each error is made good by those that are not yet rounded. Rounding each
    weight to what is nearest would take a fine-tune back wherever it moved weights by less than half a step.

    Frantar et al.: GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers. ICLR 2023.
    """
    size = len(squares)
    damped = squares + torch.eye(size) * (_DAMPING * squares.diagonal().mean()).clamp_min(1e-8)
    # Row i of it, over its diagonal, is how the later inputs take up the error of the i-th.
    inverse = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(damped)), upper=True)

    def rounding(weight: Tensor) -> tuple[Tensor, Tensor]:
        left, whole = weight.clone(), torch.empty_like(weight)
        grids = []
        for start in range(0, size, _AT_ONCE):
            stop = min(start + _AT_ONCE, size)
            errors = torch.empty(len(weight), stop - start)
            for at in range(start, stop):
                if at % GROUP == 0:
                    grids.append(best_grid(left[:, at : at + GROUP], squares.diagonal()[at : at + GROUP]))
                rounded, stands_for = on_grid(left[:, at, None], grids[-1])
                whole[:, at] = rounded[:, 0]
                errors[:, at - start] = (left[:, at] - stands_for[:, 0]) / inverse[at, at]
                left[:, at:stop] -= errors[:, at - start, None] * inverse[at, at:stop]
            left[:, stop:] -= errors @ inverse[start:stop, stop:]
        return whole, torch.stack(grids).bfloat16().contiguous()

    return rounding


def quantise_by_texts(model: Any, windows: Tensor, *, progress: Progress | None = None) -> None:
    """Round the linear layers of a causal language model to 4 bits, layer by layer from the first, in place.

    Each layer reads what those before it, already rounded, make of the texts. Holds the hidden states of all texts, and
    the squares of one layer. Layers whose inputs are no multiple of 32 are left as they are.

    Args:
        model: Of `transformers`, in float32.
        windows: (B, L) tokens of texts such as it shall go on reading and writing.
        progress: Shows how many layers are done.
    """
    layers = decoder_layers(model)
    fast = dtype_of("auto", windows.device) == torch.bfloat16
    reading = partial(torch.autocast, windows.device.type, torch.bfloat16, enabled=fast)
    with torch.no_grad():
        with reading():
            states, told = _at_first(model, layers, windows)
        for at, layer in (progress or Silent()).track(enumerate(layers), "rounding to 4 bits", len(layers)):
            with _squares(layer) as squares, reading():
                for state, options in zip(states, told, strict=True):
                    layer(state, **options[at])
            # Layers that read the same, as query, key and value, share what is made of it.
            ways = {id(square): by_texts(square) for square in squares.values()}
            for name, linear in _linears(layer).items():
                way = ways[id(squares[name])]
                put(layer, name, Int4Matrix.of(linear.weight, linear.bias, way))
            with reading():
                states = [_first(layer(state, **options[at])) for state, options in zip(states, told, strict=True)]


def decoder_layers(model: Any) -> nn.ModuleList:
    """Return the list of a causal language model's layers.

    Raises:
        ConfigError: It has none that can be told.
    """
    count = getattr(model.config.get_text_config(decoder=True), "num_hidden_layers", None)
    found = [part for part in model.modules() if isinstance(part, nn.ModuleList) and len(part) == count]
    if not found:
        raise ConfigError(
            f"the layers of a {type(model).__name__} cannot be told apart",
            place="compress",
            remedy="Take a model of the Llama family, or the method 'int8'.",
        )
    return found[0]


def _at_first(model: Any, layers: nn.ModuleList, windows: Tensor) -> tuple[list[Tensor], list[list[dict[str, Any]]]]:
    """Return what the first layer reads of some texts at a time, and what else each layer is told of them."""
    states: list[Tensor] = []
    told: list[list[dict[str, Any]]] = []

    def look(_: nn.Module, given: tuple[Any, ...], options: dict[str, Any], *, first: bool) -> None:
        if first:
            states.append(given[0] if given else options["hidden_states"])
            told.append([])
        told[-1].append({name: value for name, value in options.items() if name != "hidden_states"})

    hooks = [
        layer.register_forward_pre_hook(partial(look, first=layer is layers[0]), with_kwargs=True) for layer in layers
    ]
    for some in torch.split(windows, _TEXTS_AT_ONCE):
        model(input_ids=some, use_cache=False, logits_to_keep=1)
    for hook in hooks:
        hook.remove()
    return states, told


@contextmanager
def _squares(layer: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Yield what becomes the sum of XᵀX (I, I) over all that each linear layer reads, by its name."""
    found: dict[str, Tensor] = {}
    last: tuple[Tensor | None, str] = (None, "")

    def look(_: nn.Module, given: tuple[Tensor, ...], *, name: str) -> None:
        nonlocal last
        if given[0] is last[0]:  # Another layer has just read it.
            found[name] = found[last[1]]
            return
        last = given[0], name
        with torch.autocast(given[0].device.type, enabled=False):
            rows = given[0].reshape(-1, given[0].shape[-1]).float()
            if name in found:
                found[name].addmm_(rows.T, rows)
            else:
                found[name] = rows.T @ rows

    hooks = [part.register_forward_pre_hook(partial(look, name=name)) for name, part in _linears(layer).items()]
    yield found
    for hook in hooks:
        hook.remove()


def _linears(layer: nn.Module) -> dict[str, nn.Linear]:
    return {
        name: part for name, part in layer.named_modules() if type(part) is nn.Linear and part.in_features % GROUP == 0
    }


def _first(found: Any) -> Tensor:
    """Return the hidden states of what a layer gives; older forms of models give more beside them."""
    state: Tensor = found[0] if isinstance(found, tuple) else found
    return state
