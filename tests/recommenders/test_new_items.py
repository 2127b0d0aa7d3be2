from __future__ import annotations

import numpy as np

from genre.core.ragged import Ragged
from genre.core.run import RunContext
from genre.data.dataset import Dataset
from genre.recommenders.content import ContentConfig
from genre.recommenders.ease import EaseConfig
from genre.recommenders.ensemble import EnsembleConfig
from genre.recommenders.members import Judged, Pool
from genre.recommenders.new_items import choose_lift, reading_weights, reads_new_items
from genre.recommenders.popularity import PopularityConfig
from genre.recommenders.sasrec import ItemTextConfig, SasrecConfig
from genre.recommenders.two_tower import TwoTowerConfig

NEW = np.zeros(30, bool)
NEW[[20, 21]] = True


def judged() -> Judged:
    """Return 21 questions: the behaviour model knows the answers to 20, the reader the answer to the last, a new item.

    The reader names the new item 20 in every question, with a z-score of 2.
    """
    count = 21
    items = np.tile(np.append(np.arange(11, dtype=np.int32), np.int32(20)), (count, 1))
    behaviour = np.tile(np.append(np.linspace(3, 1, 11), -1.0), (count, 1))
    reader = np.zeros_like(behaviour)
    reader[:, 11] = 2.0
    targets = Ragged.of([[0]] * 10 + [[9]] * 10 + [[20]])
    return Judged.of(Pool(items, np.stack([behaviour, reader]).astype(np.float32)), targets)


def test_the_lift_finds_new_items_as_long_as_others_lose_little() -> None:
    weights, says = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    lift = choose_lift(judged(), weights, says, NEW, 0.3)
    assert lift * 2 > 1.2, "the new item must pass the tenth place"
    # Above place 10, half of the questions lose what a target at place 10 is worth: 1 / log2(11) of 1 + 1 / log2(11).
    share = (1 / np.log2(11)) / (1 + 1 / np.log2(11))
    assert choose_lift(judged(), weights, says, NEW, share * 1.01) * 2 > 1.2
    assert choose_lift(judged(), weights, says, NEW, share * 0.99) * 2 < 1.2


def test_without_questions_for_new_items_nothing_is_lifted() -> None:
    assert choose_lift(judged(), np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.zeros(30, bool), 0.01) == 0


def test_readers_speak_of_new_items_as_loudly_as_of_others(dataset: Dataset) -> None:
    run = RunContext()
    ease = EaseConfig(regularization=10).build({}).fit(dataset, run)
    popularity = PopularityConfig().build({}).fit(dataset, run)
    ensemble = EnsembleConfig(members=("ease",), num_seeds=1).build({"ease": ease}).fit(dataset, run)
    assert not any(map(reads_new_items, (ease, popularity, ensemble)))
    assert reading_weights(np.array([1.0, 0.5]), [ease, popularity]).tolist() == [0, 0]


def test_members_that_only_read_speak_alone_of_new_items() -> None:
    content, towers = ContentConfig().build({}), TwoTowerConfig().build({})
    both, counting = SasrecConfig(text=ItemTextConfig()).build({}), SasrecConfig().build({})
    says = reading_weights(np.array([1.0, 0.2, 0.6, 0.5]), [both, content, towers, counting])
    np.testing.assert_allclose(says, [0, 0.25, 0.75, 0])
    assert reading_weights(np.array([1.0, 0.5]), [both, counting]).tolist() == [1, 0]
    assert reading_weights(np.array([1.0, 0.0]), [both, content]).tolist() == [0, 1], "without a weight, it still reads"
