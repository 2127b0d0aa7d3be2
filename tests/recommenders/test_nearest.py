"""Answers from items as vectors, against sorting the scores, with every item looked at and with Faiss."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from genre.core.queries import NO_ITEM, Candidates, Source
from genre.core.ragged import Ragged
from genre.core.topn import top_n
from genre.features.index import IndexKind, VectorIndex
from genre.recommenders.nearest import Nearest

NUM, SIZE = 2_000, 16


def vectors(count: int, seed: int) -> NDArray[np.float32]:
    found = np.random.default_rng(seed).standard_normal((count, SIZE)).astype(np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found


@pytest.fixture(params=["exact", "faiss"])
def items(request: pytest.FixtureRequest) -> Nearest:
    kind: IndexKind = request.param
    table = vectors(NUM, 0)
    table[::10] = 0
    made = Nearest(table, Source.CONTENT)
    made.index = VectorIndex.build(table, kind=kind)
    return made


def test_answers_are_the_highest_scores_that_are_allowed(items: Nearest) -> None:
    wanted = vectors(5, 1)
    wanted[3] = 0
    excluded = Ragged.of([[1, 2], [], [3], [], list(range(500))])
    allowed = np.arange(NUM) % 7 > 0
    answer = items.recommend(wanted, 10, Candidates(allowed=allowed, excluded=excluded))
    scores = items.score(wanted)
    Candidates(allowed=allowed, excluded=excluded).hide(scores)
    rows, best = top_n(scores, 10)
    np.testing.assert_array_equal(answer.item_rows, rows)
    np.testing.assert_allclose(answer.scores, best, rtol=1e-5)
    assert (answer.item_rows[3] == NO_ITEM).all(), "who asks for nothing gets nothing"
    assert set(answer.sources[answer.filled].tolist()) == {Source.CONTENT}


def test_an_index_in_use_takes_new_items_in(items: Nearest) -> None:
    new = vectors(3, 2)
    longer = items.with_more(new)
    assert longer.index.kind == items.index.kind
    assert longer.recommend(new, 1, None).item_rows.ravel().tolist() == [NUM, NUM + 1, NUM + 2]
    assert len(items.index) == NUM
