from __future__ import annotations

import numpy as np

from genre.core.ragged import Ragged
from genre.core.run import RunContext
from genre.data.dataset import Dataset
from genre.recommenders.content import ContentConfig
from genre.recommenders.ease import EaseConfig
from genre.recommenders.ensemble import EnsembleConfig
from genre.recommenders.members import Judged, Pool
from genre.recommenders.new_items import choose_within, reading_weights, reads_new_items, show_new
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


def placed(known: list[float], read: list[float], new: list[int], within: int) -> list[int]:
    """Return the items in the order of their scores."""
    scores, is_new = np.array([known], np.float32), np.isin(np.arange(len(known)), new)[None]
    show_new(scores, np.array([read], np.float32), is_new, within)
    return [int(item) for item in np.argsort(-scores[0], kind="stable") if scores[0, item] > -np.inf]


KNOWN = [float(100 - item) for item in range(14)]


def test_a_new_item_among_the_readers_first_stands_in_the_tenth_place() -> None:
    order = placed([*KNOWN, 500.0], [0.0] * 14 + [1.0], [14], within=1)
    assert order == [*range(9), 14, *range(9, 14)]


def test_several_stand_before_the_end_of_the_ten_in_the_readers_order() -> None:
    order = placed([*KNOWN, 0.0, 0.0, 0.0], [0.0] * 14 + [1.0, 3.0, 2.0], [14, 15, 16], within=3)
    assert order == [*range(7), 15, 16, 14, *range(7, 14)]


def test_the_other_new_items_stand_behind_ten_and_behind_as_many_as_the_readers_put_before_them() -> None:
    # The readers like item 0 best, then the new 14, then eleven others, then the new 15.
    read = [9.0, *[5.0] * 11, 0.0, 0.0, 8.0, 1.0]
    assert placed([*KNOWN, 0.0, 0.0], read, [14, 15], within=0) == [*range(10), 14, 10, 11, 12, 15, 13]
    assert placed([*KNOWN, 0.0, 0.0], read, [14, 15], within=1) == [*range(10), 14, 10, 11, 12, 15, 13]
    assert placed([*KNOWN, 0.0, 0.0], read, [14, 15], within=2) == [*range(9), 14, 9, 10, 11, 12, 15, 13]


def test_what_cannot_be_read_is_not_shown_and_few_known_items_are_no_hindrance() -> None:
    assert placed([*KNOWN, 500.0], [0.0] * 14 + [-np.inf], [14], within=3) == [*range(14)]
    assert placed([3.0, 2.0, 9.0, 9.0], [1.0, 1.0, 2.0, 3.0], [2, 3], within=1) == [0, 1, 3, 2]
    assert placed([-np.inf, 9.0], [1.0, 2.0], [1], within=5) == [1]
    assert placed([-np.inf, 9.0, 9.0], [1.0, 2.0, 3.0], [1, 2], within=0) == [2, 1]


def test_as_many_places_are_taken_as_the_others_can_bear() -> None:
    weights, says = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    # In place 10, a new item costs half of the questions a target there: 1 / log2(11) of 1 + 1 / log2(11).
    share = (1 / np.log2(11)) / (1 + 1 / np.log2(11))
    assert choose_within(judged(), weights, says, NEW, share * 1.01) == 1
    assert choose_within(judged(), weights, says, NEW, share * 0.99) == 0


def test_without_questions_for_new_items_none_is_shown_early() -> None:
    assert choose_within(judged(), np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.zeros(30, bool), 0.01) == 0


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
