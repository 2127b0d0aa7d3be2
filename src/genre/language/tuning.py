"""Which weights of a causal language model learn: all, some, or few that are added to it.

Shapes: R rows, L places, P places of a prefix, H numbers of a hidden state, V tokens of the vocabulary.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from inspect import signature
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from genre.core.config import Config
from genre.core.errors import ConfigError, DependencyError, ModelError
from genre.language.new_tokens import ROWS, NewTokens

if TYPE_CHECKING:
    from torch import Tensor, nn

Method: TypeAlias = Literal["frozen", "full", "last_layers", "lora", "adalora", "prefix", "ia3"]
_ADDED = frozenset({"lora", "adalora", "prefix", "ia3"})
_WITH_NEW_TOKENS = ("frozen", "last_layers", "lora", "adalora")
"""`full` would move the old rows too, and peft has no way to learn rows beside a prefix or factors."""
_USUAL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
LAYER = re.compile(r"(?:^|\.)(?:layers?|h|blocks)\.(\d+)\.")
"""How the weights of a numbered layer are named: `layer` by encoders, the others by causal models."""


class TuningConfig(Config):
    """What learns of a language model. What is added to it can be taken off again, and then it writes as before."""

    method: Method = "lora"
    """`frozen` nothing; `full` everything; `last_layers` the last `layers` of them; `lora` low-rank updates of linear
    layers (Hu et al., ICLR 2022), with `adalora` of ranks that follow the need (Zhang et al., ICLR 2023); `prefix`
    vectors before the text (Li and Liang, ACL 2021); `ia3` a factor for each of some activations (Liu et al., NeurIPS
    2022)."""
    layers: int = Field(default=2, ge=1)
    """Layers next to the output that learn, for `last_layers`."""
    rank: int = Field(default=8, ge=1)
    """Of an update, for `lora` and `adalora`."""
    alpha: float = Field(default=16.0, gt=0)
    """An update counts `alpha / rank` times, for `lora` and `adalora`: the learning rate then suits any rank."""
    dropout: float = Field(default=0.05, ge=0, lt=1)
    """Share of an update's inputs that a training step leaves out, for `lora` and `adalora`."""
    modules: tuple[str, ...] = ()
    """Names of the linear layers that are updated, as `q_proj`; by default those that models of the Llama family have,
    and all linear layers of another model. `ia3` takes keys, values and the layer that narrows."""
    tokens: int = Field(default=16, ge=1)
    """Vectors of a prefix."""
    checkpointing: bool = False
    """Whether activations are worked out again in the backward pass: about a third more time for much less memory."""

    @property
    def adds(self) -> bool:
        """Whether weights are added rather than changed."""
        return self.method in _ADDED

    def check_installed(self, *, new_tokens: bool = False) -> None:
        """Make sure that the library for what is added is there.

        Args:
            new_tokens: Whether the model gets new tokens.

        Raises:
            DependencyError: It is not.
        """
        if (self.adds or new_tokens) and find_spec("peft") is None:
            other = "" if new_tokens else ", or choose 'full', 'last_layers' or 'frozen'"
            raise DependencyError(
                f"{'new tokens need' if new_tokens else f'{self.method!r} needs'} the library 'peft', which is not "
                "installed",
                place="tuning.method",
                remedy=f"Install it with `pip install 'genre-rec[text]'`{other}.",
            )

    def check_new_tokens(self) -> None:
        """Make sure that new tokens can be learned beside this.

        Raises:
            ConfigError: They cannot.
        """
        if self.method not in _WITH_NEW_TOKENS:
            *most, last = map(repr, _WITH_NEW_TOKENS)
            raise ConfigError(
                f"{self.method!r} cannot be learned beside new tokens, whose rows alone may move in the embedding",
                place="tuning.method",
                remedy=f"Choose {', '.join(most)} or {last}; with 'frozen', only the new rows learn.",
            )


class TunedModel:
    """A causal language model some of whose weights learn.

    `language` gives logits with what was learned, `hidden` hidden states. `base_switched_on` is the model as it was:
    bit for bit where weights were added, from a copy of the changed weights elsewhere. With `new_tokens` it reads
    tokens that it did not have, by peft's `trainable_token_indices`; what it writes does not depend on them.
    """

    def __init__(
        self, model: nn.Module, config: TuningConfig, *, total_steps: int | None = None, new_tokens: int = 0
    ) -> None:
        """Freeze and add.

        Args:
            model: A causal language model of `transformers`, which is changed in place; float32.
            config: What learns.
            total_steps: Of the training to come, which `adalora` spreads its ranks over.
            new_tokens: Tokens that it gets behind its own; their rows learn, whatever else does.

        Raises:
            ConfigError: The model has no layers of the names in `modules`, or new tokens cannot be learned beside what
                the config says.
        """
        self.config = config
        whole: Any = model
        whole.requires_grad_(False)
        self._new_tokens: NewTokens | None = None
        if new_tokens:
            config.check_new_tokens()
            self._new_tokens = NewTokens(whole, new_tokens)
        self._wrapped = config.adds or new_tokens > 0
        with warnings.catch_warnings():
            # peft asks transformers for something under its former name.
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
            self.language: Any = whole
            if self._wrapped:
                self.language = _with_additions(whole, config, total_steps, self._new_tokens)
        open_weights(self.language, config)
        if config.checkpointing:
            self.language.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        self.names = frozenset(name for name, weight in self.language.named_parameters() if weight.requires_grad)
        if self._new_tokens is not None:
            self._new_tokens.found_in(self.language)
        # What is added begins as no change at all; what is changed is remembered as it was.
        self.before = {} if config.adds else {name: value.detach().clone() for name, value in self.updates()}

    @property
    def causal(self) -> Any:
        """The model of `transformers` itself, with what was added in its layers."""
        return self.language.get_base_model() if self._wrapped else self.language

    @property
    def new_tokens(self) -> NewTokens:
        """The new tokens.

        Raises:
            ModelError: There are none.
        """
        if self._new_tokens is None:
            raise ModelError("it has no new tokens", place="tuning", remedy="Build it with `new_tokens`.")
        return self._new_tokens

    def learned(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the weights that learn, by name."""
        return ((name, weight) for name, weight in self.language.named_parameters() if name in self.names)

    def updates(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield those of them that what it writes depends on: all but the rows of new tokens."""
        return ((name, weight) for name, weight in self.learned() if ROWS not in name)

    @property
    def num_learned(self) -> int:
        """Numbers that learn."""
        return sum(weight.numel() for _, weight in self.learned())

    def new_cache(self) -> Any:
        """Return what keeps the keys and values of one row for what follows on it."""
        from transformers import DynamicCache

        return self.language.get_prompt(1) if self.config.method == "prefix" else DynamicCache()

    def hidden(self, inputs: Tensor, visible: Tensor, positions: Tensor, cache: Any = None) -> Tensor:
        """Return the last hidden states (R, L, H) of what is given as vectors.

        Args:
            inputs: (R, L, H) in place of the vectors of tokens.
            visible: (R, L, L) whether the place of the second dimension may look at that of the third; (R, L, C + L)
                where it may not look at all C places of the cache.
            positions: (R, L) places as the model counts them.
            cache: Of `new_cache`, for R rows, for one row with a prefix: what is in it comes before, and this is added.
        """
        import torch

        extra: dict[str, Any] = {"use_cache": cache is not None}
        before = cache
        if self.config.method == "prefix":
            positions = positions + self.config.tokens
            before = self.language.get_prompt(len(inputs)) if cache is None else cache
        if before is not None:
            name = "cache" if "cache" in signature(self.causal.model.forward).parameters else "past_key_values"
            extra[name] = before
            untold = before.get_seq_length() + inputs.shape[1] - visible.shape[-1]
            visible = torch.nn.functional.pad(visible, (untold, 0), value=True)
        bias = torch.zeros(visible.shape, dtype=inputs.dtype, device=inputs.device)
        bias.masked_fill_(~visible, torch.finfo(inputs.dtype).min)
        found: Tensor = self.causal.model(
            inputs_embeds=inputs, attention_mask=bias[:, None], position_ids=positions, **extra
        ).last_hidden_state
        return found

    def layer_of(self, name: str) -> int | None:
        """Return how many layers lie between a weight and the output, by its name; none for what belongs to no layer.

        Vectors of tokens are the farthest; those of new ones belong to none, since there is nothing general in them.
        """
        if ROWS in name:
            return None
        num_layers = int(self.causal.config.get_text_config(decoder=True).num_hidden_layers)
        found = LAYER.search(name)
        if found:
            return num_layers - 1 - int(found.group(1))
        return num_layers if "embed_tokens" in name or "wte" in name else None

    @contextmanager
    def base_switched_on(self) -> Iterator[None]:
        """Let the model be what it was before it learned, for as long as this lasts."""
        with ExitStack() as stack:
            if self._wrapped:
                stack.enter_context(self.language.disable_adapter())
            if self.before:
                stack.enter_context(self.interpolated(0.0))
            yield

    @contextmanager
    def interpolated(self, share: float) -> Iterator[None]:
        """Let only a share of what was learned count, for as long as this lasts.

        For weights that changed ``w_0 + share (w - w_0)`` (Wortsman et al.: Robust Fine-Tuning of Zero-Shot Models,
        CVPR 2022); for low-rank updates the share of the update, and for factors that of their distance from 1. Rows of
        new tokens count in full: a share of them would spare the writing nothing.

        Raises:
            ConfigError: A prefix has no half.
        """
        import torch

        kept = {name: weight.detach().clone() for name, weight in self._scaled(share)}
        with torch.no_grad():
            for name, weight in self._scaled(share):
                start = self.before.get(name, torch.full_like(weight, 1.0 if self.config.method == "ia3" else 0.0))
                weight.copy_(start + share * (kept[name] - start) if share != 1 else kept[name])
        # Mixed precision remembers weights that learn in bfloat16, and would go on with those from before.
        torch.clear_autocast_cache()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, weight in self._scaled(share):
                    weight.copy_(kept[name])
            torch.clear_autocast_cache()

    def settle(self, share: float) -> None:
        """Let only a share of what was learned count from now on.

        Raises:
            ConfigError: A prefix has no half.
        """
        import torch

        with self.interpolated(share):
            found = {name: weight.detach().clone() for name, weight in self.updates()}
        with torch.no_grad():
            for name, weight in self.updates():
                weight.copy_(found[name])

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what was learned, and nothing of the base."""
        return {name: weight.detach().cpu().float().numpy() for name, weight in self.learned()}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take back what `state` returned.

        Raises:
            ModelError: It is of a model with other layers.
        """
        take_back(dict(self.learned()), state, "language model", "tuning")

    def _scaled(self, share: float) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the weights that a share of the update is a share of: one factor of a product of two."""
        if self.config.method == "prefix" and share not in (0.0, 1.0):
            raise ConfigError(
                f"a share of {share!r} of a prefix means nothing",
                place="tuning.method",
                remedy="Interpolate what 'lora', 'adalora', 'ia3', 'last_layers' or 'full' has learned.",
            )
        factor = {"lora": ".lora_B.", "adalora": ".lora_E."}.get(self.config.method, "")
        return ((name, weight) for name, weight in self.updates() if factor in name)


def open_weights(model: nn.Module, config: TuningConfig) -> None:
    """Let all weights of a model learn too, or those of its last layers, where the method says so.

    Raises:
        ConfigError: Its layers are not numbered.
    """
    if config.method == "full":
        model.requires_grad_(True)
    if config.method == "last_layers":
        _open_last_layers(model, config.layers)


def take_back(own: Mapping[str, nn.Parameter], state: Mapping[str, NDArray[Any]], what: str, place: str) -> None:
    """Give weights the values that were kept of them.

    Args:
        own: The weights by name, changed in place.
        state: Their values.
        what: The model that they are of, for the message.
        place: The setting that chose it, for the message.

    Raises:
        ModelError: The values are of other weights.
    """
    import torch

    if set(own) != set(state) or any(own[name].shape != state[name].shape for name in own):
        raise ModelError(
            f"what was learned does not fit this {what}",
            place=place,
            remedy=f"Use the {what} and the tuning settings of that time.",
        )
    with torch.no_grad():
        for name, weight in own.items():
            weight.copy_(torch.from_numpy(np.array(state[name])))


def _with_additions(model: nn.Module, config: TuningConfig, total_steps: int | None, new: NewTokens | None) -> Any:
    import peft

    library: Any = peft
    kind = library.TaskType.CAUSAL_LM
    if not config.adds and new is not None:
        rows = library.TrainableTokensConfig(task_type=kind, target_modules=[new.module], token_indices=new.indices)
        return library.get_peft_model(model, rows)
    if config.method == "prefix":
        # peft 0.21 gives transformers the prefix under its former name, at every call.
        warnings.filterwarnings("ignore", message="`past_key_values` is deprecated", category=FutureWarning)
        return library.get_peft_model(
            model, library.PrefixTuningConfig(task_type=kind, num_virtual_tokens=config.tokens)
        )
    linear = _linear_layers(model)
    if config.method == "ia3":
        chosen = _chosen(config, linear, ("k_proj", "v_proj", "down_proj"))
        fed = [name for name in chosen if name == "down_proj"]
        settings = library.IA3Config(task_type=kind, target_modules=chosen, feedforward_modules=fed)
        return library.get_peft_model(model, settings)
    shared = {
        "task_type": kind,
        "target_modules": _chosen(config, linear, _USUAL),
        "lora_alpha": config.alpha,
        "lora_dropout": config.dropout,
        "trainable_token_indices": None if new is None else {new.module: new.indices},
    }
    if config.method == "lora":
        return library.get_peft_model(model, library.LoraConfig(r=config.rank, **shared))
    steps = max(10, total_steps or 1000)
    plan = {"total_step": steps, "tinit": steps // 5, "tfinal": steps // 5, "deltaT": max(1, steps // 100)}
    more = max(config.rank + 1, config.rank * 3 // 2)
    return library.get_peft_model(model, library.AdaLoraConfig(init_r=more, target_r=config.rank, **plan, **shared))


def _linear_layers(model: Any) -> list[str]:
    """Return the last names of the linear layers, but for the one that gives logits."""
    from torch import nn

    head = model.get_output_embeddings()
    found = {
        name.rpartition(".")[2]
        for name, layer in model.named_modules()
        if layer is not head and (isinstance(layer, nn.Linear) or type(layer).__name__ == "Conv1D")
    }
    return sorted(found)


def _chosen(config: TuningConfig, linear: list[str], usual: tuple[str, ...]) -> list[str]:
    if not config.modules:
        return [name for name in usual if name in linear] or linear
    missing = [name for name in config.modules if name not in linear]
    if missing:
        raise ConfigError(
            f"the model has no linear layers named {missing[0]!r}",
            place="tuning.modules",
            remedy=f"Choose from {linear}, or leave it out.",
        )
    return list(config.modules)


def _open_last_layers(model: nn.Module, count: int) -> None:
    """Let the last layers learn, and the norm behind them."""
    numbered = [int(found.group(1)) for name, _ in model.named_parameters() if (found := LAYER.search(name))]
    if not numbered:
        raise ConfigError(
            "the model's layers are not numbered in the names of its weights",
            place="tuning.method",
            remedy="Choose 'lora' or 'full'.",
        )
    first = max(numbered) + 1 - count
    seen = False
    for name, weight in model.named_parameters():
        found = LAYER.search(name)
        seen = seen or found is not None
        behind = seen and found is None and "embed" not in name and "lm_head" not in name
        if behind or (found is not None and int(found.group(1)) >= first):
            weight.requires_grad_(True)
