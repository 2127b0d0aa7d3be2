"""Which attention heads a causal language model can spare, and the model without them.

Query heads that share keys and values are a group, and go together; where they share nothing, a group is one head.

Shapes: B texts, L tokens, G groups of a layer, Q query heads of a group, D numbers of a head, H of a hidden state.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from genre.core.errors import ConfigError
from genre.language.second_order import decoder_layers

_READ: Final = ("q_proj", "k_proj", "v_proj")
_SAID: Final = "o_proj"
_TEXTS_AT_ONCE: Final = 4


@dataclass(frozen=True)
class Heads:
    """The heads of every layer of a model."""

    groups: int
    """G, the key-value heads of a layer."""
    shared: int
    """Q, the query heads that share each."""
    size: int
    """D."""
    parts: tuple[nn.Module, ...]
    """What holds the four linear layers, one for each layer."""


def heads_of(model: Any) -> Heads:
    """Return what heads a model has.

    Raises:
        ConfigError: Its layers do not hold `q_proj`, `k_proj`, `v_proj` and `o_proj` of the sizes that its settings
            say.
    """
    settings = model.config.get_text_config(decoder=True)
    number = getattr(settings, "num_attention_heads", None) or 1
    groups = getattr(settings, "num_key_value_heads", None) or number
    size = getattr(settings, "head_dim", None) or settings.hidden_size // number
    sizes = {"q_proj": number * size, "k_proj": groups * size, "v_proj": groups * size, _SAID: number * size}
    parts = []
    for layer in decoder_layers(model):
        found = [part for part in layer.modules() if _sizes(part) == sizes]
        if len(found) != 1:
            raise _strange(model)
        parts.append(found[0])
    return Heads(groups, number // groups, size, tuple(parts))


def importance_of(model: Any, windows: Tensor) -> Tensor:
    """Return how much a model's loss depends on each group of heads, (layers, G).

    ``E_x |dL(x) / dm|``, where m = 1 is what all that a group says is multiplied by, and L the mean loss of a text's
    next tokens. It is comparable within a layer. Takes about three times as long as reading the texts.

    Michel, Levy, Neubig: Are Sixteen Heads Really Better than One? NeurIPS 2019, equation 2.

    Args:
        model: A causal language model in evaluation mode, in float32.
        windows: (B, L) tokens of texts.

    Raises:
        ConfigError: Its heads cannot be told apart.
    """
    heads = heads_of(model)
    sums = torch.zeros(len(heads.parts), heads.groups, dtype=torch.float64)
    masks: dict[int, Tensor] = {}

    def masked(_: nn.Module, given: tuple[Tensor, ...], *, at: int, texts: int) -> tuple[Tensor]:
        # A text has a mask of its own: its derivative is that text's.
        masks[at] = torch.ones(texts, 1, heads.groups, 1, device=given[0].device, requires_grad=True)
        said = given[0].reshape(texts, -1, heads.groups, heads.shared * heads.size)  # (B, L, G, Q D)
        return ((said * masks[at]).view_as(given[0]),)

    for some in torch.split(windows.to(model.device), _TEXTS_AT_ONCE):
        hooks = [
            part.get_submodule(_SAID).register_forward_pre_hook(partial(masked, at=at, texts=len(some)))
            for at, part in enumerate(heads.parts)
        ]
        try:
            with torch.enable_grad():
                logits = model(input_ids=some, use_cache=False).logits[:, :-1].float()
                losses = functional.cross_entropy(logits.flatten(0, 1), some[:, 1:].flatten(), reduction="sum")
                found = torch.autograd.grad(losses / (some.shape[1] - 1), [masks[at] for at in range(len(sums))])
        finally:
            for hook in hooks:
                hook.remove()
        sums += torch.stack([one.view(-1, heads.groups).abs().sum(0) for one in found]).double().cpu()
    return sums / len(windows)


def without_heads(model: Any, gone: Sequence[Sequence[int]]) -> Any:
    """Return a copy of a model without some groups of heads, of each layer as many, whose settings say so.

    What is left keeps its size D, which then is no longer H over the number of heads.

    Args:
        model: A causal language model of `transformers`.
        gone: The groups of each layer that are taken away.

    Raises:
        ConfigError: Its heads cannot be told apart, or models of its kind have something else for each head.
    """
    from accelerate import init_empty_weights

    heads = heads_of(model)
    left = heads.groups - len(gone[0])
    names = {part: name for name, part in model.named_modules()}
    state = {name: value.detach().clone() for name, value in model.state_dict().items()}
    for part, lost in zip(heads.parts, gone, strict=True):
        kept = [group for group in range(heads.groups) if group not in lost]
        for name in _READ:
            for kind in ("weight", "bias"):
                whole = state.get(place := f"{names[part]}.{name}.{kind}")
                if whole is not None:
                    state[place] = whole.view(heads.groups, -1, *whole.shape[1:])[kept].flatten(0, 1)
        place = f"{names[part]}.{_SAID}.weight"  # (H, G Q D); its bias is of the hidden state.
        state[place] = state[place].view(-1, heads.groups, heads.shared * heads.size)[:, kept].flatten(1)
    config = deepcopy(model.config)
    settings = config.get_text_config(decoder=True)
    settings.num_attention_heads, settings.num_key_value_heads = left * heads.shared, left
    settings.head_dim = heads.size
    # A model that is made anew of its settings is one that others make of them, too.
    with init_empty_weights():
        student = type(model)(config)
    try:
        student.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise _strange(model) from error
    student.tie_weights()
    student.generation_config = deepcopy(model.generation_config)
    return student.eval().requires_grad_(False)


def _sizes(part: nn.Module) -> dict[str, int]:
    """Return how many numbers of heads each of the four linear layers has, as far as they are there."""
    children = dict(part.named_children())
    found = {name: children[name] for name in (*_READ, _SAID) if type(children.get(name)) is nn.Linear}
    sizes: dict[str, Any] = {
        name: linear.in_features if name == _SAID else linear.out_features for name, linear in found.items()
    }
    return sizes


def _strange(model: Any) -> ConfigError:
    return ConfigError(
        f"the attention heads of a {type(model).__name__} cannot be told apart: each layer should hold the linear "
        "layers 'q_proj', 'k_proj', 'v_proj' and 'o_proj', of as many numbers as its settings' heads have, and nothing "
        "else for each head",
        place="--heads",
        remedy="Take a model of the Llama family, or take layers away with --layers.",
    )
