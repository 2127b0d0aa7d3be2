"""From a run's files and the stores to a version that answers as it would now."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from genre.config import Experiment
from genre.core.errors import ArtifactError, ConfigError, DataError, GenreError
from genre.data.feedback import weight_of
from genre.recent import Happened
from genre.runs import open_run
from genre.serving.aside import Aside
from genre.serving.live import LiveVersion
from genre.serving.stores.database import Database
from genre.serving.stores.events import IMPRESSION, Event, Events
from genre.serving.stores.items import Items
from genre.serving.stores.models import Version
from genre.workspace import read_manifest

SEQ: Final = "seq"
"""Where the manifest of a version says how far its data goes."""


class Opener:
    """Opens the versions of one scenario, and reads to them what they do not know."""

    def __init__(self, scenario: str, experiment: Experiment, database: Database, aside: Aside | None = None) -> None:
        """Read of a scenario in a database.

        Args:
            scenario: Its name.
            experiment: Says what events mean.
            database: Where events and items are.
            aside: Where copies of the models rank; by default nowhere.
        """
        self._name, self._experiment, self._aside = scenario, experiment, aside
        self._events, self._items = Events(database), Items(database)

    def open(self, stored: Version) -> LiveVersion:
        """Return a version as it would answer now. Takes seconds or minutes.

        Raises:
            ArtifactError: It cannot be read, or cannot answer.
            ConfigError: Its users are hidden, and the key that hides them is not at hand.
        """
        path = Path(stored.path)
        try:
            manifest = read_manifest(path)
            engine, privacy = open_run(path), self._experiment.privacy
            if privacy.hash_users and engine.pseudonym is None:
                raise ConfigError(
                    f"users are pseudonyms, and the environment variable {privacy.key_env!r} is not set",
                    place=str(path),
                    remedy="Set it to the key with which the run was made: without it real ids would be stored.",
                )
            feedback = self._experiment.feedback
            seq = int(manifest.get(SEQ, 0))
            version = LiveVersion(stored.version, engine, seq, aside=self._aside, feedback=feedback)
            self.catch_up(version)
            version.warm()
        except GenreError:
            raise
        except Exception as error:
            # Whatever a damaged file may lead to, the version that answers now goes on.
            raise ArtifactError(
                f"the version cannot answer ({type(error).__name__}: {error})", place=str(path),
                remedy="Make it again; the live version goes on answering.",
            ) from error  # fmt: skip
        return version

    def catch_up(self, version: LiveVersion) -> None:
        """Read all events and items that a version does not know."""
        for items in self._items.since(self._name, version.revision):
            version.change(items)
        if version.knows(self._events.last(self._name)):
            return
        for frame in self._events.since(self._name, version.applied):
            told = []
            for row in frame.iter_rows(named=True):
                event = Event.model_construct(**{name: row[name] for name in ("item_id", "event", "value")})
                if (happened := self.happened(event, row["seq"], row["timestamp"])) is not None:
                    told.append((row["user_id"], happened))
            version.happened(told, frame["seq"].to_list())
            version.caught_up(int(frame["seq"][-1]))

    def behind(self, version: LiveVersion) -> int:
        """Return how many events of the store a version does not know."""
        return max(0, self._events.last(self._name) - version.applied)

    def happened(self, event: Event, seq: int, timestamp: float) -> Happened | None:
        """Return what an event changes; nothing where an item was only shown, or the type means nothing any more."""
        if event.event == IMPRESSION:
            return None
        try:
            weight = weight_of(event.event, event.value, self._experiment.feedback)
        except DataError:
            return None
        return Happened(event.item_id, int(timestamp), weight, seq)
