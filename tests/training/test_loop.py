"""The loop on a problem so small that what should happen is known."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.optimizer import register_optimizer_step_pre_hook

from genre.core.errors import ArtifactError, ConfigError, DependencyError, ModelError, ResourceError
from genre.training.checkpoints import Checkpoint
from genre.training.config import CHECKPOINT_FILE, TrainingConfig
from genre.training.contracts import Loss, Protection
from genre.training.loop import Trained, train

NUM_BATCHES = 5
Batch = tuple[Tensor, Tensor]


class Line:
    """Fit y = 2 x + 1 with dropout in the way; a step comes in `parts` of different sizes."""

    num_batches = NUM_BATCHES

    def __init__(
        self, parts: int = 1, fail_at: tuple[int, BaseException] | None = None, nan_from: int | None = None
    ) -> None:
        self.parts, self.fail_at, self.nan_from, self.seen = parts, fail_at, nan_from, 0

    def batches(self, rng: np.random.Generator) -> Iterator[list[Batch]]:
        for _ in range(self.num_batches):
            x = torch.from_numpy(rng.normal(size=(10, 3)).astype(np.float32))
            y = 2 * x.sum(1, keepdim=True) + 1
            yield list(zip(x.tensor_split(self.parts), y.tensor_split(self.parts), strict=True))

    def loss(self, model: nn.Module, batch: Batch, device: torch.device) -> Loss:
        self.seen += 1
        if self.fail_at is not None and self.seen == self.fail_at[0]:
            raise self.fail_at[1]
        x, y = (part.to(device) for part in batch)
        value = functional.mse_loss(model(x), y)
        if self.nan_from is not None and self.seen >= self.nan_from:
            value = value * torch.nan
        return Loss(value, len(x))


def network(seed: int = 0, dropout: float = 0.2) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 8), nn.Dropout(dropout), nn.Linear(8, 1))


def weights(model: nn.Module) -> list[np.ndarray]:
    return [value.detach().numpy().copy() for value in model.state_dict().values()]


def run(model: nn.Module, objective: Line | None = None, **settings: object) -> Trained:
    outside = {key: settings.pop(key) for key in ("validate", "directory", "about", "seed", "terms") if key in settings}
    config = TrainingConfig(**{"epochs": 4, "tracker": "none", "patience": None, **settings})
    return train(model, objective or Line(), config, name="line", **outside)


def assert_same(first: nn.Module, second: nn.Module) -> None:
    for a, b in zip(weights(first), weights(second), strict=True):
        np.testing.assert_array_equal(a, b)


def test_it_learns() -> None:
    model = network(dropout=0.0)
    trained = run(model, epochs=60, learning_rate=0.03)
    assert trained.epochs[-1].loss < 0.1 * trained.epochs[0].loss
    assert trained.best_epoch == 60
    assert not model.training


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
def test_the_same_seed_gives_the_same_weights(optimizer: str) -> None:
    first, second, third = network(), network(), network()
    run(first, optimizer=optimizer, seed=3)
    run(second, optimizer=optimizer, seed=3)
    run(third, optimizer=optimizer, seed=4)
    assert_same(first, second)
    assert not np.array_equal(weights(first)[0], weights(third)[0])


def test_training_leaves_the_callers_random_numbers_alone() -> None:
    model = network()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run(model)
    assert torch.equal(torch.rand(3), expected)


def test_parts_of_a_step_give_what_the_whole_gives() -> None:
    whole, parted = network(dropout=0.0), network(dropout=0.0)
    run(whole, optimizer="sgd", learning_rate=0.01)
    run(parted, Line(parts=3), optimizer="sgd", learning_rate=0.01)  # Parts of 4, 3 and 3 rows.
    for a, b in zip(weights(whole), weights(parted), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_it_stops_early_and_keeps_the_best() -> None:
    values = iter([0.1, 0.5, 0.3, 0.2, 0.9])
    model, kept = network(), []

    def validate() -> float:
        assert not model.training
        kept.append(weights(model))
        return next(values)

    trained = run(model, epochs=50, patience=2, patience_steps=0, validate=validate)
    assert [epoch.validation for epoch in trained.epochs] == [0.1, 0.5, 0.3, 0.2]
    assert trained.best_epoch == 2
    for a, b in zip(weights(model), kept[1], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("passes", "epochs"), [(0, 3), (2, 3), (2.5, 4), (4.5, 6), (100, 7)])
def test_where_a_pass_is_a_few_steps_it_waits_for_more_passes(passes: float, epochs: int) -> None:
    trained = run(network(), epochs=7, patience=2, patience_steps=round(passes * NUM_BATCHES), validate=lambda: 1.0)
    assert (len(trained.epochs), trained.best_epoch) == (epochs, 1)


def test_it_validates_every_so_many_epochs() -> None:
    trained = run(network(), epochs=5, validate_every=2, validate=lambda: 1.0)
    assert [epoch.validation for epoch in trained.epochs] == [None, 1.0, None, 1.0, None]


@pytest.mark.parametrize(("last", "averaged"), [(0.9, True), (0.1, False)])
def test_the_best_checkpoints_are_averaged_if_that_is_better(last: float, averaged: bool) -> None:
    values = iter([0.1, 0.5, 0.4, last])
    model, kept = network(), []

    def validate() -> float:
        kept.append(weights(model))
        return next(values)

    trained = run(model, epochs=3, average=2, validate=validate)
    assert trained.best_epoch == (0 if averaged else 2)
    expected = [(a + b) / 2 for a, b in zip(kept[1], kept[2], strict=True)] if averaged else kept[1]
    for a, b in zip(weights(model), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.5, 1, 1, 1, 1, 1]),
        ("linear", [0.5, 1, 1, 0.75, 0.5, 0.25]),
        ("cosine", [0.5, 1, 1, 0.853553, 0.5, 0.146447]),
    ],
)
def test_schedules(schedule: str, expected: list[float]) -> None:
    class Watched(Line):
        num_batches = 6

    rates = []
    hook = register_optimizer_step_pre_hook(lambda optimizer, *_: rates.append(optimizer.param_groups[0]["lr"]))
    try:
        shape = {"schedule": schedule, "warm_up_steps": 2}
        run(network(), Watched(), epochs=1, optimizer="sgd", learning_rate=1.0, clip_norm=1e-9, **shape)
    finally:
        hook.remove()
    np.testing.assert_allclose(rates, expected, rtol=1e-4)


def test_gradients_are_clipped() -> None:
    model = network(dropout=0.0)
    before = np.concatenate([value.ravel() for value in weights(model)])

    class One(Line):
        num_batches = 1

    run(model, One(), epochs=1, optimizer="sgd", learning_rate=1.0, clip_norm=0.01)
    after = np.concatenate([value.ravel() for value in weights(model)])
    assert np.linalg.norm(after - before) == pytest.approx(0.01, rel=1e-3)


def test_bfloat16_learns_too() -> None:
    model = network(dropout=0.0)
    trained = run(model, epochs=30, learning_rate=0.03, precision="bf16")
    assert trained.epochs[-1].loss < 0.2 * trained.epochs[0].loss
    assert next(model.parameters()).dtype == torch.float32


@pytest.mark.parametrize("stop_at", [1, 7, 11, 15])
def test_an_interrupted_training_ends_as_if_it_had_not_been(tmp_path: Path, stop_at: int) -> None:
    settings: dict[str, object] = {"epochs": 4, "average": 2, "checkpoint_seconds": 0, "patience": 3}

    def validation(model: nn.Module) -> Callable[[], float]:
        return lambda: -sum(float(np.abs(value).sum()) for value in weights(model))

    whole = network()
    expected = run(whole, validate=validation(whole), **settings)
    model = network()
    with pytest.raises(KeyboardInterrupt):
        run(
            model,
            Line(fail_at=(stop_at, KeyboardInterrupt())),
            validate=validation(model),
            directory=tmp_path,
            **settings,
        )
    assert (tmp_path / CHECKPOINT_FILE).exists() == (stop_at > 1)
    again = network(seed=9 if stop_at > 1 else 0)  # What is resumed does not depend on the new start.
    found = run(again, validate=validation(again), directory=tmp_path, **settings)
    assert_same(whole, again)
    assert [epoch.loss for epoch in found.epochs] == [epoch.loss for epoch in expected.epochs]
    assert found.best_epoch == expected.best_epoch


def test_a_finished_training_is_not_run_again(tmp_path: Path) -> None:
    first, second, objective = network(), network(seed=9), Line()
    run(first, directory=tmp_path)
    run(second, objective, directory=tmp_path)
    assert objective.seen == 0
    assert_same(first, second)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": 0.5}, "training.learning_rate is 0.001 there and 0.5 here"),
        ({"about": {"items": 8}}, "items is 7 there and 8 here"),
        ({"seed": 1}, "seed is 0 there and 1 here"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path, settings: dict[str, object], message: str) -> None:
    run(network(), directory=tmp_path, about={"items": 7})
    with pytest.raises(ArtifactError, match=message):
        run(network(), directory=tmp_path, **{"about": {"items": 7}, **settings})


@pytest.mark.parametrize("content", [b"", b"{}", b'\x10\0\0\0\0\0\0\0{"a":'])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / CHECKPOINT_FILE).write_bytes(content)
    with pytest.raises(ArtifactError, match=r"checkpoint\.safetensors: the checkpoint cannot be read .* Delete it"):
        run(network(), directory=tmp_path)


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    model = network()
    with pytest.raises(ModelError, match=r"line: the loss is nan in epoch 2, step 3\. .*clip_norm.*kept in"):
        run(model, Line(nan_from=NUM_BATCHES + 3), directory=tmp_path, checkpoint_seconds=0)
    assert all(np.isfinite(value).all() for value in weights(model))
    found = Checkpoint.load(tmp_path, json.loads(_about()))
    assert found is not None
    assert (found.progress["epoch"], found.progress["step_in_epoch"]) == (1, 2)
    assert all(torch.isfinite(value).all() for value in found.tensors.values())


def test_no_checkpoint_is_promised_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"the loss is nan in epoch 1, step 2\. .*clip_norm=1\.0\.$"):
        run(network(), Line(nan_from=2), directory=tmp_path)


def _about() -> str:
    config = TrainingConfig(epochs=4, tracker="none", patience=None, checkpoint_seconds=0)
    return json.dumps({"training": config.model_dump(), "seed": 0})


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
    ],
)
def test_too_little_memory_is_explained(error: BaseException) -> None:
    with pytest.raises(ResourceError, match=r"batch_size=64 in 2 part\(s\)\. Set training\.accumulate=4"):
        run(network(), Line(fail_at=(3, error)), batch_size=64, accumulate=2)


def test_other_errors_are_not_taken_for_it() -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        run(network(), Line(fail_at=(3, RuntimeError("shapes do not match"))))


def test_an_unknown_tracker_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genre.training.complaints.find_spec", lambda _: None)
    with pytest.raises(DependencyError, match=r"needs the library 'wandb'.*pip install wandb.*training\.tracker=none"):
        run(network(), directory=tmp_path, tracker="wandb")


def test_tensorboard_is_told(tmp_path: Path) -> None:
    run(network(), directory=tmp_path, tracker="tensorboard", validate=lambda: 0.5)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (log,) = tmp_path.rglob("events.out.*")
    events = EventAccumulator(str(log))
    events.Reload()
    assert [event.value for event in events.Scalars("validation")] == [0.5] * 4
    assert len(events.Scalars("loss")) == 4


_SCRIPT = """
import sys, time
from pathlib import Path
import torch
from tests.training.test_loop import Line, network, run, weights
class Slow(Line):
    def loss(self, model, batch, device):
        time.sleep(0.01)
        return super().loss(model, batch, device)
model = network()
run(model, Slow(), epochs=8, directory=Path(sys.argv[1]), checkpoint_seconds=0)
torch.save(model.state_dict(), sys.argv[2])
"""


@pytest.mark.slow
def test_killed_processes_end_with_the_same_weights(tmp_path: Path) -> None:
    expected = network()
    run(expected, epochs=8)
    rng = np.random.default_rng(0)
    kills = 0
    for attempt in range(3):
        directory, out = tmp_path / str(attempt), tmp_path / f"{attempt}.pt"
        while not out.exists():
            command = [sys.executable, "-c", _SCRIPT, str(directory), str(out)]
            process = subprocess.Popen(
                command, cwd=Path(__file__).parents[2], env={**os.environ, "PYTHONPATH": "src:."}
            )
            try:
                process.wait(timeout=5 + 3 * rng.random() if kills < 6 else 60)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
        found = network()
        found.load_state_dict(torch.load(out, weights_only=True))
        assert_same(expected, found)


class Watched(Protection):
    """Pulls all weights to zero, counts its steps, and doubles its weight at each."""

    def __init__(self, weight: float = 0.1) -> None:
        self.weight, self.steps = weight, 0
        self.drawn: list[float] = []

    def penalty(self, model: nn.Module, batch: Batch, rng: np.random.Generator) -> Tensor:
        self.drawn.append(float(rng.random()))
        return self.weight * sum((weight**2).sum() for weight in model.parameters())

    def after_step(self, model: nn.Module, step: int) -> None:
        assert next(iter(model.parameters())).grad is not None
        self.steps += 1
        self.weight *= 1.1

    def state(self) -> dict[str, float]:
        return {"weight": self.weight}

    def restore(self, state: Mapping[str, float]) -> None:
        self.weight = state["weight"]


@pytest.mark.parametrize("parts", [1, 3])
def test_a_protection_costs_its_own_weight_however_a_step_is_parted(parts: int) -> None:
    model, alone, watched = network(dropout=0.0), network(dropout=0.0), Watched()
    run(model, Line(parts), epochs=1, optimizer="sgd", learning_rate=0.01, terms=[watched])
    assert watched.steps == NUM_BATCHES
    # The same by hand.
    optimizer = torch.optim.SGD(alone.parameters(), 0.01, momentum=0.9)
    by_hand = Watched()
    for batches in Line().batches(np.random.default_rng([0, 0])):
        (x, y) = batches[0]
        (functional.mse_loss(alone(x), y) + by_hand.penalty(alone, (x, y), np.random.default_rng(0))).backward()
        optimizer.step()
        by_hand.after_step(alone, 0)
        optimizer.zero_grad()
    for a, b in zip(weights(model), weights(alone), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_a_protection_goes_on_where_it_was(tmp_path: Path) -> None:
    whole, watched = network(), Watched()
    run(whole, epochs=3, terms=[watched], directory=tmp_path / "whole")
    parted, first, second = network(), Watched(), Watched()
    with pytest.raises(KeyboardInterrupt):
        run(
            parted,
            Line(fail_at=(8, KeyboardInterrupt())),
            epochs=3,
            terms=[first],
            directory=tmp_path / "parted",
            checkpoint_seconds=0,
        )
    resumed = network()
    run(resumed, epochs=3, terms=[second], directory=tmp_path / "parted", checkpoint_seconds=0)
    assert_same(resumed, whole)
    assert second.weight == pytest.approx(watched.weight)
    assert first.drawn + second.drawn == watched.drawn


class Impatient(Watched):
    """Ends the training after so many steps."""

    def __init__(self, last: int) -> None:
        super().__init__()
        self.last = last

    def after_step(self, model: nn.Module, step: int) -> None:
        super().after_step(model, step)
        self.ends = step + 1 >= self.last

    def state(self) -> dict[str, float]:
        return super().state() | {"ends": float(self.ends)}

    def restore(self, state: Mapping[str, float]) -> None:
        super().restore(state)
        self.ends = bool(state["ends"])


@pytest.mark.parametrize("last", [2, NUM_BATCHES, NUM_BATCHES + 2])
def test_a_protection_may_end_a_training_and_the_step_counts(tmp_path: Path, last: int) -> None:
    looks = []
    whole, ending = network(), Impatient(last)

    def look() -> float:
        looks.append(ending.steps)
        return float(ending.steps)

    trained = run(whole, epochs=9, validate=look, terms=[ending], directory=tmp_path, checkpoint_seconds=0)
    assert ending.steps == last
    assert looks[-1] == last
    assert trained.best_epoch == len(trained.epochs) == -(-last // NUM_BATCHES)
    again, idle = network(), Impatient(last)
    run(again, epochs=9, validate=lambda: 0.0, terms=[idle], directory=tmp_path, checkpoint_seconds=0)
    assert idle.steps == 0
    assert_same(again, whole)


def test_what_never_learns_is_not_written_and_stays(tmp_path: Path) -> None:
    model = network()
    model[0].requires_grad_(False)
    before = weights(model[0])
    run(model, epochs=2, directory=tmp_path, checkpoint_seconds=0, validate=lambda: 0.0, average=2)
    names = [name for name in safe_open_names(tmp_path / CHECKPOINT_FILE) if name.startswith(("model.", "best."))]
    assert names
    assert not [name for name in names if name.endswith(("0.weight", "0.bias"))]
    for a, b in zip(weights(model[0]), before, strict=True):
        np.testing.assert_array_equal(a, b)


def safe_open_names(path: Path) -> list[str]:
    from safetensors import safe_open

    with safe_open(path, "pt") as found:
        return list(found.keys())


class Tower(nn.Sequential):
    """Three layers that know their places."""

    def layer_of(self, name: str) -> int | None:
        return 2 - int(name.split(".")[0])

    def disturbed(self) -> list[nn.Parameter]:
        return [self[0].weight]


def tower() -> Tower:
    torch.manual_seed(0)
    return Tower(nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 1))


def test_layers_learn_slower_the_farther_they_are_from_the_output() -> None:
    model, plain = tower(), tower()
    start = weights(model)
    run(model, epochs=1, optimizer="sgd", learning_rate=1e-4, layer_decay=0.5)
    run(plain, epochs=1, optimizer="sgd", learning_rate=1e-4)
    moved, usual = (
        [np.abs(after - before).max() for before, after in zip(start, weights(one), strict=True)]
        for one in (model, plain)
    )
    np.testing.assert_allclose(np.array(moved) / usual, [0.25, 0.25, 0.5, 0.5, 1, 1], rtol=0.02)


def test_layers_are_opened_one_after_the_other() -> None:
    model = tower()
    start = weights(model)
    looks: list[list[bool]] = []

    def look() -> float:
        looks.append([bool((before != after).any()) for before, after in zip(start, weights(model), strict=True)][::2])
        return 0.0

    run(model, epochs=5, unfreeze_every=2, validate=look)
    assert looks == [[False, False, True]] * 2 + [[False, True, True]] * 2 + [[True, True, True]]


def changed(before: list[Any], model: nn.Module) -> list[bool]:
    """Return which layers of three are others now."""
    return [bool((old != new).any()) for old, new in zip(before, weights(model), strict=True)][::2]


def test_only_the_last_layers_learn() -> None:
    for layers, expected in ((1, [False, False, True]), (2, [False, True, True]), (3, [True, True, True])):
        model = tower()
        start = weights(model)
        run(model, epochs=2, layers=layers)
        assert changed(start, model) == expected
        assert all(weight.requires_grad for weight in model.parameters()), "what stayed may learn on"
    model = tower()
    start = weights(model)
    run(model, epochs=5, layers=2, unfreeze_every=1)
    assert changed(start, model) == [False, True, True]


def test_a_training_that_goes_on_within_an_epoch_opens_no_other_layers(tmp_path: Path) -> None:
    model = tower()
    start = weights(model)
    settings: dict[str, Any] = {"epochs": 1, "layers": 1, "checkpoint_seconds": 0}
    with pytest.raises(KeyboardInterrupt):
        run(model, Line(fail_at=(2, KeyboardInterrupt())), directory=tmp_path, **settings)
    again = tower()
    run(again, directory=tmp_path, **settings)
    assert changed(start, again) == [False, False, True]


def test_a_layer_whose_turn_never_came_may_learn_on_afterwards() -> None:
    model = tower()
    model[1].bias.requires_grad_(False)
    run(model, epochs=1, unfreeze_every=1)
    assert [name for name, weight in model.named_parameters() if not weight.requires_grad] == ["1.bias"]


def test_a_model_without_layers_or_vectors_cannot_be_told_apart() -> None:
    for setting in ({"layer_decay": 0.9}, {"unfreeze_every": 1}, {"layers": 1}):
        with pytest.raises(ConfigError, match=r"line: the model has no layers.*Leave `layer_decay`"):
            run(network(), **setting)
    with pytest.raises(ConfigError, match=r"line: the model has no vectors to disturb\. Leave `adversarial` out"):
        run(network(), adversarial=0.1)


def test_vectors_are_moved_where_it_hurts_and_brought_back() -> None:
    model, by_hand = tower(), tower()
    run(model, epochs=1, optimizer="sgd", learning_rate=0.01, adversarial=0.5)
    optimizer = torch.optim.SGD(by_hand.parameters(), 0.01, momentum=0.9)
    for ((x, y),) in Line().batches(np.random.default_rng([0, 0])):
        functional.mse_loss(by_hand(x), y).backward()
        table = by_hand[0].weight
        kept, push = table.detach().clone(), 0.5 * table.grad / table.grad.norm()
        clean = functional.mse_loss(by_hand(x), y).item()
        table.data += push
        hurt = functional.mse_loss(by_hand(x), y)
        assert hurt.item() > clean
        hurt.backward()
        table.data = kept
        optimizer.step()
        optimizer.zero_grad()
    for a, b in zip(weights(model), weights(by_hand), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_the_sum_of_magnitudes_draws_to_zero() -> None:
    plain, drawn = network(dropout=0.0), network(dropout=0.0)
    run(plain, epochs=20)
    run(drawn, epochs=20, l1=0.5)
    sizes = [sum(np.abs(value).sum() for value in weights(model)) for model in (plain, drawn)]
    assert sizes[1] < 0.9 * sizes[0]
