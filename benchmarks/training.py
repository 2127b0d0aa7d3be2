"""How fast, in how much memory and how safely SASRec is trained: beside RecTools and RecBole, and with a million items.

    for peer in rectools recbole; do sh benchmarks/peers/setup.sh $peer PEERS/$peer; done
    python benchmarks/training.py speed --peers PEERS
    python benchmarks/training.py accuracy --peers PEERS
    python benchmarks/training.py million
    python benchmarks/training.py kills
    python benchmarks/training.py profile

Everywhere: size 64, 2 blocks, 1 head, 50 places, full softmax over all items, Adam at 1e-3, dropout 0.2, two threads.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from common import data_files, table, write_result

from genre.config import Experiment
from genre.core.interactions import Interactions
from genre.core.meter import Meter
from genre.core.ragged import Ragged
from genre.core.run import RunContext
from genre.data.splits import Split
from genre.recommenders.sasrec import SasrecConfig
from genre.stages import prepare
from genre.training.config import TrainingConfig

SIZE, BLOCKS, LENGTH, DROPOUT, RATE = 64, 2, 50, 0.2, 1e-3
BATCH = 128
"""Sequences of a step of the peers, which is RecTools' default; ours has as many windows."""
WARM_UP, TIMED = 3, {"rectools": 12, "recbole": 150}
"""Batches of the peers: what comes before the clock starts, and what it runs for."""
ROUNDS = 2
SHARED = (__doc__ or "").partition("Everywhere: ")[2].strip()


def part_of(name: str) -> Split:
    """Return the first split of a data set without item columns: leave-one-out in the files' order."""
    data = {"kind": "files", "interactions": data_files(name)["interactions"]}
    experiment = Experiment.model_validate({"data": data, "models": {"popularity": {"kind": "popularity"}}})
    return prepare(experiment).splits[0]


def config(epochs: int, batch_size: int = BATCH, **training: Any) -> SasrecConfig:
    """Return the settings that all libraries share."""
    shared = {"epochs": epochs, "batch_size": batch_size, "learning_rate": RATE, "patience": None, "tracker": "none"}
    return SasrecConfig(
        embedding_size=SIZE,
        num_blocks=BLOCKS,
        length=LENGTH,
        dropout=DROPOUT,
        temperature=None,
        training=TrainingConfig.model_validate({**shared, "optimizer": "adam", **training}),
    )


def save_sequences(path: Path, log: Interactions, num_items: int, targets: Ragged | None = None) -> None:
    """Write histories in the form that the peers' script reads."""
    extra = {} if targets is None else {"targets": targets.values}
    np.savez(path, offsets=log.offsets, items=log.item_rows, num_items=num_items, **extra)


def ours(name: str, epochs: int, batch_size: int = BATCH) -> dict[str, Any]:
    """Train in a process of its own, and return what it says."""
    command = [sys.executable, __file__, "worker", name, f"--epochs={epochs}", f"--batch={batch_size}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def worker(name: str, epochs: int, batch_size: int) -> None:
    """Train, judge on the test questions, and print speed, memory and accuracy; the first epoch warms up."""
    from genre.evaluation.config import EvaluationConfig
    from genre.evaluation.ranking import evaluate_ranking, make_task
    from genre.recommenders.sasrec import Sasrec
    from genre.training import loop

    part = part_of(name)
    epochs_seen: list[loop.Epoch] = []
    train = loop.train

    def watched(*arguments: Any, **named: Any) -> loop.Trained:
        trained = train(*arguments, **named)
        epochs_seen.extend(trained.epochs)
        return trained

    loop.train = watched
    with Meter() as meter:
        model = Sasrec(config(epochs, batch_size)).fit(part.train, RunContext())
    timed = epochs_seen[1:] or epochs_seen
    counts = part.train.interactions.item_counts(part.train.num_items)
    task = make_task(part.test, EvaluationConfig(), popularity=counts, rng=RunContext().rng("training"))
    values = evaluate_ranking(model, task, beyond=False).per_query
    result = {
        "targets_per_second": sum(epoch.targets for epoch in timed) / sum(epoch.seconds for epoch in timed),
        "seconds_per_epoch": [epoch.seconds for epoch in epochs_seen],
        "memory": {"peak_rss": psutil.Process().memory_info().rss, "training_peak_above_ready": meter.memory},
        "NDCG@10": float(values["NDCG@10"].mean()),
        "Recall@10": float(values["Recall@10"].mean()),
    }
    print(json.dumps(result))


def theirs(peers: Path, library: str, directory: Path, *arguments: str) -> dict[str, Any]:
    """Train in a peer's environment."""
    out = directory / "out.json"
    script = Path(__file__).parent / "peers" / "sasrec.py"
    shape = [f"--size={SIZE}", f"--blocks={BLOCKS}", "--heads=1", f"--length={LENGTH}", f"--dropout={DROPOUT}"]
    command = [str(peers / library / "bin" / "python"), str(script), f"--library={library}", *shape, f"--lr={RATE}"]
    files = [f"--train={directory / 'train.npz'}", f"--json={out}", f"--batch={BATCH}", "--threads=2"]
    subprocess.run([*command, *files, *arguments], check=True, capture_output=True)
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return found


def products(num_items: int, count: int = 3000) -> float:
    """Return the targets per second of the loss's three products alone, in the fastest dtype."""
    import torch

    from genre.training.loss import fastest_dtype

    dtype = fastest_dtype(torch.device("cpu"))
    rows = 8 * 2**20 // (num_items * dtype.itemsize)
    hidden, items = torch.randn(rows, SIZE).to(dtype), torch.randn(num_items, SIZE).to(dtype)
    scores = torch.empty(rows, num_items, dtype=dtype)
    times = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(-(-count // rows)):
            torch.mm(hidden, items.T, out=scores)
            scores @ items
            scores.T @ hidden
        times.append((time.perf_counter() - began) / (-(-count // rows) * rows))
    return 1 / float(np.median(times))


def speed(peers: Path) -> None:
    """Compare targets per second and memory on Beauty, the libraries taking turns."""
    name = "amazon-beauty"
    part = part_of(name)
    batches_of = {f"genre, batches of {size}": size for size in (BATCH, 2 * BATCH)}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in (*batches_of, *TIMED)}
    alone = []
    with tempfile.TemporaryDirectory() as text:
        directory = Path(text)
        save_sequences(directory / "train.npz", part.train.interactions, part.train.num_items)
        for _ in range(ROUNDS):
            alone.append(products(part.train.num_items))
            for label, size in batches_of.items():
                found[label].append(ours(name, 3, size))
            for library, batches in TIMED.items():
                limits = (f"--max-batches={batches}", f"--warm-up={WARM_UP}", "--epochs=1")
                found[library].append(theirs(peers, library, directory, *limits))
                print(library, found[library][-1]["targets_per_second"], flush=True)
    rates = {library: float(np.median([one["targets_per_second"] for one in runs])) for library, runs in found.items()}
    memory = {library: _memory(runs[0]) for library, runs in found.items()}
    rows: list[list[object]] = [
        [library, f"{rate:,.0f}", *(f"{rates[own] / rate:.1f}" for own in batches_of), f"{memory[library] / 2**20:.0f}"]
        for library, rate in rates.items()
    ]
    ratios = " and ".join(f"{float(np.median(alone)) / rates[own]:.2f}" for own in batches_of)
    text = (
        f"{name}, leave-one-out, {SHARED} The peers' batches are of {BATCH} "
        "sequences, RecBole's of so many single targets. Next-item "
        "targets per second after warm-up, medians of "
        f"{ROUNDS} rounds in which the libraries take turns. Memory is what training adds at its peak.\n\n"
        + table(["library", "targets/s", *(f"{own}: times as fast" for own in batches_of), "memory, MiB"], rows)
        + f"\n\nThe loss's three products alone make {np.median(alone):,.0f} targets/s: training takes {ratios} "
        "times as long as they do."
    )
    write_result("training-speed", {"runs": found, "products": alone}, text)


def accuracy(peers: Path, epochs: dict[str, int], batch_size: int) -> None:
    """Compare NDCG@10 on MovieLens after the same number of epochs."""
    name = "movielens-100k"
    part = part_of(name)
    rows: list[list[object]] = []
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as text:
        directory = Path(text)
        save_sequences(directory / "train.npz", part.train.interactions, part.train.num_items)
        save_sequences(directory / "histories.npz", part.test.queries.history, part.train.num_items, part.test.targets)
        for library, number in epochs.items():
            peer = theirs(peers, library, directory, f"--epochs={number}", f"--histories={directory / 'histories.npz'}")
            peer |= {"NDCG@10": peer["metrics"]["ndcg@10"], "Recall@10": peer["metrics"]["recall@10"]}
            own = ours(name, number, batch_size)
            found[library] = {"peer": peer, "genre": own, "epochs": number}
            for who, one in ((library, peer), ("genre", own)):
                seconds = sum(one.get("seconds_per_epoch") or one["seconds"]["epochs"])
                rows.append([number, who, f"{one['NDCG@10']:.4f}", f"{one['Recall@10']:.4f}", f"{seconds:.1f}"])
                print(rows[-1], flush=True)
    text = (
        f"{name}, leave-one-out, test questions, seen items hidden. {SHARED} Batches of {BATCH} for the peers "
        f"(sequences for RecTools, single targets for RecBole), of {batch_size} windows for Genre. One seed.\n\n"
        + table(["epochs", "library", "N@10", "R@10", "training, s"], rows)
    )
    write_result("training-accuracy", found, text)


def million() -> None:
    """Train one step and rank one batch with a million items."""
    import polars as pl

    from genre.core.queries import Queries
    from genre.core.topn import top_n
    from genre.data.dataset import Dataset, Entities, Vocabulary

    count, users = 1_000_000, 128
    rng = np.random.default_rng(0)
    lists = [rng.integers(0, count, 21).tolist() for _ in range(users)]
    items = pl.Series("item_id", np.arange(count).astype(str))
    people = pl.Series("user_id", np.arange(users).astype(str))
    log = Interactions.of(Ragged.of(lists))
    data = Dataset(log, Entities(Vocabulary(items), items.to_frame()), Entities(Vocabulary(people), people.to_frame()))
    model = config(1).build({})
    before = psutil.Process().memory_info().rss
    with Meter() as fit:
        model.fit(data, RunContext())
    model.known[:] = True  # All items are ranked, those too that nobody liked.
    queries = Queries.of(log)
    with Meter() as rank:
        for _, part in queries.blocks(BATCH):
            top_n(model.score(part), 10)
    targets = users * 20
    text = (
        f"{count:,} generated items, size {SIZE}, one step of {users} histories with {targets:,} targets, full "
        f"softmax: {fit.seconds:.1f} s and {fit.memory / 2**30:.2f} GiB above the {before / 2**30:.2f} GiB of the "
        f"process with the data, start-up and the optimizer's tables included. Ranking all for {users} histories: "
        f"{rank.seconds:.1f} s, {rank.memory / 2**30:.2f} GiB more. The figure to stay below was 4 GiB."
    )
    about = {"fit": vars(fit)["seconds"], "fit_memory": fit.memory, "rank": rank.seconds, "rank_memory": rank.memory}
    write_result("training-million", about, text)


def kills(number: int) -> None:
    """Kill trainings on MovieLens at random moments, resume each, and compare the weights with an unkilled one's."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as text:
        directory = Path(text)
        began = time.perf_counter()
        _train_to(directory / "whole", None)
        seconds = time.perf_counter() - began
        expected = _weights(directory / "whole")
        moments: list[float] = []
        same = resumed = 0
        while len(moments) < number:
            place = directory / str(len(moments))
            moment = float(rng.uniform(0, 1)) * seconds
            began = time.perf_counter()
            if not _train_to(place, moment):  # The machine is faster by now: this was no kill.
                seconds = time.perf_counter() - began
                shutil.rmtree(place)
                continue
            moments.append(round(moment, 2))
            resumed += (place / "checkpoint.safetensors").exists()
            _train_to(place, None)
            same += all(np.array_equal(value, expected[key]) for key, value in _weights(place).items())
            print(f"{len(moments)}: killed after {moment:.1f} s of {seconds:.1f}; {same} the same", flush=True)
    text = (
        f"MovieLens-100k, 3 epochs, about {seconds:.0f} s from start to end, a checkpoint every half second; killed "
        f"with SIGKILL once at each of {number} random moments {moments} and started again. {resumed} had written a "
        f"checkpoint by then and went on from it. {same} of {number} ended with the same weights as an unkilled "
        "training, to the last digit."
    )
    write_result("training-kills", {"moments": moments, "seconds": seconds, "same": same, "resumed": resumed}, text)


def profile(steps: int = 60) -> None:
    """Say where the time of a training step goes."""
    import torch

    from genre.training.loop import train
    from genre.training.next_item import NextItem

    part = part_of("amazon-beauty")
    chosen = config(1)
    model = chosen.build({})
    log = part.train.interactions
    log = log.where(np.arange(log.num_events) < log.offsets[min(len(log), steps * BATCH)])
    objective = NextItem(log, length=LENGTH, batch_size=BATCH)
    model.known = np.ones(part.train.num_items, bool)
    network = model._new_network()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
        train(network, objective, chosen.training, name="profile", seed=0)
    events = [event for event in found.key_averages() if event.self_cpu_time_total > 0]
    total = sum(event.self_cpu_time_total for event in events)
    events.sort(key=lambda event: -event.self_cpu_time_total)
    targets = len(objective.sequences.item_rows) - len(objective.sequences)
    rows: list[list[object]] = [
        [
            event.key,
            event.count,
            f"{event.self_cpu_time_total / targets:.2f}",
            f"{event.self_cpu_time_total / total:.0%}",
        ]
        for event in events[:12]
    ]
    text = (
        f"amazon-beauty, {steps} steps of {BATCH} windows, {targets:,} targets, {total / targets:.1f} microseconds of "
        f"the main thread a target. {SHARED} The twelve operations that take most.\n\n"
        + table(["operation", "calls", "microseconds a target", "share"], rows)
        + "\n\nBefore the sums of the loss were taken in bfloat16 by blocks and products kept to few shapes, a target "
        "took 58 microseconds: products 34 %, sums that copied into float32 first 15 %, dropout's random numbers 6 %, "
        "exponentials 6 %, Adam 4 % (see docs/LOG.md)."
    )
    write_result("training-profile", {"targets": targets, "operations": rows}, text)


def _train_to(directory: Path, kill_after: float | None) -> bool:
    """Train in a process that keeps checkpoints in a directory; return whether it was killed before it was done."""
    command = [sys.executable, __file__, "train-to", str(directory)]
    process = subprocess.Popen(command, env={**os.environ})
    try:
        process.wait(kill_after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True
    assert process.returncode == 0
    return False


def train_to(directory: Path) -> None:
    """Train with checkpoints, and write the weights down."""
    part = part_of("movielens-100k")
    chosen = config(3, 16, checkpoint_seconds=0.5, patience=10)
    model = chosen.build({}).fit(part.train, RunContext(validation=part.validation, directory=directory))
    np.savez(directory / "weights.npz", **model.state())


def _weights(directory: Path) -> dict[str, Any]:
    with np.load(directory / "weights.npz") as found:
        return dict(found)


def _memory(run: dict[str, Any]) -> int:
    return int(run.get("memory_bytes", run.get("memory"))["training_peak_above_ready"])


def main() -> None:
    """Run one of the measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "accuracy", "million", "kills", "profile", "worker", "train-to"])
    parser.add_argument("name", nargs="?")
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--number", type=int, default=20)
    arguments = parser.parse_args()
    if arguments.what in {"speed", "accuracy"} and arguments.peers is None:
        parser.error("--peers is needed")
    if arguments.what == "speed":
        speed(arguments.peers)
    elif arguments.what == "accuracy":
        accuracy(arguments.peers, {"rectools": 10, "recbole": 3}, arguments.batch)
    elif arguments.what == "million":
        million()
    elif arguments.what == "kills":
        kills(arguments.number)
    elif arguments.what == "profile":
        profile()
    elif arguments.what == "worker":
        worker(arguments.name, arguments.epochs, arguments.batch)
    else:
        train_to(Path(arguments.name))


if __name__ == "__main__":
    main()
