from __future__ import annotations

import numpy as np
import polars as pl

from genre.core.interactions import Interactions
from genre.core.queries import NO_ITEM, Queries, Recommendations, Source
from genre.core.ragged import Ragged
from genre.data.dataset import Dataset, Entities, Roles, Vocabulary
from genre.generation.reasons import Reasons


def world() -> Dataset:
    items = pl.DataFrame(
        {
            "item_id": ["a", "b", "c", "d"],
            "title": ["Alien", "Blade Runner", "Casablanca", "Dune"],
            "title_zh": ["异形", "银翼杀手", "卡萨布兰卡", None],
            "genres": [["Horror", "SF"], ["SF"], ["Romance"], ["SF"]],
        }
    )
    users = pl.DataFrame({"user_id": ["u", "v", "w"]})
    log = Interactions.of(Ragged.of([[0, 1], [0, 1, 2], [2]]))
    return Dataset(
        log,
        Entities(Vocabulary(items["item_id"]), items, Roles(text=("title",), category=("genres",))),
        Entities(Vocabulary(users["user_id"]), users),
    )


def explain(history: list[int], item: int, source: Source = Source.PERSONAL, language: str = "en"):
    answer = Recommendations(np.array([[item]], np.int32), np.ones((1, 1), np.float32), np.array([[source]], np.int8))
    queries = Queries.of(Interactions.of(Ragged.of([history])))
    return Reasons(world()).explain(queries, answer, language)[0][0]  # type: ignore[arg-type]


def test_a_reason_names_the_liked_item_the_shared_facts_and_the_people() -> None:
    reason = explain([2, 0], 1)
    assert reason.text == "Because you liked Alien: they share SF; 2 people liked both."
    assert (reason.because, reason.facts, reason.together, reason.liked_by) == ("a", ("SF",), 2, 2)


def test_chinese_reasons_use_chinese_titles_where_there_are_some() -> None:
    assert explain([0], 1, language="zh").text == "因为你喜欢《异形》：共同点是SF；有 2 人两个都喜欢。"


def test_a_popular_answer_claims_nothing_personal() -> None:
    assert explain([0], 1, Source.POPULAR).text == "Liked by 2 people."


def test_without_any_link_only_the_number_of_likes_is_said() -> None:
    assert explain([3], 2).text == "Liked by 2 people."
    assert explain([], 3).text == "Hardly known yet: nobody here has liked it so far."


def test_a_shared_fact_is_enough_for_a_new_item() -> None:
    assert explain([0], 3).text == "Because you liked Alien: they share SF."


def test_where_content_has_spoken_the_words_that_both_texts_share_are_named() -> None:
    data = world()
    texts = ["A witch dreams of dragons", "The dragons of the witch", "A bank", "The bank of a river"]
    chinese = ["女孩在汤屋干活", "汤屋的神灵", None, None]
    frame = data.items.frame.with_columns(plot=pl.Series(texts), plot_zh=pl.Series(chinese))
    items = Entities(data.items.vocabulary, frame, Roles(text=("title", "plot", "plot_zh"), category=("genres",)))
    reasons = Reasons(Dataset(data.interactions, items, data.users))
    answer = Recommendations(
        np.array([[1]], np.int32), np.ones((1, 1), np.float32), np.array([[Source.CONTENT]], np.int8)
    )
    queries = Queries.of(Interactions.of(Ragged.of([[0]])))
    english, chinese_reason = (reasons.explain(queries, answer, language)[0][0] for language in ("en", "zh"))
    assert english.words == ("dragons", "witch")
    assert english.text == "Because you liked Alien: they share SF; both speak of dragons, witch; 2 people liked both."
    assert chinese_reason.words == ("汤屋",)


def test_empty_places_get_no_reason() -> None:
    answer = Recommendations.empty(1, 2)
    assert answer.item_rows.tolist() == [[NO_ITEM, NO_ITEM]]
    assert Reasons(world()).explain(Queries.of(Interactions.empty(1)), answer) == [[]]
