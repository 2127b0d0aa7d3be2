"""What students were taught, and whether their teachers were worth listening to, for the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from genre.evaluation._measures import number

_PLACES: Final = 4


def lessons(accounts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a sentence or two for each model whose account tells of a teacher."""
    return [_sentence(name, account["distillation"]) for name, account in accounts.items() if "distillation" in account]


def _sentence(name: str, told: Mapping[str, Any]) -> str:
    more = f", with {told['unlabelled']:,} unlabelled ones among those" if told["unlabelled"] else ""
    vectors = f" Vectors of items were aligned with those of {told['align']}." if told["align"] else ""
    said = (
        f"{name} ({told['student']}) was taught by {told['teacher']} ({told['lists']:,} lists after histories{more})."
    )
    return f"{said}{vectors} {_verdict(told)}"


def _verdict(told: Mapping[str, Any]) -> str:
    """Say how good both are, and from when on the teacher no longer counted."""
    found = told["NDCG@10"]
    if not told["lists"]:
        return "The teacher had nothing to say of the student's items: it counted nothing."
    if found["teacher"] is None:
        return "Without validation questions nobody knows how good the teacher is: it counted to the end."
    both = f"NDCG@10 on validation: teacher {number(found['teacher'], _PLACES)}"
    both += "" if found["student"] is None else f", student {number(found['student'], _PLACES)}"
    if told["ended"] is None:
        return f"{both}."
    return f"{both}. The teacher is worse: from epoch {told['ended'] + 1} on it counted nothing (weight 0)."
