"""A conversation line by line, with a file that keeps it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from genre.conversation.conversation import Conversation, Reply
from genre.conversation.state import State
from genre.core.errors import DataError
from genre.core.files import atomic_file
from genre.features.text import Language

QUIT, SHOW, FORGET, HELP = "/quit", "/state", "/forget", "/help"
_SAID: Final[dict[str, dict[Language, str]]] = {
    FORGET: {"en": "forget everything", "zh": "忘掉一切"},
    HELP: {"en": "help", "zh": "帮助"},
}
"""What these commands are short for."""


def talk(
    conversation: Conversation,
    messages: Iterable[str],
    show: Callable[[Reply], None],
    say: Callable[[str], None],
    *,
    user: str | None = None,
    history: Sequence[str] | None = None,
    file: Path | None = None,
    language: Language = "en",
) -> State:
    """Answer messages one by one until there are no more, or one is `/quit`; return the last state.

    Args:
        conversation: Answers.
        messages: What the person writes.
        show: Shows a reply.
        say: Shows a text.
        user: Id of the person; None for somebody who has none.
        history: Ids of liked items, oldest first, in place of what the log knows.
        file: Written whole after every turn, and read at the beginning where it is there.
        language: Of replies before the person has written anything.

    Raises:
        DataError: The file does not hold a state.
        ResourceError: The disk is full.
    """
    state = read_state(file) if file is not None and file.exists() else State(language=language)
    for message in messages:
        command = message.strip().casefold()
        if command == QUIT:
            break
        if command == SHOW:
            say(state.to_json())
            continue
        if not command:
            continue
        said = _SAID[command][state.language] if command in _SAID else message
        reply = conversation.turn(state, said, user=user, history=history)
        state = reply.state
        show(reply)
        if file is not None:
            with atomic_file(file) as temporary:
                temporary.write_text(state.to_json(), encoding="utf-8")
    return state


def read_state(file: Path) -> State:
    """Return the state that a file holds.

    Raises:
        DataError: It is no text, or not that of a state.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"it is no text ({error})", place=str(file), remedy="Choose another file.") from error
    return State.from_json(text, str(file))
