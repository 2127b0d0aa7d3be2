"""Generative retrieval: accuracy, what the width of the beam is worth, and what it costs to say valid items only.

    python benchmarks/semantic.py amazon-beauty

Protocol: leave-one-out in the files' own order; parameters fitted on everything but each user's last two events; the
variant and the epochs chosen on the last-but-one, tested once on the last with the last-but-one in the history; seen
items hidden; places among the first ten of the list that the beam search finds. Decoding constrained by the trie, with
the items of the history hidden, is timed against a beam search with the same network in which every code may follow
every prefix and nothing is hidden: the same histories, one after the other in blocks of 128, by turns.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import table, write_result
from sequences import METRICS, row, values_of
from texts import part_of
from torch import Tensor

from genre.core.files import atomic_directory
from genre.core.queries import Candidates, Holdout
from genre.core.run import RunContext
from genre.data.splits import Split
from genre.recommenders.beam import search
from genre.recommenders.semantic_id import SemanticId, SemanticIdConfig
from genre.recommenders.store import load_model, save_model
from genre.recommenders.trie import Open

TRAINING = {"batch_size": 128, "learning_rate": 3e-3, "epochs": 22, "tracker": "none"}
VARIANTS: dict[str, dict[str, Any]] = {
    "semantic_id": {"training": TRAINING},
    "codes by text alone": {"training": TRAINING, "collaborative": 0.0},
}
WIDTHS = (10, 30, 100)
TIMED, BLOCK, ROUNDS = 2048, 128, 5
TIGER, TARGET_RATIO = {"Recall@10": 0.0648, "NDCG@10": 0.0384}, 1.15
PROTOCOL = (__doc__ or "").partition("Protocol: ")[2].strip()


def fitted(name: str, variant: str, part: Split, work: Path) -> tuple[SemanticId, float]:
    """Return a fitted variant and the seconds it took, from `work` if it is kept there."""
    directory = work / f"{name}-{variant.replace(' ', '_')}"
    if not directory.exists():
        config = SemanticIdConfig.model_validate(VARIANTS[variant])
        began = time.perf_counter()
        run = RunContext(
            validation=part.validation, directory=work / "checkpoints" / directory.name, store=work / "store"
        )
        model = config.build({}).fit(part.train, run)
        with atomic_directory(directory) as made:
            save_model(model, made)
            (made / "about.json").write_text(json.dumps({"seconds": time.perf_counter() - began}), encoding="utf-8")
    model = load_model(directory, SemanticIdConfig, {})
    assert isinstance(model, SemanticId)
    return model, json.loads((directory / "about.json").read_text())["seconds"]


def with_width(model: SemanticId, width: int) -> SemanticId:
    """Return the model with another beam."""
    other = model.config.model_copy(update={"beam_width": width}).build({})
    other.restore(model.state())
    return other


def free_search(model: SemanticId, hidden: Tensor, width: int) -> Tensor:
    """Return the codes (B, width, S) that a beam search finds which knows nothing of the catalogue."""
    network = model.network
    count = len(hidden)
    inputs, memory = hidden, None
    score, said = torch.zeros(count, 1), torch.empty(count, 1, 0, dtype=torch.long)
    for level, shared in enumerate(network.shared):
        wanted, memory = network.step(level, inputs, memory)
        odds = (wanted @ network.targets(shared.weight).T).log_softmax(1).view(count, score.shape[1], -1)
        size = odds.shape[2]
        every = (score[:, :, None] + odds).flatten(1)
        score, best = every.topk(min(width, every.shape[1]), dim=1)
        parent, code = best // size, best % size
        said = torch.cat([said.gather(1, parent[:, :, None].expand(-1, -1, level)), code[:, :, None]], dim=2)
        rows = (parent + torch.arange(count)[:, None] * (every.shape[1] // size)).flatten()
        memory = tuple((key[rows], value[rows]) for key, value in memory)
        inputs = shared.weight[code.flatten()]
    return said


def costs(model: SemanticId, holdout: Holdout) -> dict[str, float]:
    """Return milliseconds a query of both searches."""
    asked = holdout.take(np.arange(min(TIMED, len(holdout)))).queries
    width = model.config.beam_width
    history = asked.history.liked()
    history = history.where(model.coded[history.item_rows]).last(model.config.length)
    filled = np.flatnonzero(history.lengths)
    blocks = [filled[at : at + BLOCK] for at in range(0, len(filled), BLOCK)]

    def constrained(hidden: Tensor, rows: np.ndarray) -> object:
        opened = Open(model.trie, Candidates(excluded=asked.history.take(rows).items), len(rows))
        return search(model.network, hidden, model.vectors, model.said, model.trie, opened, width)

    with torch.inference_mode():
        expected = [model._expected(history.take(rows)) for rows in blocks]

        def seconds(way: Callable[[Tensor, np.ndarray], object]) -> float:
            began = time.process_time()  # Of this process alone: other work on the machine does not count.
            for hidden, rows in zip(expected, blocks, strict=True):
                way(hidden, rows)
            return time.process_time() - began

        def free(hidden: Tensor, _: np.ndarray) -> Tensor:
            return free_search(model, hidden, width)

        both = np.array([[seconds(constrained), seconds(free)] for _ in range(ROUNDS)])
    ours, theirs = np.median(both, axis=0) / len(filled) * 1000
    ratios = both[:, 0] / both[:, 1]
    return {
        "constrained": float(ours),
        "free": float(theirs),
        "ratio": float(np.median(ratios)),
        "highest ratio": float(ratios.max()),
    }


def measure(name: str, work: Path, variants: list[str]) -> None:
    """Measure one data set."""
    torch.set_num_threads(1)
    part = part_of(name)
    train = part.train
    models, seconds, validation = {}, {}, {}
    for variant in variants:
        models[variant], seconds[variant] = fitted(name, variant, part, work)
        validation[variant] = float(values_of(models[variant], part.validation, train)["NDCG@10"].mean())
        print(f"{variant}: {validation[variant]:.4f} on validation", flush=True)
    best = max(validation, key=lambda variant: validation[variant])
    model = models[best]
    widths = {}
    for width in WIDTHS:
        began = time.process_time()
        value = float(values_of(with_width(model, width), part.validation, train)["NDCG@10"].mean())
        widths[width] = (value, (time.process_time() - began) / len(part.validation) * 1000)
    cost = costs(model, part.test)
    found = values_of(model, part.test, train)
    head = ["model", "seeds", "validation N@10", "R@5", "N@5", "R@10", "N@10", "95 % over users", "95 % over seeds"]
    compared = [[kind, f"{validation[kind]:.4f}", f"{seconds[kind] / 60:.0f}"] for kind in variants]
    epochs = len(model.curve), int(np.nanargmax(model.curve[:, 1])) + 1
    by_width = [[width, f"{value:.4f}", f"{each:.2f}"] for width, (value, each) in widths.items()]
    text = (
        f"{train.num_users:,} users, {train.num_items:,} items. {PROTOCOL}\n\n"
        f"{table(head, [row(best, [found], validation[best])])}\n\n"
        f"TIGER as published: recall@10 {TIGER['Recall@10']}, NDCG@10 {TIGER['NDCG@10']}. Of {epochs[0]} epochs, "
        f"number {epochs[1]} was best by 2,000 validation questions. Chosen by validation:\n\n"
        f"{table(['variant', 'validation N@10', 'minutes to fit'], compared)}\n\n"
        f"Width of the beam, on validation, one core:\n\n"
        f"{table(['width', 'validation N@10', 'ms a query'], by_width)}\n\n"
        f"Decoding {min(TIMED, len(part.test)):,} queries with a beam of {model.config.beam_width}, median of {ROUNDS} "
        f"rounds, one core: {cost['constrained']:.2f} ms a query constrained, {cost['free']:.2f} ms free. Ratio "
        f"{cost['ratio']:.2f}, at most {cost['highest ratio']:.2f}; to stay below {TARGET_RATIO}."
    )
    plain = {metric: float(found[metric].mean()) for metric in METRICS}
    write_result(
        f"semantic-{name}",
        {"test": plain, "chosen": best, "validation": validation, "seconds": seconds, "widths": widths, "cost": cost},
        text,
    )


def main() -> None:
    """Measure the named data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--work", type=Path, default=Path("runs/semantic"), help="where fitted models are kept")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    arguments = parser.parse_args()
    measure(arguments.name, arguments.work, arguments.variants)


if __name__ == "__main__":
    main()
