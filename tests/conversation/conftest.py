"""The sample world, an engine over it, and a conversation that many tests share: it keeps nothing of what is said."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

import genre
from genre.conversation.catalogue import Catalogue
from genre.conversation.conversation import Conversation, ConversationConfig, Reply
from genre.conversation.state import State
from genre.conversation.understanding import Listener
from genre.data.build import build_dataset
from genre.data.dataset import Dataset
from genre.data.feedback import FeedbackConfig
from genre.data.sample import sample_tables
from genre.engine import Engine

VIEWER = "viewer-0458"
SHOWN = ("the-godfather-1972", "jaws-1975", "alien-1979", "dune-2021", "amelie-2001")
Talk = Callable[..., list[Reply]]


@pytest.fixture(scope="session")
def films() -> Dataset:
    return build_dataset(sample_tables(), FeedbackConfig(like_at=3))


@pytest.fixture(scope="session")
def engine(films: Dataset) -> Engine:
    return genre.fit("item_knn", films)


@pytest.fixture(scope="session")
def listener(films: Dataset) -> Listener:
    return Listener(films.items)


@pytest.fixture(scope="session")
def catalogue(listener: Listener) -> Catalogue:
    return listener.catalogue


@pytest.fixture(scope="session")
def conversation(engine: Engine) -> Conversation:
    return Conversation(engine, ConversationConfig(scenario="video"))


@pytest.fixture(scope="session")
def talk(conversation: Conversation) -> Talk:
    """Return what says messages one after the other, and returns the replies."""

    def said(*messages: str, user: str | None = None, history: Sequence[str] | None = None) -> list[Reply]:
        state, replies = State(), list[Reply]()
        for message in messages:
            replies.append(conversation.turn(state, message, user=user, history=history))
            state = replies[-1].state
        return replies

    return said


@pytest.fixture
def state() -> State:
    """Return a state in which five films were shown, and one was spoken of."""
    return State(shown=SHOWN, focus=("jaws-1975",), last="list")
