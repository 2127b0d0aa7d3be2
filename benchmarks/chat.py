"""How many scripted dialogues come out as they should, without a language model and with the embedded one.

    python benchmarks/chat.py
    python benchmarks/chat.py --without-model

Protocol: dialogues of two to four turns on the sample world, as people talk, in English and in Chinese; each turn has
outcomes that are checked on the films themselves (the constraint holds in every film of the list, a film is or is not
shown, the list has so many, the reply names it). A dialogue comes out if all of its turns do. `en` and `zh` were
written before the patterns. `held_out` are other wordings, looked at when the patterns were done; what failed at that
first look (see decision 15) has been corrected since. The recommender is an item_knn over all events of the sample
world; the person is a known viewer, or somebody with a few liked films or none.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from common import ROOT, table, write_result

import genre
from genre.conversation.conversation import Conversation, ConversationConfig, Reply
from genre.conversation.state import State
from genre.data.build import build_dataset
from genre.data.feedback import FeedbackConfig
from genre.data.sample import sample_tables
from genre.generation.write_config import WriteConfig
from genre.language.smollm import SmolLmConfig

sys.path.insert(0, str(ROOT))
from tests.conversation.outcomes import Outcome, dialogues, play

GOALS = {"without a model": 0.85, "SmolLM2": 0.95}


def played(conversation: Conversation, dialogue: Mapping[str, Any], replies: list[Reply]) -> Outcome:
    """Return how one dialogue came out, and keep its replies."""
    state = State()

    def answer(message: str) -> tuple[str, Sequence[str], Mapping[str, Any]]:
        nonlocal state
        reply = conversation.turn(state, message, user=dialogue.get("user"), history=dialogue.get("history"))
        state = reply.state
        replies.append(reply)
        return reply.text, reply.items["item_id"].to_list(), state.model_dump(mode="json")

    return play(dialogue, answer)


def measure(conversation: Conversation, name: str) -> dict[str, Any]:
    """Play one file of dialogues."""
    replies: list[Reply] = []
    began = time.perf_counter()
    outcomes = [played(conversation, dialogue, replies) for dialogue in dialogues(name)]
    seconds = time.perf_counter() - began
    texts = [text for reply in replies for text in reply.provenance]
    return {
        "dialogues": len(outcomes),
        "came_out": sum(not outcome.failures for outcome in outcomes),
        "turns": sum(outcome.turns for outcome in outcomes),
        "turns_came_out": sum(outcome.turns_came_out for outcome in outcomes),
        "seconds_a_turn": seconds / len(replies),
        "texts": len(texts),
        "texts_by_the_model": sum(text["writer"] == "model" for text in texts),
        "failures": [failure for outcome in outcomes for failure in outcome.failures],
        "problems": sorted({problem for reply in replies for problem in reply.problems}),
    }


def main() -> None:
    """Play all files without a model, and the English ones with one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--without-model", action="store_true")
    arguments = parser.parse_args()
    engine = genre.fit("item_knn", build_dataset(sample_tables(), FeedbackConfig(like_at=3)))
    plans: list[tuple[str, WriteConfig | None, list[str]]] = [("without a model", None, ["en", "zh", "held_out"])]
    if not arguments.without_model:
        default = ConversationConfig().write
        plans.append(("SmolLM2", default.model_copy(update={"generator": SmolLmConfig()}), ["en"]))
    found: dict[str, Any] = {}
    rows: list[list[object]] = []
    for label, write, names in plans:
        settings = {} if write is None else {"write": write}
        conversation = Conversation(engine, ConversationConfig(scenario="video", **settings))
        for name in names:
            one = found[f"{name}, {label}"] = measure(conversation, name)
            goal = f"{GOALS[label]:.0%}" if name != "held_out" else ""
            share = f"{one['came_out']} of {one['dialogues']}"
            written = f"{one['texts_by_the_model']} of {one['texts']}" if write is not None else ""
            turns = f"{one['turns_came_out']} of {one['turns']}"
            rows.append([name, label, share, goal, turns, f"{one['seconds_a_turn']:.2f}", written])
            print(*rows[-1], flush=True)
    head = ["dialogues", "", "came out", "goal", "turns", "seconds a turn", "texts by the model"]
    protocol = (__doc__ or "").partition("Protocol: ")[2].strip()
    failures = [f"- {failure}" for one in found.values() for failure in one["failures"]]
    text = f"{protocol}\n\n{table(head, rows)}\n" + (
        "\nWhat did not come out:\n\n" + "\n".join(failures) if failures else ""
    )
    write_result("chat", {"sets": found}, text)


if __name__ == "__main__":
    main()
