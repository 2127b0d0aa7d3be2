from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from genre.conversation.conversation import Conversation, Reply
from genre.conversation.state import State
from genre.conversation.terminal import talk
from genre.core.errors import DataError
from tests.conversation.conftest import VIEWER


def test_a_talk_is_kept_after_every_turn_and_taken_up(conversation: Conversation, tmp_path: Path) -> None:
    file, shown, said = tmp_path / "chat" / "ann.json", list[Reply](), list[str]()

    def interrupted() -> Iterator[str]:
        yield "no horror"
        assert json.loads(file.read_text(encoding="utf-8"))["turns"] == 1
        yield "I like Alien"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        talk(conversation, interrupted(), shown.append, said.append, user=VIEWER, file=file)
    state = talk(
        conversation, ["", "/state", "newer", "/quit", "never"], shown.append, said.append, user=VIEWER, file=file
    )
    assert (state.turns, state.liked, len(shown)) == (3, ("alien-1979",), 3)
    assert State.from_json(said[0]).turns == 2
    assert State.from_json(file.read_text(encoding="utf-8")) == state
    assert [path.name for path in file.parent.iterdir()] == ["ann.json"]


def test_commands_are_short_for_messages(conversation: Conversation) -> None:
    for language, told in (("en", "Forgotten"), ("zh", "已忘掉")):
        shown = list[Reply]()
        state = talk(conversation, ["/help", "/FORGET"], shown.append, print, language=language)  # type: ignore[arg-type]
        assert [reply.acts[0].kind for reply in shown] == ["help", "forget_all"]
        assert shown[1].text.startswith(told)
        assert not state.log_counts


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[]"])
def test_a_file_that_holds_no_state_is_named(conversation: Conversation, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "chat.json"
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"chat\.json"):
        talk(conversation, ["hi"], print, print, file=file)
    assert file.read_bytes() == content
