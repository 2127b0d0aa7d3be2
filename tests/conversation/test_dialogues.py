"""The scripted dialogues: what was asked for holds in the lists that are returned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from genre.conversation.conversation import Conversation
from genre.conversation.state import State
from tests.conversation.outcomes import CHECKS, Outcome, dialogues, play

GOAL = 0.85


def played(conversation: Conversation, dialogue: Mapping[str, Any]) -> Outcome:
    state = State()

    def answer(message: str) -> tuple[str, Sequence[str], Mapping[str, Any]]:
        nonlocal state
        reply = conversation.turn(state, message, user=dialogue.get("user"), history=dialogue.get("history"))
        state = reply.state
        return reply.text, reply.items["item_id"].to_list(), state.model_dump(mode="json")

    return play(dialogue, answer)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.slow
def test_dialogues_come_out_without_a_model(conversation: Conversation, language: str) -> None:
    outcomes = [played(conversation, dialogue) for dialogue in dialogues(language)]
    assert len(outcomes) == 20
    failed = [failure for outcome in outcomes for failure in outcome.failures]
    assert sum(not outcome.failures for outcome in outcomes) >= GOAL * len(outcomes), "\n".join(failed)


def test_what_a_reviewer_said_comes_out(conversation: Conversation) -> None:
    outcomes = [played(conversation, dialogue) for dialogue in dialogues("reviewed")]
    assert [failure for outcome in outcomes for failure in outcome.failures] == []


def test_the_checker_finds_what_is_wrong() -> None:
    """A reply that ignores what is said fails nearly every dialogue, so that passing them means something."""
    silent: tuple[str, list[str], dict[str, Any]] = (
        "Here you are.",
        ["psycho-1960", "casablanca-1942", "alien-1979", "dune-2021", "high-noon-1952"],
        {"liked": [], "disliked": [], "rules": [], "log_counts": True, "focus": []},
    )
    outcomes = [play(dialogue, lambda _: silent) for name in ("en", "zh") for dialogue in dialogues(name)]
    assert not any(not outcome.failures for outcome in outcomes)


def test_every_expectation_is_known() -> None:
    for name in ("en", "zh", "held_out", "reviewed"):
        for dialogue in dialogues(name):
            assert 2 <= len(dialogue["turns"]) <= 6
            for turn in dialogue["turns"]:
                assert turn["expect"].keys() <= CHECKS.keys()
                assert turn["expect"]
