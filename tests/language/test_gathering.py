"""Callers that share a model: who has it writes for those who wait, and nobody waits for what went wrong."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from genre.language import decoding
from genre.language.base import Sampling
from genre.language.decoding import Batch, LoadedModel, Row
from genre.language.gathering import Gathering
from genre.language.local import LocalGeneratorConfig
from tests.language.models import write_tiny

GREEDY = Sampling(max_tokens=6)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    directory = tmp_path_factory.mktemp("tiny")
    write_tiny(directory)
    return LocalGeneratorConfig(model=str(directory), precision="fp32").build().load()


def rows(count: int) -> list[Row]:
    return [Row([5 + at, 9, 12 + at], 6, np.random.default_rng(at)) for at in range(count)]


class Watched(Batch):
    """Tells which batches there are, and lets another caller come while the first is being written."""

    sizes: list[int]
    first: threading.Event
    others_wait: threading.Event

    def __init__(self, loaded: LoadedModel, some: list[Row], sampling: Sampling) -> None:
        super().__init__(loaded, some, sampling)
        self.sizes.append(len(some))
        if len(self.sizes) == 1:
            self.first.set()
            assert self.others_wait.wait(20)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> type[Watched]:
    Watched.sizes, Watched.first, Watched.others_wait = [], threading.Event(), threading.Event()
    monkeypatch.setattr(decoding, "Batch", Watched)
    return Watched


def test_those_who_wait_are_written_in_one_batch_if_they_are_drawn_alike(
    loaded: LoadedModel, watched: type[Watched]
) -> None:
    gathering, found = Gathering(), dict[int, list[Row]]()
    asked = [
        (rows(1), GREEDY),
        (rows(2), GREEDY),
        (rows(3), Sampling(max_tokens=6, seed=7)),
        (rows(2), Sampling(temperature=1.0)),
    ]

    def ask(at: int) -> None:
        found[at] = list(gathering.written(loaded, asked[at][0], asked[at][1], 8))

    threads = [threading.Thread(target=ask, args=(at,)) for at in range(len(asked))]
    threads[0].start()
    assert watched.first.wait(20)
    for thread in threads[1:]:
        thread.start()
    while len(gathering._waiting) < 7:
        pass
    watched.others_wait.set()
    for thread in threads:
        thread.join()
    assert watched.sizes[0] == 1
    assert sorted(watched.sizes[1:]) == [2, 5]
    for at, (own, _) in enumerate(asked):
        assert sorted(map(id, found[at])) == sorted(map(id, own))
        assert all(row.finish in {"stop", "length"} for row in own)
    assert not gathering._waiting


def test_batches_are_no_larger_than_wanted(loaded: LoadedModel, watched: type[Watched]) -> None:
    watched.others_wait.set()
    assert len(list(Gathering().written(loaded, rows(5), GREEDY, 2))) == 5
    assert watched.sizes == [2, 2, 1]


def test_what_goes_wrong_is_told_to_all_whose_rows_were_in_it(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathering, own, other = Gathering(), rows(1), rows(2)
    gathering._waiting += [(row, GREEDY) for row in other]

    def fail(_: Batch) -> list[Row]:
        raise MemoryError("no memory")

    monkeypatch.setattr(Batch, "step", fail)
    with pytest.raises(MemoryError):
        list(gathering.written(loaded, own, GREEDY, 8))
    assert [row.finish for row in other] == ["error", "error"]
    assert other[0].error == "what was written together with it came to an end"
    assert not gathering._waiting
    # The others find their rows done, and the model free.
    assert list(gathering.written(loaded, other, GREEDY, 8)) == other
