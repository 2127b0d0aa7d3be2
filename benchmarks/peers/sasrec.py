"""Train a peer's SASRec with the full softmax: its speed, its memory, and how well it ranks.

Runs in the environment of the library it times and imports nothing of Genre::

    python sasrec.py --library rectools --train train.npz --histories histories.npz \
        --epochs 10 --json report.json

    python sasrec.py --library recbole --train train.npz --max-batches 20 --json report.json

Input: ``train.npz`` holds ``offsets`` (int64, one more than there are users), ``items`` (item rows from 0, oldest
first) and ``num_items``; ``histories.npz`` holds ``offsets`` and ``items``, one history per question, and ``targets``,
the item each question asks for. Users with fewer than two events have no target and are left out.

With ``--max-batches M``, training stops M batches after the warm-up and nothing is ranked.

What each clock covers:

- ``prepare``: from the arrays to the library's data set and an untrained net.
- ``epochs``: each whole epoch of the library's own training loop (RecTools' Lightning trainer, told by a callback;
  ``_train_epoch`` of RecBole's trainer, told by the loader): batches, forward, backward and step. Nothing is validated
  or saved.
- ``targets_per_second``: the real (not padding) next items learnt from in all batches after the first W
  (``--warm-up``), by the seconds from the end of batch W to the end of the last, with what lies between two epochs.
- ``rank``: scores of all items for all questions from the library's net, and their ranks by numpy.

What each memory figure covers: ``start`` is what the process held with the library imported and the arrays read;
``ready`` is that with the data set and the net; ``peak`` is the most it held until training ended. Ranking is left out.

Equal in both: width (of the feed-forward layer too), blocks, heads, length, dropout, ReLU, Adam's learning rate, and a
cross-entropy over all items the library knows and one padding item. The items of a history score -inf, and so do those
the library does not know. A target's rank is 1 + the items above it + half the others that tie with it.

What differs is the library's and stays so; ``differs`` in the report has the list. The largest: a row of a batch is a
user in RecTools, with up to ``--length`` targets, and a single target in RecBole. So with the same ``--batch`` RecBole
takes many more steps in an epoch. And RecTools learns from a user's last ``--length`` + 1 events only, and does not
know the items found only in older ones. Compare targets per second, not seconds per epoch, and choose ``--batch`` for
each.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch


@dataclass
class Sequences:
    """Item rows of many users, one user after the other, oldest first."""

    offsets: np.ndarray
    items: np.ndarray

    def row(self, index: int) -> np.ndarray:
        """The items of one user."""
        return self.items[self.offsets[index] : self.offsets[index + 1]]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def at_least_two(self) -> Sequences:
        """Without the users who have fewer than two events."""
        lengths = np.diff(self.offsets)
        keep = lengths >= 2
        return Sequences(np.concatenate([[0], np.cumsum(lengths[keep])]), self.items[np.repeat(keep, lengths)])

    def users_and_positions(self) -> tuple[np.ndarray, np.ndarray]:
        """For each event, its user and its place in the sequence of that user."""
        lengths = np.diff(self.offsets)
        users = np.repeat(np.arange(len(self)), lengths)
        return users, np.arange(len(self.items)) - np.repeat(self.offsets[:-1], lengths)


@dataclass
class Questions:
    """Histories, and the item that comes next."""

    histories: Sequences
    targets: np.ndarray


@dataclass
class Task:
    """What is asked of a library."""

    train: Sequences
    num_items: int
    size: int
    blocks: int
    heads: int
    length: int
    dropout: float
    batch: int
    lr: float
    epochs: int
    seed: int


@dataclass
class Trained:
    """A trained net, and what it was made with."""

    ids: np.ndarray  # the library's id of each item, -1 if it has none
    score: Callable[[list[np.ndarray]], np.ndarray]  # histories in the library's ids to scores, a column for each id
    settings: dict[str, Any]
    differs: list[str]


class Clock:
    """Seconds, targets and memory, told by the training loop where it is."""

    def __init__(self, warm_up: int, max_batches: int | None) -> None:
        self.warm_up = warm_up
        self.stop_at = None if max_batches is None else warm_up + max_batches
        self.batches = self.epoch_targets = self.targets = 0
        self.seconds_per_epoch: list[float] = []
        self.targets_per_epoch: list[int] = []
        self.peak_before, self.memory = 0, {"start": resident("VmRSS")}
        self.created = self.started = self.epoch_start = self.begin = self.end = time.perf_counter()

    @property
    def done(self) -> bool:
        """Whether enough batches were seen."""
        return self.stop_at is not None and self.batches >= self.stop_at

    def start(self) -> None:
        """The data set and the net are ready."""
        self.peak_before, self.memory["ready"] = resident("VmHWM"), resident("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts again
        self.started = self.begin = time.perf_counter()

    def epoch_started(self) -> None:
        """An epoch begins."""
        self.epoch_targets = 0
        self.epoch_start = time.perf_counter()

    def batch_done(self, targets: int) -> None:
        """A batch with so many targets was learnt from."""
        self.batches += 1
        self.epoch_targets += targets
        self.end = time.perf_counter()
        if self.batches == self.warm_up:
            self.begin = self.end
        elif self.batches > self.warm_up:
            self.targets += targets

    def epoch_done(self) -> None:
        """An epoch, or the last part of it, is over."""
        if not self.done:
            self.seconds_per_epoch.append(time.perf_counter() - self.epoch_start)
            self.targets_per_epoch.append(self.epoch_targets)

    def finish(self) -> None:
        """Training is over."""
        peak = resident("VmHWM")
        self.memory["peak"] = max(peak, self.peak_before)
        self.memory["peak_above_start"] = self.memory["peak"] - self.memory["start"]
        self.memory["training_peak_above_ready"] = peak - self.memory["ready"]

    def report(self) -> dict[str, Any]:
        """All of it."""
        seconds = self.end - self.begin if self.batches > self.warm_up else 0.0
        return {
            "seconds": {"prepare": self.started - self.created, "epochs": self.seconds_per_epoch},
            "targets_per_epoch": self.targets_per_epoch,
            "timed": {"batches": max(0, self.batches - self.warm_up), "targets": self.targets, "seconds": seconds},
            "targets_per_second": self.targets / seconds if seconds else None,
            "memory_bytes": self.memory,
        }


def resident(name: str) -> int:
    """Bytes of this process that Linux holds in memory: now (VmRSS) or at the peak (VmHWM)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {name!r}: this script needs Linux")


def rectools(task: Task, clock: Clock) -> Trained:
    """RecTools' SASRecModel, trained by its Lightning trainer."""
    import pandas as pd
    from pytorch_lightning import Trainer, seed_everything
    from pytorch_lightning.callbacks import LambdaCallback
    from rectools import Columns
    from rectools.dataset import Dataset
    from rectools.models import SASRecModel

    def count(batch: dict[str, torch.Tensor]) -> int:
        """Targets that are no padding."""
        return int((batch["y"] > 0).sum())

    def trainer() -> Trainer:
        """The trainer SASRecModel makes for itself, with the clock, on the CPU, and able to stop within an epoch."""
        callback = LambdaCallback(
            on_train_start=lambda *_: clock.start(),
            on_train_epoch_start=lambda *_: clock.epoch_started(),
            on_train_batch_end=lambda _trainer, _net, _out, batch, _index: clock.batch_done(count(batch)),
            on_train_epoch_end=lambda *_: clock.epoch_done(),
        )
        return Trainer(
            max_epochs=task.epochs if clock.stop_at is None else -1,
            max_steps=-1 if clock.stop_at is None else clock.stop_at,
            callbacks=[callback],
            accelerator="cpu",
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
        )

    settings = {
        "n_factors": task.size,
        "n_blocks": task.blocks,
        "n_heads": task.heads,
        "session_max_len": task.length,
        "dropout_rate": task.dropout,
        "loss": "softmax",
        "lr": task.lr,
        "batch_size": task.batch,
    }
    seed_everything(task.seed)
    users, positions = task.train.users_and_positions()
    dataset = Dataset.construct(
        pd.DataFrame(
            {
                Columns.User: users,
                Columns.Item: task.train.items,
                Columns.Weight: 1.0,
                Columns.Datetime: pd.Timestamp("2020-01-01") + pd.to_timedelta(positions, unit="s"),
            }
        )
    )
    model = SASRecModel(**settings, get_trainer_func=trainer)
    model.fit(dataset)
    clock.finish()

    known = model.data_preparator.get_known_item_ids().astype(np.int64)
    ids = np.full(task.num_items, -1)
    ids[known] = model.data_preparator.get_known_items_sorted_internal_ids()
    net = model.torch_model.eval()

    def score(histories: list[np.ndarray]) -> np.ndarray:
        """The scores RecTools ranks by."""
        rows = np.zeros((len(histories), task.length), dtype=np.int64)
        for row, history in zip(rows, histories, strict=True):
            row[-len(history) :] = history
        with torch.no_grad():
            vectors = net.item_model.get_all_embeddings()
            sessions = net.encode_sessions({"x": torch.from_numpy(rows)}, vectors)[:, -1, :]
            return (sessions @ vectors.T).numpy()

    differs = [
        "a row of a batch is a user; all its positions are predicted at once, of the last length + 1 events",
        "an item in no user's last length + 1 events is not known",
        "scores and the softmax are computed at padded positions too, which on short histories are most",
        "Adam with betas 0.9 and 0.98",
        "layer norm before the queries and the feed-forward layer; Xavier-normal start, embeddings too",
        "padded at the left, where attention can look; position 0 is the newest",
    ]
    return Trained(ids, score, {"class": "SASRecModel", **settings}, differs)


def recbole_config(task: Task, data: Path) -> tuple[Any, dict[str, Any]]:
    """A RecBole Config for the CPU, and the settings of it that matter."""
    from recbole.config import Config

    settings = {
        "hidden_size": task.size,
        "inner_size": task.size,
        "n_layers": task.blocks,
        "n_heads": task.heads,
        "MAX_ITEM_LIST_LENGTH": task.length,
        "hidden_dropout_prob": task.dropout,
        "attn_dropout_prob": task.dropout,
        "hidden_act": "relu",
        "loss_type": "CE",
        "train_neg_sample_args": None,
        "learning_rate": task.lr,
        "train_batch_size": task.batch,
    }
    # Config reads the command line as settings of its own.
    arguments, sys.argv = sys.argv, sys.argv[:1]
    try:
        config = Config(
            model="SASRec",
            dataset="sequences",
            config_dict={
                **settings,
                "data_path": str(data),
                "checkpoint_dir": str(data / "saved"),
                "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
                "eval_args": {"split": {"RS": [1.0, 0.0, 0.0]}, "group_by": "user", "order": "TO", "mode": "full"},
                "gpu_id": "",
                "use_gpu": False,
                "show_progress": False,
                "seed": task.seed,
            },
        )
    finally:
        sys.argv = arguments
    return config, settings


def recbole_train(task: Task, clock: Clock) -> tuple[Any, Any, dict[str, Any]]:
    """Train RecBole's SASRec with RecBole's trainer, one epoch after the other."""
    import pandas as pd
    from recbole.data import create_dataset
    from recbole.data.utils import get_dataloader
    from recbole.model.sequential_recommender import SASRec
    from recbole.trainer import Trainer
    from recbole.utils import init_seed

    class TimedLoader:
        """A data loader that tells the clock when the batch it gave was learnt from."""

        def __iter__(self) -> Any:
            for batch in loader:
                yield batch
                clock.batch_done(len(batch))
                if clock.done:
                    return

    # RecBole writes a TensorBoard log and a checkpoint folder where it runs.
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        data = Path(name)
        config, settings = recbole_config(task, data)
        init_seed(task.seed, reproducibility=False)
        users, positions = task.train.users_and_positions()
        (data / "sequences").mkdir()
        pd.DataFrame({"user_id:token": users, "item_id:token": task.train.items, "timestamp:float": positions}).to_csv(
            data / "sequences" / "sequences.inter", sep="\t", index=False
        )
        dataset = create_dataset(config).build()[0]
        loader = get_dataloader(config, "train")(config, dataset, None, shuffle=True)
        net = SASRec(config, dataset)
        trainer = Trainer(config, net)

        clock.start()
        epoch = 0
        while not clock.done and (clock.stop_at is not None or epoch < task.epochs):
            clock.epoch_started()
            trainer._train_epoch(TimedLoader(), epoch)
            clock.epoch_done()
            epoch += 1
        clock.finish()
    return net, dataset, settings


def recbole(task: Task, clock: Clock) -> Trained:
    """RecBole's SASRec, trained by the epoch method of its trainer."""
    from recbole.data.interaction import Interaction

    net, dataset, settings = recbole_train(task, clock)
    known = np.unique(task.train.items)
    ids = np.full(task.num_items, -1)
    ids[known] = dataset.token2id("item_id", known.astype(str))
    net.eval()

    def score(histories: list[np.ndarray]) -> np.ndarray:
        """The scores RecBole ranks by."""
        rows = np.zeros((len(histories), task.length), dtype=np.int64)
        for row, history in zip(rows, histories, strict=True):
            row[: len(history)] = history
        lengths = torch.tensor([len(history) for history in histories])
        with torch.no_grad():
            return net.full_sort_predict(
                Interaction({net.ITEM_SEQ: torch.from_numpy(rows), net.ITEM_SEQ_LEN: lengths})
            ).numpy()

    differs = [
        "a row of a batch is one target and the up to length events before it: every event but a user's first is one",
        "Adam with betas 0.9 and 0.999",
        "layer norm after attention and the feed-forward layer, as in BERT; normal start of deviation 0.02",
        "padded at the right, masked in attention; position 0 is the oldest",
        "inner_size is the width and hidden_act ReLU as in RecTools, where RecBole's defaults are 256 and GELU",
    ]
    return Trained(ids, score, {"class": "SASRec", **settings}, differs)


RUNS: dict[str, tuple[list[str], Callable[[Task, Clock], Trained]]] = {
    "rectools": (["rectools.dataset", "rectools.models"], rectools),
    "recbole": (["recbole.data", "recbole.model.sequential_recommender", "recbole.trainer"], recbole),
}


def rank_targets(trained: Trained, questions: Questions, length: int, block: int = 256) -> tuple[np.ndarray, int]:
    """The rank of each target among all items, and how many targets had no score."""
    num_items, num_questions = len(trained.ids), len(questions.targets)
    known = np.flatnonzero(trained.ids >= 0)
    ranks, unscored = np.empty(num_questions), 0
    for start in range(0, num_questions, block):
        stop = min(start + block, num_questions)
        histories = [questions.histories.row(index) for index in range(start, stop)]
        inputs = [ids[ids >= 0][-length:] for ids in (trained.ids[history] for history in histories)]
        scores = np.full((stop - start, num_items), -np.inf, dtype=np.float32)
        asked = [index for index, history in enumerate(inputs) if len(history)]
        if asked:
            found = trained.score([inputs[index] for index in asked])
            if not np.isfinite(found).all():
                raise ValueError("the net gives scores that are not finite: did training diverge?")
            scores[np.ix_(asked, known)] = found[:, trained.ids[known]]
        for row, history in zip(scores, histories, strict=True):
            row[history] = -np.inf
        own = scores[np.arange(stop - start), questions.targets[start:stop]][:, None]
        ranks[start:stop] = 1 + (scores > own).sum(axis=1) + ((scores == own).sum(axis=1) - 1) / 2
        unscored += int(np.isneginf(own).sum())
    return ranks, unscored


def judge(trained: Trained, questions: Questions, length: int) -> dict[str, Any]:
    """NDCG@10 and Recall@10 over all questions."""
    begin = time.perf_counter()
    ranks, unscored = rank_targets(trained, questions, length)
    hit = ranks <= 10
    return {
        "num_questions": len(ranks),
        # Targets not seen in training, or in the history.
        "num_targets_without_score": unscored,
        "metrics": {
            "ndcg@10": float(np.where(hit, 1 / np.log2(ranks + 1), 0.0).mean()),
            "recall@10": float(hit.mean()),
        },
        "rank_seconds": time.perf_counter() - begin,
    }


def read(path: Path, num_items: int | None = None) -> tuple[Sequences, dict[str, np.ndarray]]:
    """The sequences in a file, and all that it holds."""
    with np.load(path) as file:
        held = dict(file)
    offsets, items = held["offsets"].astype(np.int64), held["items"].astype(np.int64)
    limit = int(held["num_items"]) if num_items is None else num_items
    if offsets[0] != 0 or offsets[-1] != len(items) or (np.diff(offsets) < 0).any():
        raise ValueError(f"{path}: offsets must rise from 0 to the number of items")
    for name in ("items", "targets"):
        rows = held.get(name, np.zeros(0))
        if len(rows) and (rows.min() < 0 or rows.max() >= limit):
            raise ValueError(f"{path}: {name} must be between 0 and {limit - 1}")
    return Sequences(offsets, items), held


def versions() -> dict[str, str]:
    """The versions of what is installed here."""
    found = {}
    for name in ("rectools", "pytorch-lightning", "recbole", "torch", "numpy", "pandas"):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def make_parser() -> argparse.ArgumentParser:
    """The arguments."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--library", required=True, choices=sorted(RUNS))
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--histories", type=Path, help="needed unless --max-batches is given")
    parser.add_argument("--size", type=int, default=64, help="width of the net")
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--heads", type=int, default=1)
    parser.add_argument("--length", type=int, default=50, help="events the net can look at")
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--batch", type=int, default=128, help="rows of a batch: users (rectools), targets (recbole)")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-batches", type=int, help="stop this many batches after the warm-up")
    parser.add_argument("--warm-up", type=int, default=5, help="first batches that targets per second leave out")
    parser.add_argument("--json", type=Path, required=True)
    return parser


def main() -> None:
    """Read the arguments, train, rank, write the report."""
    parser = make_parser()
    arguments = parser.parse_args()
    if arguments.max_batches is None and arguments.histories is None:
        parser.error("--histories is needed unless --max-batches is given")

    torch.set_num_threads(arguments.threads)
    train, held = read(arguments.train)
    questions = None
    if arguments.max_batches is None:
        histories, asked = read(arguments.histories, int(held["num_items"]))
        questions = Questions(histories, asked["targets"].astype(np.int64))
        if len(histories) != len(questions.targets):
            parser.error(f"{len(histories)} histories and {len(questions.targets)} targets")
    names = ("size", "blocks", "heads", "length", "dropout", "batch", "lr", "epochs", "seed")
    task = Task(
        train=train.at_least_two(),
        num_items=int(held["num_items"]),
        **{name: getattr(arguments, name) for name in names},
    )

    modules, run = RUNS[arguments.library]
    for module in modules:
        import_module(module)
    clock = Clock(arguments.warm_up, arguments.max_batches)
    trained = run(task, clock)
    report = {
        "library": arguments.library,
        "versions": versions(),
        "python": platform.python_version(),
        "threads": arguments.threads,
        "seed": arguments.seed,
        "num_users": len(task.train),
        "num_items": task.num_items,
        "num_items_known": int((trained.ids >= 0).sum()),
        "num_events": len(task.train.items),
        "settings": trained.settings,
        "differs": trained.differs,
        **clock.report(),
    }
    if questions is not None:
        judged = judge(trained, questions, task.length)
        report["seconds"]["rank"] = judged.pop("rank_seconds")
        report.update(judged)
    arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
