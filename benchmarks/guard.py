"""What a budget for writing leaves of the gain of fine-tuning, on data sets with thousands of users.

    python benchmarks/guard.py amazon-beauty --work runs/guard
    python benchmarks/guard.py amazon-beauty --draw 2 --work runs/guard
    python benchmarks/guard.py food-com --work runs/guard

`--jobs` trainings run at a time, in processes of their own; what is trained is kept under `--work`.

Protocol: leave-one-out in the files' own order, for 8,000 users drawn once. The language model is frozen or learns by
LoRA; what stands around it, the items' vectors (which begin as SASRec's) and the layers in and out, learns in either
case, for as many steps. The guard chooses protection and share on validation questions; NDCG@10 is of all test
questions, seen items hidden, all other items ranked. Writing is measured on text of other authors and registers than
what is replayed, by answers to questions of an instruction set, and by 100 instructions whose answers can be checked,
with the weights active that recommend. Rates and protections were chosen on 8,000 users of Beauty (draw 0), and that
instructions need more answers to be held to was seen on 8,000 others (draw 1) and on food-com; draw 2, of the 6,363
users left, had no part in anything.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from common import device_name, table, write_result
from forgetting import CORPUS, accuracy, general_texts, label_of, part_of, places, start_of
from numpy.typing import NDArray

from genre.adaptation.guard import Guarded, GuardedConfig
from genre.console import Bars
from genre.core.files import atomic_file
from genre.core.run import RunContext
from genre.data.splits import Split
from genre.language.tuning import TuningConfig
from genre.metrics.statistics import bootstrap_interval, paired_difference
from genre.recommenders.members import accuracy_of, questions_to_learn_from

BUDGETS = {"2": 0.02, "0.5": 0.005}
"""Of bits per byte; the other measures may lose 2 % in both. One search under the narrower one looks at all that a
search under the wider one would: shares are tried downwards until the writing is inside."""
OTHERS = 0.02
FREE = "unprotected"
PROTECTIONS: dict[str, dict[str, Any]] = {
    FREE: {},
    "kl thrice": {"kl": 3.0, "answers": True, "tokens": 384},
    "kl tenfold": {"kl": 10.0, "answers": True, "tokens": 384},
}
SHARES = (1.0, 0.6, 0.3)
USERS = 8000
QUESTIONS = 3000
"""Of validation."""
EPOCHS = {"amazon-beauty": 30, "food-com": 10}
"""Of the SASRec whose vectors are begun with."""
SUBJECTS = (
    "a compass", "a kettle", "a violin", "a glacier", "a passport", "a greenhouse", "a hammock", "a lantern",
    "a microscope", "a canal", "a notebook", "a parachute", "a scarf", "a telescope", "a thermometer", "a vineyard",
    "a waterfall", "a windmill", "a workshop", "a zip",
)  # fmt: skip
TITLES = (
    "Cold Harbour", "The Third Key", "Paper Moons", "Along the Ridge", "Late Trains", "A Slow Spring", "Two Rivers",
    "The Borrowed Coat", "Night Market", "Stone and Honey", "Open Windows", "The Far Field", "Small Hours", "Salt Road",
    "The Bell Ringer", "After the Rain", "Winter Bread", "Old Maps", "The Quiet Floor", "Last Orders",
)  # fmt: skip
ANSWERS = 96
"""Prompts that are answered freely: with the 32 that ship with Genre, distinct-2 moves by 4 % by chance alone."""
PROTOCOL = (__doc__ or "").partition("Protocol: ")[2].strip()


def questions(work: Path) -> list[str]:
    """Return what is asked for free answers, drawn once."""
    path = work / "questions.json"
    if not path.exists():
        texts = pl.read_ndjson(CORPUS / "dolly-en.jsonl.zst")["text"]
        asked = texts.str.extract(r"\AUser: ([^\n]{20,200})\nAssistant:").drop_nulls().unique(maintain_order=True)
        chosen = np.random.default_rng(1).choice(len(asked), ANSWERS, replace=False)
        with atomic_file(path) as temporary:
            temporary.write_text(json.dumps([asked[int(at)] for at in chosen]), encoding="utf-8")
    found: list[str] = json.loads(path.read_text(encoding="utf-8"))
    return found


def instructions(work: Path) -> Path:
    """Write down instructions whose answers can be checked, five forms of twenty subjects, and return where."""
    path = work / "instructions.jsonl"
    lines: list[dict[str, Any]] = []
    for at, subject in enumerate(SUBJECTS):
        lines += [
            {"kind": "one_sentence", "prompt": f"What is {subject}? Answer in one sentence."},
            {"kind": "at_most_words", "prompt": f"Describe {subject} in at most 20 words.", "most": 20},
            {"kind": "mention", "prompt": f'Write two sentences with the title "{TITLES[at]}". Mention {subject} too.',
             "words": [TITLES[at], subject.split()[-1]]},
            {"kind": "list", "prompt": f"List exactly three things to know about {subject}, one on each line, with a "
             "number before each.", "count": 3},
            {"kind": "json", "prompt": f'Describe {subject}. Answer only with valid JSON with the keys "name" and '
             '"use".', "keys": ["name", "use"]},
        ]  # fmt: skip
    with atomic_file(path) as temporary:
        temporary.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return path


def config_of(given: argparse.Namespace) -> GuardedConfig:
    """Return the guard's settings, under the narrowest budget."""
    writing = {
        "general": str(general_texts(given.work)),
        "languages": ["en"],
        "prompts": questions(given.work),
        "instructions": str(instructions(given.work)),
        "batch_size": ANSWERS,
    }
    model = {
        "kind": "llm_sequential",
        "length": 20,
        "start_from": "sasrec",
        "max_windows": given.windows,
        "vectors": {"encoder": {"kind": "hashing"}},
        "tuning": {"method": "lora", "rank": 8},
        "training": {
            "epochs": given.epochs, "batch_size": given.batch_size, "learning_rate": given.rate, "clip_norm": 1.0,
            "warm_up_steps": 20, "patience": None, "precision": "bf16", "tracker": "none",
        },
    }  # fmt: skip
    bits, others = 100 * min(BUDGETS.values()), 100 * OTHERS
    limits = {"bits_per_byte": f"+{bits}%", "distinct_2": f"-{others}%", "instructions": f"-{others}%"}
    return GuardedConfig.model_validate(
        {
            "kind": "guarded",
            "model": model,
            "budget": limits,
            "protections": PROTECTIONS,
            "shares": SHARES,
            "writing": writing,
            "num_questions": QUESTIONS,
        }
    )


def fit_again(name: str | None, config: GuardedConfig, members: Mapping[str, Any], part: Split, run: RunContext) -> Any:
    """Return one of the models that the guard has fitted, from where it keeps its trainings."""
    changes: dict[str, Any] = {"tuning": TuningConfig(method="frozen")}
    if name is not None:
        changes = {"protect": config.protections[name].model_copy(update={"watch": True})}
    assert run.directory is not None
    kept = replace(run, directory=run.directory / (name or "frozen base"))
    return config.model.with_learning(**changes).build(members).fit(part.train, kept)


def begun(given: argparse.Namespace) -> tuple[Split, dict[str, Any], RunContext]:
    """Return what all trainings begin with."""
    part = part_of(given.name, given.work, USERS, given.draw)
    members = {"sasrec": start_of(given.data, part, given.work, EPOCHS[given.name])}
    asked = np.random.default_rng(0).choice(len(part.validation), QUESTIONS, replace=False)
    validation = part.validation.take(np.sort(asked))
    directory = given.work / given.label
    return part, members, RunContext(seed=given.seed, validation=validation, progress=Bars(), directory=directory)


def train_at_once(given: argparse.Namespace) -> None:
    """Train in processes of their own, which leave what they learned where the guard looks for it."""

    def train(name: str) -> None:
        subprocess.run([sys.executable, *sys.argv, "--train", name], check=True)

    with ThreadPoolExecutor(given.jobs) as pool:
        list(pool.map(train, ["", *PROTECTIONS]))


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Search under each budget, and answer the test questions with what came of it."""
    part, members, run = begun(given)
    config = config_of(given)
    began = time.perf_counter()
    if given.jobs > 1:
        train_at_once(given)
    guard = Guarded(config, members).fit(part.train, run)
    found: dict[str, Any] = {"device": device_name(), "account": guard.account(), "chosen": {}, "scores": {}}
    found["seconds"] = time.perf_counter() - began
    wanted: dict[str, tuple[str | None, float]] = {"frozen": (None, 1.0), FREE: (FREE, 1.0)}
    for name, limit in BUDGETS.items():
        best = chosen(found["account"]["points"], limit)
        wanted[name] = (best["protection"], best["share"])
        found["chosen"][name] = best
    for label, (protection, share) in wanted.items():
        model = fit_again(protection, config, members, part, run)
        with model.language.tuned.interpolated(share) if protection else nullcontext():
            found["scores"][label] = accuracy(model, part).tolist()
        print(label, protection, share, float(np.mean(found["scores"][label])), flush=True)
    found["scores"]["sasrec"] = accuracy(members["sasrec"], part).tolist()
    return found


def chosen(points: Sequence[Mapping[str, Any]], limit: float) -> Mapping[str, Any]:
    """Return what a guard keeps whose budget of bits per byte is `limit`.

    Of each protection, it would have looked no further than the largest share that is inside.
    """
    base, reached = points[0]["writing"], dict[str | None, Mapping[str, Any]]()
    for point in points:
        if inside(point["writing"], base, limit):
            reached.setdefault(point["protection"], point)
    return max(reached.values(), key=lambda point: float(point["NDCG@10"]))


def inside(writing: Mapping[str, float], base: Mapping[str, float], limit: float) -> bool:
    """Return whether writing keeps within the budget."""
    others = all(writing[name] >= (1 - OTHERS) * base[name] for name in ("distinct_2", "instructions"))
    return others and writing["bits_per_byte"] <= (1 + limit) * base["bits_per_byte"]


def share_kept(kept: NDArray[Any], free: NDArray[Any], frozen: NDArray[Any]) -> tuple[float, float, float]:
    """Return which share of the unprotected gain is kept, with the paired bootstrap's interval of 95 %."""
    gains, size = np.stack([kept - frozen, free - frozen], 1), len(frozen)
    rng = np.random.default_rng(0)
    means = np.array([gains[rng.integers(0, size, size)].mean(0) for _ in range(1000)])
    low, high = np.quantile(means[:, 0] / means[:, 1], [0.025, 0.975])
    return float(gains[:, 0].mean() / gains[:, 1].mean()), float(low), float(high)


def told(found: Mapping[str, Any], given: argparse.Namespace) -> str:
    """Return what a person reads."""
    scores = {name: np.array(values) for name, values in found["scores"].items()}
    rng = np.random.default_rng(0)
    free = scores[FREE] - scores["frozen"]
    error = float(free.std(ddof=1) / np.sqrt(len(free)))
    lines: list[list[object]] = []
    points = found["account"]["points"]
    for name, values in scores.items():
        one, gain = bootstrap_interval(values, rng=rng), paired_difference(values, scores["frozen"], rng=rng)
        kept = share_kept(values, scores[FREE], scores["frozen"]) if name in BUDGETS else None
        lines.append(
            [
                f"guard, +{BUDGETS[name]:.1%}" if name in BUDGETS else name,
                f"{one.mean:.4f} [{one.low:.4f}, {one.high:.4f}]",
                f"{gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]",
                "-" if kept is None else "{:.0%} [{:.0%}, {:.0%}]".format(*kept),
                ", ".join(map(str, _point(found["chosen"][name], points[0]))) if name in BUDGETS else "-",
            ]
        )
    head = ["model", "N@10 [95 %]", "over the frozen model [95 %]", "of the unprotected gain [95 %]", "chosen"]
    every = [_point(point, points[0]) for point in points]
    return (
        f"{given.data}, {len(free):,} test users, SmolLM2-135M-Instruct, `llm_sequential` with one token an item, LoRA "
        f"of rank 8; {given.epochs} epochs of {given.windows:,} windows, {given.batch_size} a step, seed {given.seed}, "
        f"on {found['device']}; the search took {found['seconds']:.0f} s. {PROTOCOL}\n\n{table(head, lines)}\n\n"
        f"The unprotected gain is {free.mean() / error:.1f} of its standard errors. Other measures may lose 2 %.\n\n"
        "Every point that was looked at (NDCG@10 on validation):\n\n"
        f"{table(['protection', 'share', 'N@10', 'bits/byte', 'distinct-2', 'instructions'], every)}"
    )


def _point(point: Mapping[str, Any], base: Mapping[str, Any]) -> list[object]:
    writing, before = point["writing"], base["writing"]
    return [
        point["protection"] or "frozen base",
        point["share"],
        f"{point['NDCG@10']:.4f}",
        *(f"{100 * (writing[name] / before[name] - 1):+.1f} %" for name in ("bits_per_byte", "distinct_2")),
        f"{100 * (writing['instructions'] / before['instructions'] - 1):+.1f} %",
    ]


def main() -> None:
    """Measure one data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=["amazon-beauty", "food-com"])
    parser.add_argument("--work", type=Path, default=Path("runs/guard"), help="where models and checkpoints are kept")
    parser.add_argument("--windows", type=int, default=6000, help="of 20 likes, learned from in an epoch")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=64, help="windows of a step")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--draw", type=int, default=0, help="of users, each of those who are in none before it")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time")
    parser.add_argument("--train", metavar="PROTECTION", help="train so and nothing else; '' trains no language model")
    parser.add_argument("--only-measure", action="store_true", help="write the figures to --work, and no result file")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    given.data = label_of(given.name, given.draw)
    given.label = f"{given.data}-{given.seed}-{given.windows}x{given.epochs}"
    if given.train is not None:
        part, members, run = begun(given)
        model = fit_again(given.train or None, config_of(given), members, part, run)
        seen = accuracy_of(model, *questions_to_learn_from(run, "guard", most=QUESTIONS))
        print(f"{given.label}, {given.train or 'frozen base'}: {float(np.mean(seen)):.4f} on validation", flush=True)
        return
    path = given.work / f"{given.label}.json"
    if not path.exists():
        found = measure(given)
        with atomic_file(path) as temporary:
            temporary.write_text(json.dumps(found), encoding="utf-8")
    if not given.only_measure:
        found = json.loads(path.read_text(encoding="utf-8"))
        scores = {name: places(values) for name, values in found["scores"].items()}
        plain = {**found, "scores": scores, "settings": vars(given) | {"work": None}}
        write_result(f"guard-{given.data}", plain, told(found, given))


if __name__ == "__main__":
    main()
