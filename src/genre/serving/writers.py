"""How each scenario of a service writes: with which language model, in which kinds, and where it talks.

A scenario writes as the section `write` of its run says, but for what is set for the service. Language models of one
base have its weights in memory once, each with its own adapter beside the others'; requests of several scenarios that
come at the same time are written in one batch, where each row has the adapter of its scenario (see `Gathering`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from genre.config_file import read_experiment
from genre.conversation.conversation import Conversation, ConversationConfig
from genre.core.errors import ConfigError, GenreError
from genre.engine import Engine
from genre.features.text import Language
from genre.generation.kinds import kind_of, kinds
from genre.generation.scenarios import ScenarioName
from genre.generation.stage import TextsConfig
from genre.generation.write_config import WriteConfig
from genre.language.base import Generator, Prompt, Sampling
from genre.language.endpoint import EndpointGeneratorConfig
from genre.runs import CONFIG
from genre.serving.counting import CountedGenerator
from genre.serving.live import LiveVersion
from genre.serving.metrics import Metrics
from genre.serving.schemas import ChatRequest, WriteRequest

BodyT = TypeVar("BodyT", WriteRequest, ChatRequest)
log = logging.getLogger("genre.serving")


@dataclass(frozen=True, slots=True)
class _Talk:
    """A conversation about a catalogue as it was at some time."""

    engine: Engine
    conversation: Conversation


class ScenarioWriter:
    """Writes and talks for one scenario."""

    def __init__(
        self, config: WriteConfig, generator: Generator | None, metrics: Metrics, own: TextsConfig | None = None
    ) -> None:
        """Keep the settings.

        Args:
            config: How texts are written, and by what.
            generator: The language model that it names, loaded when it is first asked; None where texts are put
                together from the facts.
            metrics: Count the conversations that are there already.
            own: The section `write` of the scenario's run: what is written where nobody says otherwise.
        """
        self.generator, self._metrics = generator, metrics
        self.config = config.model_copy(update={"generator": None})
        """How texts are written, whoever writes them. What is in memory is not looked for in its files any more."""
        self.is_local = not isinstance(config.generator, EndpointGeneratorConfig | None)
        """Whether a language model on this machine writes."""
        self.language: Language = "en" if own is None else own.language
        self.place: ScenarioName = "shop" if own is None else own.scenario
        """Where people read and talk who do not say where."""
        chosen = ("synopsis",) if own is None else own.kinds
        self._own = _own_kinds(chosen, self.language)
        found = tuple(kind for kind in chosen if kind in self._own.values() or kind in kinds())
        self._kinds = found or ("synopsis",)
        self._conversations: WeakKeyDictionary[LiveVersion, dict[tuple[ScenarioName, bool], _Talk]] = (
            WeakKeyDictionary()
        )
        self._making = threading.Lock()

    @property
    def has_model(self) -> bool:
        """Whether a language model writes, so that there is another way where it takes too long."""
        return self.generator is not None

    def filled(self, body: BodyT) -> BodyT:
        """Return what is asked, with the scenario's own kinds, language and place where the client names none.

        Raises:
            ConfigError: There is no such kind.
        """
        own: dict[str, Any] = {"language": self.language, "place": self.place}
        said = body.model_fields_set
        found = {name: value for name, value in own.items() if name in type(body).model_fields and name not in said}
        if isinstance(body, WriteRequest):
            language = found.get("language", body.language)
            # One text is a stream; where the client does not choose, it is of the scenario's first kind.
            usual = self._kinds[:1] if body.stream else self._kinds
            found["kinds"] = tuple(self._kind(name, language) for name in body.kinds) if "kinds" in said else usual
        return body.model_copy(update=found)

    def conversation(self, version: LiveVersion, place: ScenarioName, *, plain: bool = False) -> Conversation:
        """Return what talks about a version's catalogue; made anew when that has changed.

        Args:
            version: Which recommends.
            place: Where it talks.
            plain: Without the language model.
        """
        talks = self._conversations.setdefault(version, {})
        key, engine = (place, plain), version.engine
        found = talks.get(key)
        self._metrics.looked("conversations", found=found is not None)
        if found is None:
            found = talks[key] = _Talk(engine, self._new_conversation(engine, place, plain))
        elif found.engine is not engine and self._making.acquire(blocking=False):
            # It takes seconds with a large catalogue: meanwhile one talks about the catalogue as it was.
            def make() -> None:
                try:
                    talks[key] = _Talk(engine, self._new_conversation(engine, place, plain))
                finally:
                    self._making.release()

            threading.Thread(target=make, daemon=True).start()
        return found.conversation

    def forget(self) -> None:
        """Keep no conversation: one of them may know somebody who was erased."""
        self._conversations.clear()

    def load(self) -> None:
        """Load the language model, if it is on this machine, by letting it write a word."""
        if self.generator is not None and self.is_local:
            (said,) = self.generator.generate([Prompt("A film.")], sampling=Sampling(max_tokens=1))
            if said.finish == "error":
                log.warning("the language model does not write: %s", said.error)

    def get_ready(self, version: LiveVersion) -> None:
        """Read a version's catalogue for conversations, for those too that go on where the language model hangs."""
        self.conversation(version, self.place).warm()
        self.conversation(version, self.place, plain=True)

    def _kind(self, name: str, language: Language) -> str:
        """Return a kind as the writing knows it: a file of the scenario's own holds the scenario's language."""
        own = self._own if language == self.language else {}
        if name not in own and name not in kinds():
            raise ConfigError(
                f"there is no kind {name!r}", place="kinds", remedy=f"Choose from {sorted({*kinds(), *own})}."
            )
        return own.get(name, name)

    def _new_conversation(self, engine: Engine, place: ScenarioName, plain: bool) -> Conversation:
        config = ConversationConfig(scenario=place, write=self.config)
        return Conversation(engine, config, generator=None if plain else self.generator)


def writers_of(config: WriteConfig, runs: Mapping[str, Path], metrics: Metrics) -> dict[str, ScenarioWriter]:
    """Return what writes for each scenario; no language model is loaded yet.

    Args:
        config: What is set for the service.
        runs: The run that each scenario begins with.
        metrics: Count what is read and written.

    Raises:
        ArtifactError: An adapter is not there.
        ConfigError: The config of a run cannot be read, or an adapter is not of its language model.
        DependencyError: A library is missing.
    """
    config.check_installed()
    generators: dict[str, Generator] = {}

    def generator_of(settings: WriteConfig) -> Generator | None:
        if settings.generator is None:
            return None
        key = settings.generator.model_dump_json()
        if key not in generators:
            generators[key] = CountedGenerator(settings.generator.build(), metrics)
        return generators[key]

    found = {}
    for name, run in runs.items():
        own = read_experiment(run / CONFIG).write
        settings = merged(own, config)
        try:
            settings.check_installed()
        except GenreError as error:
            raise type(error)(
                error.problem,
                place=f"scenario {name!r}: {error.place}",
                remedy=f"{error.remedy} Or let the service write otherwise than its run, as by "
                "`--set write.generator=null`.",
            ) from error
        found[name] = ScenarioWriter(settings, generator_of(settings), metrics, own)
    return found


def merged(own: WriteConfig | None, service: WriteConfig) -> WriteConfig:
    """Return how a scenario writes: setting by setting what is set for the service, or else what its run says."""
    if own is None:
        return service
    names = WriteConfig.model_fields
    return WriteConfig(**{name: getattr(service if name in service.model_fields_set else own, name) for name in names})


def warm(writers: Mapping[str, ScenarioWriter], versions: Mapping[str, LiveVersion], wait: float) -> None:
    """Load the language models that are on this machine, and get ready to talk: the first who asks does not wait.

    What goes wrong with it stops nothing here: whoever asks for a text or a conversation is told, or answered without
    it, as at any other time. Nothing is loaded twice: who asks meanwhile waits for the same model.

    Args:
        writers: By scenario.
        versions: Those that answer, by scenario.
        wait: Seconds until this returns at the latest; what is not done by then goes on.
    """
    if not any(writer.is_local for writer in writers.values()):
        return

    def work() -> None:
        steps: list[tuple[str, Callable[[], None]]] = []
        loads = {id(writer.generator): (name, writer.load) for name, writer in writers.items() if writer.is_local}
        steps += loads.values()
        steps += [(name, partial(writer.get_ready, versions[name])) for name, writer in writers.items()]
        for name, step in steps:
            try:
                step()
            except Exception as error:
                problem = f"{type(error).__name__}: {error}"
                log.warning("the language model cannot be used now (%s)", problem, extra={"scenario": name})

    thread = threading.Thread(target=work, name="genre-warms", daemon=True)
    thread.start()
    thread.join(wait)
    if thread.is_alive():
        log.warning("the language model is still being loaded after %.0f seconds", wait)


def _own_kinds(chosen: Sequence[str], language: Language) -> dict[str, str]:
    """Return the files among kinds by the names of their kinds.

    One that cannot be read, or whose name another has, is left out, and the log says so.
    """
    found: dict[str, str] = {}
    for path in (kind for kind in chosen if kind.endswith(".j2")):
        try:
            name = kind_of(path, language).name
        except (GenreError, OSError, UnicodeDecodeError) as error:
            log.warning("a kind of text is left out: %s", error)
            continue
        if name in found:
            log.warning("a kind of text is left out: %r is called %r, as %r is", path, name, found[name])
            continue
        found[name] = path
    return found
