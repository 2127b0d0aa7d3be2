"""The training loop: one for every torch model.

It knows no model. An objective gives batches and a loss; `validate` says how good the model is by now.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn

from genre.core.errors import ModelError
from genre.core.parts import below, with_prefix
from genre.core.run import Progress, Silent
from genre.training.checkpoints import Checkpoint, optimizer_tensors, restore_optimizer
from genre.training.complaints import check_tracker, is_out_of_memory, too_large
from genre.training.config import CHECKPOINT_FILE, TrainingConfig
from genre.training.contracts import Objective, Term
from genre.training.learning_weights import disturbance, disturbed_tables, optimizer_of

Validate = Callable[[], float]
Weights = dict[str, Tensor]


@dataclass
class Epoch:
    """What happened in one pass over the data."""

    loss: float
    """Mean over the targets."""
    targets: int
    seconds: float
    """Of training, without validation."""
    validation: float | None = None


@dataclass
class Trained:
    """What became of a training; the model holds the weights that were best."""

    epochs: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    """Counted from 1; the last one where nothing was validated, and 0 for an average of several."""


def train(
    model: nn.Module,
    objective: Objective[Any],
    config: TrainingConfig,
    *,
    name: str,
    seed: int = 0,
    validate: Validate | None = None,
    terms: Sequence[Term] = (),
    directory: Path | None = None,
    about: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Trained:
    """Train a model until it stops getting better, and leave it with its best weights.

    Every step draws its random numbers from the seed and the step's number, so that a training that was killed goes on
    from its last checkpoint exactly as it would have: on a CPU, to the last digit.

    Args:
        model: What is trained, in place.
        objective: Batches and loss.
        config: How to train.
        name: Of the model, for progress, logs and messages.
        seed: Decides the order of the batches and what is dropped out. The weights are the caller's to initialise.
        validate: Returns how good the model is, the higher the better, on events that it does not learn from. Without
            it, all epochs are run and the last weights are kept.
        terms: What is added to the loss of each step.
        directory: Where checkpoints and logs are kept. Without it, a killed training starts again.
        about: What is trained, as plain values; a checkpoint of something else is refused.
        progress: Shows how far it has come.

    Raises:
        ConfigError: The model has no layers, or no vectors to disturb, as the config wants.
        ModelError: The loss is not a number. The last good checkpoint is kept.
        ResourceError: The memory does not suffice.
        ArtifactError: The directory holds a checkpoint of another training, or a damaged one.
    """
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    with torch.random.fork_rng(devices):
        training = _Training(model, objective, config, name, seed, validate, terms, directory, dict(about or {}))
        total = config.epochs * objective.num_batches
        try:
            for parts in (progress or Silent()).track(training.steps(), f"{name}: train", total):
                training.step(parts)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and not is_out_of_memory(error):
                raise
            raise too_large(config, name) from error
        return training.finish()


class _Training:
    """The state of a training, from step to step."""

    def __init__(
        self,
        model: nn.Module,
        objective: Objective[Any],
        config: TrainingConfig,
        name: str,
        seed: int,
        validate: Validate | None,
        terms: Sequence[Term],
        directory: Path | None,
        about: dict[str, Any],
    ) -> None:
        self.objective, self.config, self.name, self.seed = objective, config, name, seed
        self.validate, self.terms, self.directory = validate, terms, directory
        # What never learns is not written down again and again: of a language model it may be all but a thousandth.
        self.fixed = {key for key, weight in model.named_parameters(remove_duplicate=False) if not weight.requires_grad}
        self.disturbed = disturbed_tables(model, config, name)
        self.about = {**about, "training": config.model_dump(), "seed": seed}
        tracked = directory is not None and config.tracker != "none"
        if tracked:
            check_tracker(config.tracker, name)
        AcceleratorState._reset_state()  # Its settings are global, and another training may have had others.
        self.accelerator = Accelerator(
            mixed_precision="no" if config.precision == "fp32" else config.precision,
            log_with=config.tracker if tracked else None,
            project_dir=None if directory is None else str(directory),
        )
        self.accelerator.init_trackers(name)
        optimizer = optimizer_of(model, config, name)
        self.model, self.optimizer = self.accelerator.prepare(model, optimizer)
        self.epoch = self.step_in_epoch = self.waited = 0
        self.stopped = False
        self.opened = -1
        """The epoch for which layers were opened last."""
        self.best: list[tuple[float, int, Weights]] = []
        self.trained = Trained()
        self.losses: list[tuple[float, int]] = []
        self.seconds = 0.0
        self.saved_at = time.monotonic()
        self._resume()

    @property
    def step_number(self) -> int:
        return self.epoch * self.objective.num_batches + self.step_in_epoch

    def steps(self) -> Iterator[list[Any]]:
        """Yield what is left to be done, step by step; what an epoch ends with is done in between."""
        while self.epoch < self.config.epochs and not self.stopped:
            batches = self.objective.batches(np.random.default_rng([self.seed, self.epoch]))
            for parts in islice(batches, self.step_in_epoch, None):
                if self._must_end:
                    break
                yield parts
            self._end_epoch()

    def step(self, parts: list[Any]) -> None:
        """Take one step of the optimizer."""
        started = time.perf_counter()
        torch.manual_seed(
            int(np.random.SeedSequence([self.seed, self.step_number]).generate_state(1, np.uint64)[0] >> 1)
        )
        self.model.train()
        self._open_layers()
        losses = self._backward(parts)
        if self.disturbed:
            with disturbance(self.disturbed, self.config.adversarial):
                self._backward(parts)
        count = sum(size for _, size in losses)
        value = sum(float(part) * size for part, size in losses) / max(1, count)
        if not math.isfinite(value):
            self._stop_at(value)
        if len(parts) > 1:
            self._divide(count)
        for at, term in enumerate(self.terms):
            rng = np.random.default_rng([self.seed, self.step_number, at])
            with self.accelerator.autocast():
                cost = term.penalty(self._plain, parts[-1], rng)
            if cost.requires_grad:
                self.accelerator.backward(cost)
        self._update()
        self.losses.append((value, count))
        self.step_in_epoch += 1
        self.seconds += time.perf_counter() - started
        self._save()

    def finish(self) -> Trained:
        """Leave the model with its best weights, all of which may learn on."""
        for group in self.optimizer.param_groups:
            for weight in group["params"]:
                weight.requires_grad_(True)  # Of some layers the turn may not have come.
        model = self._plain
        # Mixed precision puts a `forward` of its own on the model, which copies of it would share.
        model.__dict__.pop("forward", None)
        self.accelerator.end_training()
        if not self.best:
            self.trained.best_epoch = self.epoch
        else:
            value, self.trained.best_epoch, weights = self.best[0]
            if len(self.best) > 1 and self.validate is not None:
                model.load_state_dict(_mean([kept for _, _, kept in self.best]), strict=not self.fixed)
                model.eval()
                if self.validate() > value:
                    self.trained.best_epoch = 0
                    return self.trained
            model.load_state_dict(weights, strict=not self.fixed)
        model.eval()
        return self.trained

    @property
    def _must_end(self) -> bool:
        return any(term.ends for term in self.terms)

    @property
    def _plain(self) -> nn.Module:
        model: nn.Module = self.accelerator.unwrap_model(self.model)
        return model

    def _backward(self, parts: list[Any]) -> list[tuple[Tensor, int]]:
        """Add up the gradients of the parts of a step; return the loss and the targets of each."""
        losses = []
        for part in parts:
            with self.accelerator.autocast():
                loss = self.objective.loss(self.model, part, self.accelerator.device)
            share = loss.value * (loss.count if len(parts) > 1 else 1)
            self.accelerator.backward(share)
            losses.append((loss.value.detach(), loss.count))
        return losses

    def _divide(self, count: int) -> None:
        for parameter in self.model.parameters():
            if parameter.grad is not None:
                parameter.grad /= count

    def _open_layers(self) -> None:
        """Let those layers learn whose turn has come; at the first step of an epoch, or of this process."""
        every, most = self.config.unfreeze_every or 0, self.config.layers
        if self.opened == self.epoch or (not every and most is None):
            return
        for group in self.optimizer.param_groups:
            turn = group["layer"] * every <= self.epoch and (most is None or group["layer"] < most)
            for weight in group["params"]:
                weight.requires_grad_(turn)
        self.opened = self.epoch

    def _update(self) -> None:
        if self.config.l1:
            for parameter in self.model.parameters():
                if parameter.grad is not None:
                    parameter.grad.add_(parameter.detach().sign(), alpha=self.config.l1)
        if self.config.clip_norm is not None:
            self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        rate = self.config.learning_rate * self._rate_factor()
        for group in self.optimizer.param_groups:
            group["lr"] = rate * self.config.layer_decay ** group["layer"]
        self.optimizer.step()
        for term in self.terms:
            term.after_step(self._plain, self.step_number)
        self.optimizer.zero_grad()

    def _rate_factor(self) -> float:
        step, warm_up = self.step_number, self.config.warm_up_steps
        if step < warm_up:
            return (step + 1) / warm_up
        if self.config.schedule == "constant":
            return 1.0
        total = self.config.epochs * self.objective.num_batches
        done = (step - warm_up) / max(1, total - warm_up)
        return 1 - done if self.config.schedule == "linear" else (1 + math.cos(math.pi * done)) / 2

    def _end_epoch(self) -> None:
        count = sum(size for _, size in self.losses)
        mean = sum(value * size for value, size in self.losses) / max(1, count)
        found = Epoch(mean, count, self.seconds)
        self.epoch += 1
        self.step_in_epoch, self.losses, self.seconds = 0, [], 0.0
        if self.validate is not None and self.epoch % self.config.validate_every == 0:
            self.model.eval()
            found.validation = self.validate()
            self._keep_if_good(found.validation)
        for term in self.terms:
            term.after_epoch(self.epoch)
        self.stopped = self.stopped or self._must_end
        self.trained.epochs.append(found)
        values = {"loss": mean, "learning_rate": self.optimizer.param_groups[0]["lr"]}
        self.accelerator.log(
            values if found.validation is None else values | {"validation": found.validation}, self.epoch
        )
        self._save(always=self.stopped or self.epoch == self.config.epochs)

    def _keep_if_good(self, value: float) -> None:
        better = not self.best or value > self.best[0][0]
        self.waited = 0 if better else self.waited + 1
        if len(self.best) < self.config.average or value > self.best[-1][0]:
            weights = {name: tensor.detach().cpu().clone() for name, tensor in self._weights().items()}
            self.best = sorted([*self.best, (value, self.epoch, weights)], key=lambda kept: -kept[0])
            del self.best[self.config.average :]
        config, steps = self.config, (self.epoch - self.best[0][1]) * self.objective.num_batches
        self.stopped = config.patience is not None and self.waited >= config.patience and steps >= config.patience_steps

    def _weights(self) -> Weights:
        return {name: tensor for name, tensor in self._plain.state_dict().items() if name not in self.fixed}

    def _save(self, *, always: bool = False) -> None:
        """Write a checkpoint if one is due."""
        due = always or time.monotonic() - self.saved_at > self.config.checkpoint_seconds
        if self.directory is None or not due:
            return
        weights = self._weights()
        if not all(bool(torch.isfinite(tensor).all()) for tensor in weights.values() if tensor.is_floating_point()):
            return  # The next step finds out, and says so; the last good checkpoint stays.
        tensors = {**with_prefix("model.", weights), **with_prefix("optimizer.", optimizer_tensors(self.optimizer))}
        for place, (_, _, kept) in enumerate(self.best):
            tensors |= with_prefix(f"best.{place}.", kept)
        progress = {
            "epoch": self.epoch,
            "step_in_epoch": self.step_in_epoch,
            "waited": self.waited,
            "stopped": self.stopped,
            "best": [(value, epoch) for value, epoch, _ in self.best],
            "epochs": [vars(epoch) for epoch in self.trained.epochs],
            "losses": self.losses,
            "seconds": self.seconds,
            "protections": [term.state() for term in self.terms],
        }
        Checkpoint(self.about, progress, {name: value.cpu() for name, value in tensors.items()}).save(self.directory)
        self.saved_at = time.monotonic()

    def _resume(self) -> None:
        found = None if self.directory is None else Checkpoint.load(self.directory, self.about)
        if found is None:
            return
        progress, tensors = found.progress, found.tensors
        self._plain.load_state_dict(below("model.", tensors), strict=not self.fixed)
        for term, state in zip(self.terms, progress["protections"], strict=True):
            term.restore(state)
        restore_optimizer(self.optimizer, below("optimizer.", tensors))
        self.epoch, self.step_in_epoch = progress["epoch"], progress["step_in_epoch"]
        self.waited, self.stopped, self.seconds = progress["waited"], progress["stopped"], progress["seconds"]
        self.best = [
            (value, epoch, below(f"best.{place}.", tensors)) for place, (value, epoch) in enumerate(progress["best"])
        ]
        self.trained.epochs = [Epoch(**epoch) for epoch in progress["epochs"]]
        self.losses = [(value, count) for value, count in progress["losses"]]

    def _stop_at(self, value: float) -> None:
        kept = self.directory is not None and (self.directory / CHECKPOINT_FILE).exists()
        where = f" The last good checkpoint is kept in {self.directory}." if kept else ""
        clip = "lower it" if self.config.clip_norm else "lower it, or set clip_norm=1.0"
        raise ModelError(
            f"the loss is {value} in epoch {self.epoch + 1}, step {self.step_in_epoch + 1}",
            place=self.name,
            remedy=f"The learning rate is {self.config.learning_rate!r}: {clip}.{where}",
        )


def _mean(weights: list[Weights]) -> Weights:
    return {
        name: torch.stack([kept[name].float() for kept in weights]).mean(0).to(weights[0][name].dtype)
        for name in weights[0]
    }
