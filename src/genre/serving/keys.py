"""Who may ask, what, and how much: keys are made, shown once, checked and revoked."""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

from genre.core.errors import ConfigError, ResourceError
from genre.serving.limits import DailyQuota, TokenBucket, day_of
from genre.serving.stores.keys import StoredKey, StoredKeys
from genre.serving.stores.values import checked_id

Scope: TypeAlias = Literal["read", "write", "events", "admin"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
_PREFIX: Final = "genre"
_NOBODY: Final = bytes(32)
"""What a secret is compared with whose id is not known, so that this takes as long as any other comparison."""
_SOON: Final = 1.0
"""Seconds between two looks for an id that is not known: a new key works at once, and guessing costs the database
little."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and what they may do."""

    key_id: str
    name: str
    scopes: frozenset[str]
    scenario: str | None
    """The only one that they may ask about; None is all."""

    def may(self, scope: Scope, scenario: str | None = None) -> bool:
        """Return whether they may do this; `admin` may do everything in its scenario.

        Args:
            scope: What.
            scenario: Where; None is what concerns all scenarios, which only a key for all may do.
        """
        return (scope in self.scopes or "admin" in self.scopes) and self.scenario in {None, scenario}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is one too many."""

    limit: Literal["rate", "quota"]
    seconds: float
    """Until it would be let through; infinite if it asks for more at once than ever is."""


def create_key(
    keys: StoredKeys,
    name: str,
    scopes: Sequence[str],
    *,
    scenario: str | None = None,
    quota: int | None = None,
    rate: float | None = None,
    actor: str = "command line",
    now: Callable[[], float] = time.time,
) -> tuple[str, StoredKey]:
    """Make a key, and return its secret, which nobody can read again, and what is kept of it.

    Args:
        keys: Where it is kept.
        name: What people call it.
        scopes: What it opens: `read` answers, `write` texts, `events` what tells what users do, `admin` everything.
        scenario: The only one that it opens; all by default.
        quota: Requests a day of UTC.
        rate: Requests a second in the long run; as many may come at once.
        actor: Who makes it, for the audit log.
        now: The server's clock, in seconds since 1970.

    Raises:
        ConfigError: A scope is none, or a limit is not above 0.
        DataError: A valid key has this name, or a name cannot be kept.
        ResourceError: The database cannot be written.
    """
    checked_id(name, "name")
    if scenario is not None:
        checked_id(scenario, "scenario")
    wrong = next((scope for scope in scopes if scope not in SCOPES), None)
    if wrong is not None or not scopes:
        problem = "the key opens nothing" if wrong is None else f"{wrong!r} is no scope"
        raise ConfigError(problem, place=f"key {name!r}", remedy=f"Choose from {', '.join(SCOPES)}.")
    for what, limit in (("quota", quota), ("rate", rate)):
        if limit is not None and not (limit > 0 and math.isfinite(limit)):
            raise ConfigError(
                f"the {what} {limit!r} is not above 0", place=f"key {name!r}", remedy="Revoke a key to stop it."
            )
    key_id = secrets.token_hex(6)
    secret = f"{_PREFIX}_{key_id}_{secrets.token_urlsafe(32)}"
    ordered = tuple(scope for scope in SCOPES if scope in scopes)
    key = StoredKey(key_id, name, _digest(secret), ordered, scenario, quota, rate, now(), None)
    keys.add(key, actor=actor)
    return secret, key


class Keyring:
    """Checks who asks, from memory, so that it works while the database is gone.

    What was created elsewhere works at once, and what was revoked stops within `refresh` seconds; while the database
    cannot be read, the keys are those of the last look. Rates and quotas are counted by each process for itself. How
    much of the quotas is used is written by `save` and read when a process starts, so what a process has counted since
    then is lost if it is killed. Any thread may ask.
    """

    def __init__(
        self,
        keys: StoredKeys,
        *,
        refresh: float = 5.0,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read the keys.

        Args:
            keys: Where they are kept.
            refresh: Seconds between two looks at what has changed, which `who` takes; infinite where somebody calls
                `refresh`, so that nobody who asks waits for the database.
            now: The server's clock, in seconds since 1970.
            clock: One that never goes back.

        Raises:
            ResourceError: The database cannot be read.
        """
        self._store, self._refresh, self._now, self._clock = keys, refresh, now, clock
        self._keys: dict[str, StoredKey] = {}
        self._buckets: dict[str, TokenBucket] = {}
        self._quotas: dict[str, DailyQuota] = {}
        self._unsaved: dict[tuple[str, int], int] = {}
        self._looking, self._counting = threading.Lock(), threading.Lock()
        self._looked = -math.inf
        self.any_made = False
        """Whether a key was ever made, be it revoked since."""
        self.refresh()

    def refresh(self) -> None:
        """Read the keys again, whenever that was done last.

        Raises:
            ResourceError: The database cannot be read; the keys stay as they were.
        """
        with self._looking:
            self._look()

    def who(self, secret: str) -> Caller | None:
        """Return whose secret this is; None where it is nobody's, or was revoked."""
        key_id = _id_in(secret)
        if math.isfinite(self._refresh):
            self._look_again(self._refresh if key_id in self._keys else min(_SOON, self._refresh))
        key = self._keys.get(key_id)
        same = hmac.compare_digest(_digest(secret), _NOBODY if key is None else key.digest)
        if key is None or not same:
            return None
        return Caller(key.key_id, key.name, frozenset(key.scopes), key.scenario)

    def admit(self, caller: Caller, n: int = 1) -> Refusal | None:
        """Count a request, or `n` of them, and return None; or why it is one too many: then it does not count."""
        bucket, quota = self._buckets.get(caller.key_id), self._quotas.get(caller.key_id)
        if bucket is not None and (seconds := bucket.take(n)):
            return Refusal("rate", seconds)
        if quota is not None:
            if seconds := quota.take(n):
                return Refusal("quota", seconds)
            with self._counting:
                counted = (caller.key_id, quota.day)
                self._unsaved[counted] = self._unsaved.get(counted, 0) + n
        return None

    def save(self) -> None:
        """Write how much of the quotas was used since the last time.

        Raises:
            ResourceError: The database cannot be written; the next time it is written all the same.
        """
        with self._counting:
            unsaved, self._unsaved = self._unsaved, {}
        try:
            self._store.add_used(unsaved)
        except BaseException:
            with self._counting:
                for counted, n in unsaved.items():
                    self._unsaved[counted] = self._unsaved.get(counted, 0) + n
            raise

    def _look_again(self, after: float) -> None:
        """Read the keys if that was done more than so many seconds ago, nobody else is at it, and it can be done."""
        if self._clock() - self._looked < after or not self._looking.acquire(blocking=False):
            return
        try:
            self._look()
        except ResourceError:
            self._looked = self._clock()
        finally:
            self._looking.release()

    def _look(self) -> None:
        made = self._store.all()
        self.any_made = bool(made)
        keys = {key.key_id: key for key in made if key.revoked is None}
        limited = [key for key in keys.values() if key.quota is not None and key.key_id not in self._quotas]
        used = self._store.used(day_of(self._now()), [key.key_id for key in limited]) if limited else {}
        quotas = {key.key_id: DailyQuota(key.quota or 0, used.get(key.key_id, 0), now=self._now) for key in limited}
        fresh = [key for key in keys.values() if key.rate is not None and key.key_id not in self._buckets]
        buckets = {key.key_id: TokenBucket(key.rate or 0.0, now=self._clock) for key in fresh}
        self._quotas = _of(keys, {**self._quotas, **quotas})
        self._buckets = _of(keys, {**self._buckets, **buckets})
        self._keys, self._looked = keys, self._clock()


def _of(keys: dict[str, StoredKey], limits: dict[str, Any]) -> dict[str, Any]:
    return {key_id: limit for key_id, limit in limits.items() if key_id in keys}


def _id_in(secret: str) -> str:
    """Return the id in front of a secret; nothing where it has another form."""
    parts = secret.split("_", 2)
    return parts[1] if len(parts) == 3 and parts[0] == _PREFIX else ""


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
