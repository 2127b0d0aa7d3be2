"""Keys: shown once, checked from memory, revoked for good."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace

import pytest

from genre.core.errors import ConfigError, DataError, ResourceError
from genre.serving.keys import Caller, Keyring, Refusal, create_key
from genre.serving.limits import DAY
from genre.serving.stores.audit import Audit
from genre.serving.stores.database import Database
from genre.serving.stores.keys import StoredKey, StoredKeys
from tests.serving.clock import Clock


@pytest.fixture
def keys(database: Database) -> StoredKeys:
    return StoredKeys(database)


class Gone(StoredKeys):
    """Keys in memory, in a database that goes and comes back."""

    def __init__(self) -> None:
        self.kept: list[StoredKey] = []
        self.gone, self.looks = False, 0
        self.counted: dict[tuple[str, int], int] = {}

    def add(self, key: StoredKey, *, actor: str) -> None:
        self.kept.append(key)

    def all(self) -> list[StoredKey]:
        self.looks += 1
        if self.gone:
            raise ResourceError("gone")
        return list(self.kept)

    def used(self, day: int, key_ids: object = None) -> dict[str, int]:
        return {key_id: n for (key_id, of), n in self.counted.items() if of == day}

    def add_used(self, used: dict[tuple[str, int], int]) -> None:  # type: ignore[override]
        if self.gone:
            raise ResourceError("gone")
        for counted, n in used.items():
            self.counted[counted] = self.counted.get(counted, 0) + n


def test_a_key_opens_what_it_was_made_for(keys: StoredKeys, database: Database) -> None:
    secret, kept = create_key(keys, "shop", ["events", "read"], scenario="films", quota=10, rate=2.5, now=Clock(5.0))
    assert keys.all() == [kept]
    digest = hashlib.sha256(secret.encode()).digest()
    assert kept == StoredKey(kept.key_id, "shop", digest, ("read", "events"), "films", 10, 2.5, 5.0, None)
    caller = Keyring(keys).who(secret)
    assert caller == Caller(kept.key_id, "shop", frozenset({"read", "events"}), "films")
    assert caller.may("read", "films")
    assert not caller.may("write", "films")
    assert not caller.may("read", "books")
    assert not caller.may("read")
    (entry,) = Audit(database).newest()
    assert (entry.action, entry.scenario, entry.detail["name"]) == ("key created", "films", "shop")
    assert secret not in str(entry)


def test_an_administrator_may_do_everything_where_they_are() -> None:
    everywhere = Caller("1", "root", frozenset({"admin"}), None)
    assert everywhere.may("write", "films")
    assert everywhere.may("admin")
    films = replace(everywhere, scenario="films")
    assert films.may("events", "films")
    assert not films.may("admin")


def test_secrets_are_256_bits_and_never_kept(keys: StoredKeys, database: Database) -> None:
    secrets = {create_key(keys, f"k{n}", ["read"])[0] for n in range(20)}
    random_parts = {secret.split("_", 2)[2] for secret in secrets}
    assert {len(part) for part in random_parts} == {43}
    assert len(random_parts) == 20
    with database.reading() as connection:
        rows = str(connection.exec_driver_sql("SELECT * FROM keys").all())
    assert not any(part in rows for part in random_parts)


@pytest.mark.parametrize(
    "change", ["", "x", "genre", "genre_", "genre__", "genre_{id}_", "{secret}x", "x{secret}", "{id}"]
)
def test_nobody_comes_in_with_something_else(keys: StoredKeys, change: str) -> None:
    secret, kept = create_key(keys, "shop", ["read"])
    ring = Keyring(keys)
    assert ring.who(change.format(secret=secret, id=kept.key_id)) is None
    assert ring.who("\ud800\0" + secret) is None
    assert ring.who(secret) is not None


def test_every_check_is_one_comparison_in_constant_time(keys: StoredKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    secret, _ = create_key(keys, "shop", ["read"])
    ring, compared = Keyring(keys), []
    compare = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda one, other: compared.append((one, other)) or compare(one, other))
    for told in (secret, secret[:-1], "genre_nobody_x", ""):
        ring.who(told)
    assert len(compared) == 4
    assert all(len(one) == len(other) == 32 for one, other in compared)


def test_a_revoked_key_opens_nothing_and_its_name_is_free(keys: StoredKeys, database: Database) -> None:
    clock = Clock(0.0)
    secret, first = create_key(keys, "shop", ["read"])
    with pytest.raises(DataError, match="there is a key 'shop' already"):
        create_key(keys, "shop", ["read"])
    ring = Keyring(keys, refresh=5.0, clock=clock)
    assert keys.revoke("shop", at=7.0, actor="key-1").key_id == first.key_id
    assert ring.who(secret) is not None
    clock.now = 5.0
    assert ring.who(secret) is None
    second = create_key(keys, "shop", ["write"])[1]
    assert [key.revoked for key in keys.all()] == [7.0, None]
    keys.revoke(second.key_id, at=8.0, actor="key-1")
    with pytest.raises(DataError, match=r"no valid key 'shop'\. The valid ones are: none"):
        keys.revoke("shop", at=9.0, actor="key-1")
    assert [entry.action for entry in Audit(database).newest()] == ["key revoked", "key created"] * 2


def test_a_new_key_works_at_once_and_guessing_asks_the_database_once_a_second() -> None:
    keys, clock = Gone(), Clock(0.0)
    ring = Keyring(keys, clock=clock)
    clock.now = 1.0
    secret, _ = create_key(keys, "late", ["read"])
    assert ring.who(secret) is not None
    for _ in range(10):
        assert ring.who("genre_guess_x") is None
    assert keys.looks == 2


def test_keys_are_known_while_the_database_is_gone() -> None:
    keys, clock = Gone(), Clock(0.0)
    secret, _ = create_key(keys, "shop", ["read"], quota=100)
    ring = Keyring(keys, refresh=5.0, clock=clock, now=Clock(3.5 * DAY))
    caller = ring.who(secret)
    assert caller is not None
    keys.gone, clock.now = True, 6.0
    assert [ring.who(secret), ring.who(secret)] == [caller, caller]
    assert keys.looks == 2
    assert ring.admit(caller, 3) is None
    with pytest.raises(ResourceError):
        ring.save()
    with pytest.raises(ResourceError):
        ring.refresh()
    assert ring.admit(caller) is None
    keys.gone = False
    ring.save()
    ring.save()
    assert keys.counted == {(caller.key_id, 3): 4}


def test_rates_and_quotas_are_a_keys_own(keys: StoredKeys) -> None:
    clock, now = Clock(0.0), Clock(4.0 * DAY - 60)
    for name in ("one", "other"):
        create_key(keys, name, ["read"], rate=2, quota=3)
    secret, _ = create_key(keys, "free", ["read"])
    ring = Keyring(keys, clock=clock, now=now)
    one, other = (Caller(key.key_id, key.name, frozenset(), None) for key in keys.all()[:2])
    assert [ring.admit(one), ring.admit(one), ring.admit(one)] == [None, None, Refusal("rate", 0.5)]
    assert ring.admit(other) is None
    clock.now = 10.0
    assert [ring.admit(one), ring.admit(one)] == [None, Refusal("quota", 60.0)]
    free = ring.who(secret)
    assert free is not None
    assert {ring.admit(free) for _ in range(50)} == {None}
    ring.save()
    assert keys.used(3) == {one.key_id: 3, other.key_id: 1}
    # The next process goes on where this one was.
    assert Keyring(keys, clock=clock, now=now).admit(one) == Refusal("quota", 60.0)
    now.now, clock.now = now.now + 60, 11.0
    assert ring.admit(one) is None
    ring.save()
    assert keys.used(4) == {one.key_id: 1}
    # Looking again forgets nothing.
    ring.refresh()
    clock.now = 20.0
    assert [ring.admit(one, 2), ring.admit(one)] == [None, Refusal("rate", 0.5)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"scopes": []}, "key 'k': the key opens nothing. Choose from read, write, events, admin."),
        ({"scopes": ["read", "all"]}, "key 'k': 'all' is no scope."),
        ({"quota": 0}, "key 'k': the quota 0 is not above 0."),
        ({"rate": -1.0}, "key 'k': the rate -1.0 is not above 0."),
        ({"rate": float("inf")}, "key 'k': the rate inf is not above 0."),
    ],
)
def test_mistakes_are_named(given: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        create_key(Gone(), "k", **{"scopes": ["read"], **given})  # type: ignore[arg-type]
    assert str(caught.value).startswith(message)
