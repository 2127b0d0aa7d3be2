"""What each measure says, in one plain sentence, and how its numbers are written."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal

Better = Literal["more", "less", "neither"]


@dataclass(frozen=True)
class Measure:
    """What a reader needs to know of a number."""

    label: str
    """As in the middle of a sentence."""
    meaning: str
    better: Better = "more"

    @property
    def title(self) -> str:
        """Return the label as at the head of a column."""
        return self.label[0].upper() + self.label[1:]


_MEASURES: Final = {
    "NDCG": Measure(
        "NDCG",
        "How near the top of the first {k} places the right items stand: 1 if they come first, less the further down "
        "they are, 0 if they are missing.",
    ),
    "Recall": Measure("Recall", "The share of a person's right items that are among the first {k}."),
    "HitRate": Measure("hit rate", "The share of people with at least one right item among the first {k}."),
    "MRR": Measure(
        "MRR",
        "One divided by the place of the first right item, on average: 1 for the first place, 0.5 for the second, 0 if "
        "none is among the first {k}.",
    ),
    "MAP": Measure(
        "MAP", "How much of the list is right at each place, down to {k}, where a right item stands; 1 is the most."
    ),
    "Precision": Measure("precision", "The share of the first {k} places that hold a right item."),
    "F1": Measure("F1", "One number for precision and recall of the first {k} places, near the lower of the two."),
    "answered": Measure("answered", "The share of people to whom the model recommends anything."),
    "reachable": Measure("reachable", "The share of right items that the model can recommend at all."),
    "coverage": Measure("coverage", "The share of the catalogue that is recommended to anybody."),
    "novelty": Measure(
        "novelty", "How little known the recommended items are, in bits: one more bit means half as popular."
    ),
    "serendipity": Measure(
        "serendipity", "The share of recommended items that are right and that popularity would not have recommended."
    ),
    "diversity": Measure(
        "diversity", "How different the items of one list are: 0 if they are all alike, 1 if they share nothing."
    ),
    "average_popularity": Measure(
        "average popularity", "The number of likes that a recommended item has in training, on average.", "neither"
    ),
    "popularity_lift": Measure(
        "popularity lift",
        "How much more popular recommended items are than what the same people liked before: 0 if alike, 1 if twice as "
        "popular.",
        "less",
    ),
    "gini": Measure(
        "Gini",
        "How unequally recommendations are spread over the catalogue: 0 if evenly, near 1 if all show the same items.",
        "less",
    ),
    "entropy": Measure(
        "entropy", "How varied the shown items are, in bits: one more bit stands for twice as many, evenly shown."
    ),
    "auc": Measure("AUC", "The chance that a chosen item scores higher than another shown one; 0.5 is guessing."),
    "gauc": Measure("GAUC", "The same chance within each list, on average over lists: what ordering a page can reach."),
    "log_loss": Measure(
        "log loss", "How surprised the model is by what people choose: the lower, the better its probabilities.", "less"
    ),
    "calibration_error": Measure(
        "calibration error", "How far the predicted probabilities are from what happens, on average.", "less"
    ),
    "bits_per_byte": Measure(
        "bits per byte", "How surprised the language model is by text that it has not seen, per byte of it.", "less"
    ),
    "kl": Measure(
        "distance from the base",
        "How far the next word's probabilities have moved from the base model's along its own answers, in nats.",
        "less",
    ),
    "distinct_1": Measure("distinct-1", "The share of different words among all words of the answers."),
    "distinct_2": Measure("distinct-2", "The share of different pairs of words among all pairs in the answers."),
    "distinct_3": Measure("distinct-3", "The share of different runs of three words among all in the answers."),
    "self_bleu": Measure("self-BLEU", "How alike the answers to different prompts are: 0 if not at all.", "less"),
    "repetition": Measure(
        "repetition", "The share of runs of four words in an answer that had stood in it before.", "less"
    ),
    "instructions": Measure("instructions followed", "The share of answers that do as the prompt told."),
    "lm_eval": Measure("lm-eval", "Accuracy on a task of the library lm-eval."),
}
WRITING: Final = (
    "bits_per_byte",
    "kl",
    "distinct_1",
    "distinct_2",
    "distinct_3",
    "self_bleu",
    "repetition",
    "instructions",
    "lm_eval",
)
"""What is measured of a language model's writing."""


def measure(name: str) -> Measure:
    """Return what is known of a measure such as `NDCG@10` or `coverage`; of an unknown one, only its name."""
    base, _, k = name.partition("@")
    known = _MEASURES.get(base, Measure(base.replace("_", " "), ""))
    if not k:
        return known
    return replace(known, label=f"{known.label}@{k}", meaning=known.meaning.format(k=k))


def decimals(values: Iterable[float]) -> int:
    """Return how many decimals numbers that stand together need: 3 for shares, more for small ones, fewer for large."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    return next((places for limit, places in ((100, 0), (10, 1), (1.5, 2), (0.02, 3)) if largest >= limit), 4)


def number(value: float, places: int = 3) -> str:
    """Return a number with a real minus sign, or a dash for what is not known."""
    return f"{value:,.{places}f}".replace("-", "−") if math.isfinite(value) else "–"


def percent(share: float) -> str:
    """Return a share as whole percents."""
    return f"{100 * share:.0f} %"


def size(num_bytes: float) -> str:
    """Return an amount of memory: 12 MiB, 1.4 GiB; below 1 MiB it could not be measured well."""
    if num_bytes < 2**20:
        return "< 1 MiB"
    unit, scale = ("GiB", 2**30) if num_bytes >= 2**30 else ("MiB", 2**20)
    amount = num_bytes / scale
    return f"{amount:.1f} {unit}" if amount < 10 else f"{amount:.0f} {unit}"
