"""How right classifiers are on labelled pairs that they have not learned from, for the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from genre.evaluation._measures import number, percent

_VALUES: Final = ("precision", "recall", "f1")
_PLACES: Final = 3


@dataclass(frozen=True)
class ClassLine:
    """One class, or the mean over all, as the table has it."""

    label: str
    pairs: str
    precision: str
    recall: str
    f1: str


@dataclass(frozen=True)
class Classified:
    """One classifier."""

    name: str
    sentence: str
    lines: tuple[ClassLine, ...]


def classifiers(accounts: Mapping[str, Mapping[str, Any]]) -> list[Classified]:
    """Return what is to be shown of each model whose account tells of classes, by name."""
    found = {name: account["classification"] for name, account in accounts.items() if "classification" in account}
    return [Classified(name, _sentence(told), _lines(told)) for name, told in found.items()]


def validities(accounts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each language model that was asked for yes or no: how often it would answer so."""
    return [
        f"{name} was asked about {told['asked']:,} first answers of its retriever, and would say yes or no to "
        f"{percent(told['share'])}."
        for name, account in accounts.items()
        if (told := account.get("validity"))
    ]


def _lines(told: Mapping[str, Any]) -> tuple[ClassLine, ...]:
    if not told["classes"]:
        return ()
    each = [_line(one["label"], f"{one['pairs']:,}", one) for one in told["classes"]]
    return (*each, _line("mean of the classes", f"{told['judged']:,}", told["macro"]))


def _line(label: str, pairs: str, values: Mapping[str, float]) -> ClassLine:
    return ClassLine(label, pairs, *(number(values[name], _PLACES) for name in _VALUES))


def _sentence(told: Mapping[str, Any]) -> str:
    """Say what the figures are of, what guessing would reach, and what they leave out."""
    if not told["classes"]:
        return f"Learned from {told['learned']:,} labelled pairs; too few people were left to judge it by others."
    drawn = f", {told['drawn']:,} of them drawn and taken for dislikes" if told["drawn"] else ""
    error = f", and its expected grade is {told['mean_error']:.2f} off on the mean" if "mean_error" in told else ""
    profiles = " Profiles were written from the likes themselves: of new ones it will know less."
    return (
        f"Learned from {told['learned']:,} labelled pairs and judged on {told['judged']:,} of other people{drawn}. "
        f"It is right in {percent(told['accuracy'])}; always saying the commonest class would be in "
        f"{percent(told['commonest'])}{error}.{profiles if told['from_profiles'] else ''}"
    )
