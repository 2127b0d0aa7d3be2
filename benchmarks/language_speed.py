"""Fine-tuning and re-ranking with a language model, beside what one would write with transformers and peft.

    python benchmarks/language_speed.py training
    python benchmarks/language_speed.py ranking

Protocol: one process, the same cores, the ways in turn, medians. Training: the same network, LoRA updates, histories of
titles of Beauty, loss over all items, optimizer and bfloat16 autocast; the Trainer's batches are padded to the longest
history, with and without those of like length together; the other way is Genre's loop with packed rows. On a GPU, each
way has run a few steps before it is timed, and the share of the peak is 4 operations a token for each weight of the
layers (forwards, and back through weights that do not learn), over what a product of 8192 x 8192 bfloat16 matrices gets
there. Ranking: the
candidates of each user as whole prompts in padded batches, of which only the last token's logits are worked out, and
behind one beginning that is read once.
"""

from __future__ import annotations

import argparse
import copy
import os
import tempfile
import time
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from common import data_files, device_name, table, write_result
from torch import nn
from torch.utils.data import Dataset as Rows
from transformers import Trainer, TrainerCallback, TrainingArguments

from genre.config import Experiment
from genre.core.interactions import Interactions
from genre.core.run import RunContext
from genre.data.dataset import Dataset
from genre.recommenders.llm_ranker import LlmRanker, LlmRankerConfig
from genre.recommenders.llm_sequential import LlmSequential, LlmSequentialConfig
from genre.recommenders.popularity import PopularityConfig
from genre.recommenders.trained import among
from genre.stages import prepare
from genre.training.loop import train
from genre.training.next_item import NextItem, Steps
from genre.training.packing import Packed

LENGTH, BATCH = 20, 16
ON_GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if ON_GPU else "cpu")
PROTOCOL = (__doc__ or "").partition("Protocol: ")[2].strip()


def train_part(name: str) -> Dataset:
    """Return the training part of a data set."""
    files = {table_name: path for table_name, path in data_files(name).items() if table_name != "users"}
    settings = {"data": {"kind": "files", **files}, "models": {"popularity": {"kind": "popularity"}}}
    return prepare(Experiment.model_validate(settings)).splits[0].train


def sequential(data: Dataset, batch_size: int) -> LlmSequential:
    """Return a model with everything in place but what is learned: it has learned from one window."""
    config = LlmSequentialConfig.model_validate(
        {
            "history": "titles",
            "length": LENGTH,
            "max_windows": 1,
            "vectors": {"encoder": {"kind": "hashing"}},
            "tuning": {"method": "lora", "rank": 8, "dropout": 0.0},
            "training": {
                "epochs": 1,
                "batch_size": batch_size,
                "precision": "bf16",
                "tracker": "none",
                "patience": None,
            },
        }
    )
    return config.build({}).fit(data, RunContext())


class Histories(Rows[dict[str, Any]]):
    """Windows as the Trainer wants them; `input_ids` are only there to be counted."""

    def __init__(self, windows: Interactions, tokens: np.ndarray[Any, Any]) -> None:
        self.windows, self.tokens = windows, tokens

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, at: int) -> dict[str, Any]:
        return {"row": at, "input_ids": range(int(self.tokens[at]))}


def padded(windows: Interactions) -> Steps:
    """Return histories with a row for each, as long as the longest."""
    steps = Steps.of(windows, LENGTH)
    inputs = windows.where(windows.steps_from_end > 0)
    width = int(inputs.lengths.max())
    rows = inputs.row_of_event
    within = np.arange(inputs.num_events) - np.repeat(inputs.offsets[:-1], inputs.lengths)

    def spread(values: np.ndarray[Any, Any], empty: int) -> torch.Tensor:
        found = np.full((len(inputs), width), empty, np.int64)
        found[rows, within] = values
        return torch.from_numpy(found)

    zero = np.zeros(inputs.num_events, np.int64)
    places = torch.from_numpy(rows.astype(np.int64) * width + within)
    packed = Packed(
        spread(inputs.item_rows, 0), spread(zero, -1), spread(inputs.steps_from_end, 0), spread(zero, 0), places
    )
    return Steps(packed, places, steps.targets)


class OnItems(Trainer):
    """The Trainer with the loss over all items."""

    objective: NextItem

    def compute_loss(self, model: nn.Module, inputs: Mapping[str, Any], *_: Any, **__: Any) -> Any:
        """Return the loss of a batch."""
        return self.objective.loss(model, inputs["steps"], DEVICE).value


class Losses(TrainerCallback):
    """Keeps the logged losses."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_log(self, *_: Any, logs: Mapping[str, float] | None = None, **__: Any) -> None:
        """Keep one."""
        if logs and "loss" in logs:
            self.values.append(logs["loss"])


def synchronized() -> float:
    """Return the time when all that was begun is done."""
    if ON_GPU:
        torch.cuda.synchronize()
    return time.perf_counter()


def peak() -> float:
    """Return operations a second of large products in bfloat16."""
    first, second = (torch.randn(8192, 8192, dtype=torch.bfloat16, device=DEVICE) for _ in range(2))
    times = []
    for _ in range(12):
        began = synchronized()
        first @ second
        times.append(synchronized() - began)
    return 2 * 8192**3 / float(np.median(times[2:]))


def with_trainer(network: nn.Module, objective: NextItem, rows: Histories, *, grouped: bool) -> tuple[float, float]:
    """Return seconds and the mean loss of an epoch by the Trainer."""
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        arguments = TrainingArguments(
            place, num_train_epochs=1, per_device_train_batch_size=objective.batch_size, learning_rate=1e-3,
            lr_scheduler_type="constant", weight_decay=0.0, max_grad_norm=0.0,
            bf16=True, use_cpu=not ON_GPU, report_to=[], save_strategy="no",
            logging_steps=1, disable_tqdm=True, remove_unused_columns=False, seed=0,
            train_sampling_strategy="group_by_length" if grouped else "random",
        )  # fmt: skip
        kept = Losses()
        trainer = OnItems(
            network,
            arguments,
            train_dataset=rows,
            data_collator=lambda batch: {"steps": padded(rows.windows.take(np.array([one["row"] for one in batch])))},
            callbacks=[kept],
        )
        trainer.objective = objective
        began = synchronized()
        trainer.train()
        return synchronized() - began, float(np.mean(kept.values))


def training(steps: int | None, repeats: int, batch_size: int) -> None:
    """Compare one epoch over the same histories."""
    data = train_part("amazon-beauty")
    model = sequential(data, batch_size)
    log = among(model.known, data.interactions)
    chosen = np.random.default_rng(0).permutation(np.flatnonzero(log.lengths >= 2))
    log = log.take(np.sort(chosen if steps is None else chosen[: steps * batch_size]))
    counts = model.tokens.lengths.numpy()[np.flatnonzero(model.known)]

    def prepared(log: Interactions) -> tuple[NextItem, Histories]:
        objective = NextItem(log, length=LENGTH, batch_size=batch_size)
        windows = objective.sequences
        inputs = windows.where(windows.steps_from_end > 0)
        return objective, Histories(windows, np.bincount(inputs.row_of_event, counts[inputs.item_rows], len(windows)))

    start = copy.deepcopy(model.network.state_dict())
    config = model.config.training.model_copy(update={"learning_rate": 1e-3, "warm_up_steps": 0, "clip_norm": None})
    found: dict[str, list[tuple[float, float]]] = {"Genre": [], "Trainer": [], "Trainer, grouped by length": []}
    few = prepared(log.take(np.arange(4 * batch_size)))
    whole = prepared(log)
    for turn in range(repeats + ON_GPU):
        warms_up = turn < ON_GPU
        objective, rows = few if warms_up else whole
        for way in found:
            model.network.load_state_dict(start)
            if way == "Genre":
                began = synchronized()
                trained = train(model.network, objective, config, name="speed")
                one = synchronized() - began, trained.epochs[0].loss
            else:
                one = with_trainer(model.network, objective, rows, grouped="grouped" in way)
            if not warms_up:
                found[way].append(one)
    tokens = int(rows.tokens.sum())
    medians = {way: float(np.median([seconds for seconds, _ in runs])) for way, runs in found.items()}
    weights = sum(weight.numel() for name, weight in model.network.named_parameters() if ".layers." in name)
    most = peak() if ON_GPU else float("nan")
    shares = {way: 4 * weights * tokens / medians[way] / most for way in found}
    lines: list[list[object]] = [
        [way, f"{tokens / medians[way]:,.0f}", f"{medians[way]:.1f}", f"{medians[way] / medians['Genre']:.2f}",
         f"{np.mean([loss for _, loss in runs]):.3f}", f"{100 * shares[way]:.1f} %" if ON_GPU else "-"]
        for way, runs in found.items()
    ]  # fmt: skip
    text = (
        f"{len(rows):,} histories of titles, {tokens:,} tokens that are not padding, {objective.num_batches} "
        f"steps of {batch_size} histories, SmolLM2-135M-Instruct, LoRA of rank 8, on {device_name()}. {PROTOCOL}\n\n"
        + table(["way", "tokens / s", "seconds", "times Genre's", "mean loss", "of the peak"], lines)
        + f"\n\nMedian of {repeats}. The mean loss is of one epoch with the same start; batches differ by their order."
        + (f" The peak is {most / 1e12:.0f} TFLOP/s." if ON_GPU else "")
    )
    result = {"device": device_name(), "tokens": tokens, "runs": found, "peak": most if ON_GPU else None}
    write_result(f"language-training{'-gpu' if ON_GPU else ''}", result, text)


def ranking(users: int, candidates: int, at_once: int) -> None:
    """Compare the scores and the time of one user after the other."""
    data = train_part("movielens-100k")
    popular = PopularityConfig().build({}).fit(data, RunContext())
    config = LlmRankerConfig.model_validate({"retriever": "popularity", "length": 20, "tuning": {"method": "frozen"}})
    model = config.build({"popularity": popular}).fit(data, RunContext())
    rng = np.random.default_rng(0)
    whole, shared, worst = [], [], 0.0
    for user in rng.permutation(data.num_users)[:users]:
        liked = data.interactions.liked().take(np.array([user])).last(config.length).item_rows
        rows = rng.permutation(data.num_items)[:candidates]
        beginning, after = model.prompts.beginning([model.names[row] for row in liked])
        tails = [[*model.titles[row], *after] for row in rows]
        began = time.perf_counter()
        with torch.inference_mode():
            first = model.reader.ranked(beginning, tails).numpy()
        shared.append(time.perf_counter() - began)
        began = time.perf_counter()
        second = whole_prompts(model, [beginning + tail for tail in tails], at_once)
        whole.append(time.perf_counter() - began)
        worst = max(worst, float(np.abs(first - second).max()))
    times = float(np.median(np.array(whole) / np.array(shared)))
    text = (
        f"{users} users of MovieLens-100K with {config.length} liked titles, {candidates} candidates each, yes or no, "
        f"SmolLM2-135M-Instruct in float32. {PROTOCOL}\n\n"
        + table(
            ["way", "seconds a user"],
            [
                [f"whole prompts, {at_once} at once", f"{np.median(whole):.2f}"],
                ["one beginning", f"{np.median(shared):.2f}"],
            ],
        )
        + f"\n\n{times:.1f} times as fast (median of the users' ratios); largest difference of two scores {worst:.1e}."
    )
    write_result("language-ranking", {"whole": whole, "shared": shared, "ratio": times, "difference": worst}, text)


def whole_prompts(model: LlmRanker, prompts: list[list[int]], at_once: int) -> np.ndarray[Any, Any]:
    """Return the scores of prompts of which each is read whole, those of like length together."""
    causal, found = model.language.tuned.causal, np.empty(len(prompts), np.float32)
    order = sorted(range(len(prompts)), key=lambda at: len(prompts[at]))
    for start in range(0, len(order), at_once):
        rows = order[start : start + at_once]
        width = max(len(prompts[row]) for row in rows)
        tokens, mask = torch.zeros(len(rows), width, dtype=torch.long), torch.zeros(len(rows), width, dtype=torch.long)
        for at, row in enumerate(rows):
            tokens[at, width - len(prompts[row]) :] = torch.tensor(prompts[row])
            mask[at, width - len(prompts[row]) :] = 1
        places = (mask.cumsum(1) - 1).clamp(min=0)
        with torch.inference_mode():
            logits = causal(input_ids=tokens, attention_mask=mask, position_ids=places, logits_to_keep=1).logits[:, -1]
        found[rows] = (logits[:, model.prompts.yes] - logits[:, model.prompts.no]).numpy()
    return found


def main() -> None:
    """Measure one of the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["training", "ranking"])
    parser.add_argument("--steps", type=int, default=20, help="of an epoch of training; 0 for all histories")
    parser.add_argument("--batch-size", type=int, default=BATCH, help="histories of a step of training")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--users", type=int, default=10)
    parser.add_argument("--candidates", type=int, default=100)
    given = parser.parse_args()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if given.what == "training":
        training(given.steps or None, given.repeats, given.batch_size)
    else:
        ranking(given.users, given.candidates, BATCH)


if __name__ == "__main__":
    main()
