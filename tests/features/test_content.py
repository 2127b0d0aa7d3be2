"""Features of items and users: words, labels, ranges and what is missing."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from genre.core.errors import DataError
from genre.data.dataset import Dataset, Entities, Roles, Vocabulary
from genre.features.content import ContentConfig, ContentFeatures, words_of

LOOSE = ContentConfig(min_count=1, max_share=1.0)


def entities(roles: Roles, **columns: list[object]) -> Entities:
    """Return a table of items with these columns."""
    size = len(next(iter(columns.values())))
    frame = pl.DataFrame({"item_id": [str(row) for row in range(size)], **columns}, strict=False)
    return Entities(Vocabulary(frame["item_id"]), frame, roles)


def column_of(features: ContentFeatures, table: Entities, name: str) -> list[float]:
    return features.transform(table).toarray()[:, features.names.index(name)].tolist()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The red-hot CAFÉ, again: red", ["the", "red", "hot", "café", "again", "red"]),
        ("a 3D film", ["3d", "film"]),
        ("流浪地球", ["流", "浪", "地", "球", "流浪", "浪地", "地球"]),
        ("猫 的 iPhone手机", ["猫", "的", "iphone", "手", "机", "手机"]),
        ("ＡＢＣ １２", ["abc", "12"]),
        ("snow_white", ["snow", "white"]),
        ("", []),
    ],
)
def test_words_of_english_and_chinese(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_text_is_weighted_as_scikit_learn_does() -> None:
    texts = ["red lipstick red", "blue lipstick 口红", "口红 red", "lipstick", "green"]
    features = ContentFeatures.fit(entities(Roles(text=("title",)), title=texts), LOOSE)
    ours = features.transform(entities(Roles(text=("title",)), title=texts))
    theirs = TfidfVectorizer(analyzer=words_of, sublinear_tf=True)
    expected = theirs.fit_transform(texts)
    assert features.names == [f"title: {word}" for word in theirs.get_feature_names_out()] + ["title: missing"]
    np.testing.assert_allclose(ours.toarray()[:, :-1], expected.toarray(), rtol=1e-6)
    assert ours.dtype == np.float32


def test_labels_are_multi_hot_at_length_one() -> None:
    table = entities(Roles(category=("genres",)), genres=[["a", "b"], ["a"], ["b", "a", "a"], None, []])
    features = ContentFeatures.fit(table, LOOSE)
    assert features.names == ["genres: a", "genres: b", "genres: missing"]
    half = np.sqrt(0.5)
    expected = [[half, half, 0], [1, 0, 0], [half, half, 0], [0, 0, 1], [0, 0, 0]]
    np.testing.assert_allclose(features.transform(table).toarray(), expected, rtol=1e-6)


def test_rare_labels_and_common_words_are_left_out() -> None:
    table = entities(
        Roles(text=("title",), category=("brand",)),
        title=["the cat", "the cat", "the dog", "the dog", "the owl"],
        brand=[["x"], ["x"], ["y"], ["x"], ["x"]],
    )
    features = ContentFeatures.fit(table, ContentConfig(min_count=2, max_share=0.5))
    assert features.names == ["title: cat", "title: dog", "title: missing", "brand: x", "brand: missing"]


def test_the_number_of_features_is_bounded_by_frequency() -> None:
    table = entities(
        Roles(text=("title",), category=("brand",)),
        title=["aa bb cc", "aa bb", "aa"],
        brand=[["x", "y"], ["x", "z"], ["x", "z"]],
    )
    features = ContentFeatures.fit(table, ContentConfig(min_count=1, max_share=1, max_words=2, max_labels=2))
    assert features.names == ["title: aa", "title: bb", "title: missing", "brand: x", "brand: z", "brand: missing"]


def test_numbers_fall_into_ranges_of_equal_size() -> None:
    table = entities(Roles(number=("price",)), price=[1.0, 2.0, 3.0, 4.0, None, float("nan")])
    features = ContentFeatures.fit(table, ContentConfig(num_bins=2))
    assert features.names == ["price: to 2.5", "price: 2.5 to", "price: missing"]
    assert column_of(features, table, "price: to 2.5") == [1, 1, 0, 0, 0, 0]
    assert column_of(features, table, "price: 2.5 to") == [0, 0, 1, 1, 0, 0]
    assert column_of(features, table, "price: missing") == [0, 0, 0, 0, 1, 1]


@pytest.mark.parametrize("values", [[5.0, 5.0, 5.0], [None, None]])
def test_a_number_that_tells_nothing_gives_one_range(values: list[float | None]) -> None:
    table = entities(Roles(number=("price",)), price=values)
    features = ContentFeatures.fit(table, ContentConfig())
    assert features.transform(table).shape == (len(values), 2)


def test_only_training_rows_settle_what_is_known() -> None:
    table = entities(Roles(text=("title",), number=("price",)), title=["old", "old", "new"], price=[1.0, 3.0, 100.0])
    features = ContentFeatures.fit(table, ContentConfig(min_count=1, max_share=1, num_bins=2), rows=np.array([0, 1]))
    assert features.names[:2] == ["title: old", "title: missing"]
    assert features.transform(table).toarray()[2].tolist() == [0, 0, 0, 1, 0]


def test_state_brings_everything_back_as_arrays(dataset: Dataset) -> None:
    features = ContentFeatures.fit(dataset.items, ContentConfig())
    state = features.state()
    assert all(isinstance(value, np.ndarray) and value.dtype != object for value in state.values())
    again = ContentFeatures.restore(state)
    assert again.names == features.names
    assert "title: 音乐" in again.names
    np.testing.assert_array_equal(
        again.transform(dataset.items.frame).toarray(), features.transform(dataset.items).toarray()
    )


def test_rows_of_which_nothing_is_known(dataset: Dataset) -> None:
    features = ContentFeatures.fit(dataset.users, ContentConfig())
    blank = features.missing(2).toarray()
    known = {name for name, value in zip(features.names, blank[0], strict=True) if value}
    assert known == {"country: missing", "age: missing"}
    np.testing.assert_array_equal(blank[0], blank[1])


def test_a_table_without_columns_has_no_features() -> None:
    table = Entities(Vocabulary(pl.Series(["a", "b"])), pl.DataFrame({"item_id": ["a", "b"]}))
    features = ContentFeatures.fit(table, ContentConfig())
    assert features.transform(table).shape == (2, 0)
    assert features.missing(3).shape == (3, 0)


def test_a_column_that_went_missing_is_named(dataset: Dataset) -> None:
    features = ContentFeatures.fit(dataset.items, ContentConfig())
    with pytest.raises(DataError, match=r"there is no column 'price'.*Give the columns that the model was fitted with"):
        features.transform(dataset.items.frame.drop("price"))


@given(st.lists(st.one_of(st.none(), st.text(max_size=20)), min_size=1, max_size=8))
def test_any_text_gives_rows_of_length_one_or_zero(texts: list[str | None]) -> None:
    table = entities(Roles(text=("title",)), title=pl.Series(texts, dtype=pl.String).to_list())
    features = ContentFeatures.fit(table, LOOSE)
    matrix = features.transform(table)
    assert matrix.shape == (len(texts), len(features.names))
    lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    expected = [1.0 if text is None or words_of(text) else 0.0 for text in texts]
    np.testing.assert_allclose(lengths, expected, rtol=1e-5)
