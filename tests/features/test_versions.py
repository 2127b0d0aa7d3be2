"""Other versions of texts: what they say, of which items, and what is learned from the real texts alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from genre.core.errors import ConfigError
from genre.core.run import RunContext
from genre.data.dataset import Dataset, Entities, Roles, Vocabulary
from genre.features.content import ContentConfig, ContentFeatures
from genre.features.text import TextConfig, cut_text, item_texts, texts_with_gaps
from genre.features.vectors import TextVectors, VectorsConfig
from genre.features.versions import VersionsConfig, version_texts, with_versions
from genre.language.fake import FakeEncoderConfig
from genre.language.hashing import HashingEncoderConfig

TABLE = pl.DataFrame(
    {
        "item_id": ["a", "b", "c", "d"],
        "title": ["Alpha", "Beta", None, None],
        "text": ["First words", None, "Third words", None],
        "genres": [["x", "y"], ["z"], None, None],
    }
)
ITEMS = Entities(Vocabulary(TABLE["item_id"]), TABLE, Roles(text=("title", "text"), category=("genres",)))
ALL = np.ones(4, bool)
WRITTEN = with_versions(
    ITEMS,
    pl.DataFrame({"item_id": ["a", "b", "a"], "way": "paraphrase", "text": ["One of a", "One of b", "Two of a"]}),
)


def gaps(share: float, num_versions: int, seed: int = 0) -> list[list[str]]:
    return texts_with_gaps(ITEMS, TextConfig(), share, num_versions, np.random.default_rng(seed))


def test_fields_are_left_out_and_one_that_says_something_always_stays() -> None:
    found = gaps(0.7, 400)
    first = {texts[0] for texts in found}
    pairs = {"Alpha. First words", "Alpha. x, y", "First words. x, y"}
    assert first == {"Alpha", "First words", "x, y", *pairs, "Alpha. First words. x, y"}
    assert {texts[1] for texts in found} == {"Beta", "z", "Beta. z"}
    assert {texts[2] for texts in found} == {"Third words"}, "it has no other field"
    assert {texts[3] for texts in found} == {""}, "nothing is said of it anyway"


def test_a_field_is_left_out_as_often_as_it_is_said() -> None:
    found = gaps(0.2, 4000)
    missing = np.mean([[part not in texts[0] for part in ("Alpha", "First", "x, y")] for texts in found], axis=0)
    # All three are drawn in 0.8 % of the versions; then one of them stays.
    np.testing.assert_allclose(missing, 0.2 - 0.2**3 / 3, atol=0.02)
    assert gaps(0.2, 3) == gaps(0.2, 3)
    assert gaps(0.2, 30) != gaps(0.2, 30, seed=1)
    assert gaps(0.0, 1) == [item_texts(ITEMS, TextConfig())]


@pytest.mark.parametrize(
    ("config", "named"), [(TextConfig(fields=("title",)), "title"), (TextConfig(template="{text}!"), "text")]
)
def test_one_field_cannot_be_left_out(config: TextConfig, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        version_texts(ITEMS, ALL, config, VersionsConfig(field_dropout=0.25))
    said = str(caught.value)
    assert said.startswith("versions.field_dropout: a share of 0.25 of the fields shall be left out")
    assert f"the columns that are read: {named}" in said
    assert "Set it to 0, or read more columns" in said


def test_what_was_rewritten_is_read_and_the_real_text_where_there_is_less() -> None:
    found = version_texts(WRITTEN, ALL, TextConfig(), VersionsConfig(rewritten=True))
    assert found == [["One of a", "One of b", "Third words", ""], ["Two of a", "Beta. z", "Third words", ""]]
    both = version_texts(WRITTEN, ALL, TextConfig(), VersionsConfig(rewritten=True, field_dropout=0.5, num_dropouts=3))
    assert len(both) == 5
    assert both[3:] == found
    some = version_texts(WRITTEN, np.array([False, True, True, False]), TextConfig(), VersionsConfig(rewritten=True))
    assert some == [["One of b", "Third words"]], "only what is learned from, and no empty version of it"


def test_a_version_is_as_short_as_the_texts() -> None:
    long = with_versions(ITEMS, pl.DataFrame({"item_id": ["a"], "text": ["one two three four <b>five</b> six " * 3]}))
    found = version_texts(long, ALL, TextConfig(max_tokens=7), VersionsConfig(rewritten=True))
    assert found[0][0] == "one two three four five"
    assert cut_text("  short \n", 7) == "short"


def test_without_versions_the_stage_is_named() -> None:
    with pytest.raises(ConfigError, match=r"versions\.rewritten: is true, and nothing was rewritten.*kind: rewrite"):
        version_texts(ITEMS, ALL, TextConfig(), VersionsConfig(rewritten=True))


@pytest.mark.parametrize("config", [VersionsConfig(), VersionsConfig(rewritten=True, field_dropout=0.5, share=0)])
def test_where_nothing_is_wanted_nothing_is_made(config: VersionsConfig) -> None:
    assert not config.wanted
    assert version_texts(ITEMS, ALL, TextConfig(), config) == []


def test_no_text_and_no_feature_is_made_of_versions() -> None:
    assert item_texts(WRITTEN, TextConfig()) == item_texts(ITEMS, TextConfig())
    settings = ContentConfig(min_count=1)
    assert ContentFeatures.fit(WRITTEN, settings).names == ContentFeatures.fit(ITEMS, settings).names
    assert WRITTEN.roles == ITEMS.roles
    assert WRITTEN.frame["rewritten"].to_list() == [["One of a", "Two of a"], ["One of b"], None, None]


def test_whitening_and_rarity_are_learned_from_the_real_texts(dataset: Dataset, tmp_path: Path) -> None:
    known = np.arange(40) < 30
    words = pl.DataFrame({"item_id": [f"i{row}" for row in range(40)], "text": "a wholly other wording"})
    items = with_versions(dataset.items, words)
    config = VectorsConfig(encoder=HashingEncoderConfig())
    plain, expected = TextVectors.fit(config, dataset.items, known, RunContext())
    vectors, found = TextVectors.fit(config, items, known, RunContext(store=tmp_path))
    versions = vectors.versions(
        items, known, VersionsConfig(rewritten=True, field_dropout=0.5), RunContext(store=tmp_path)
    )
    np.testing.assert_array_equal(found, expected)
    for name, value in plain.state().items():
        np.testing.assert_array_equal(vectors.state()[name], value)
    assert versions.shape == (5, 30, found.shape[1])
    assert (versions[4] == versions[4][0]).all(), "all were rewritten alike"
    assert not (versions[4] == found[known]).all(axis=1).any()
    assert np.isfinite(versions).all()


def test_each_different_version_is_encoded_once(dataset: Dataset, tmp_path: Path) -> None:
    known = np.ones(40, bool)
    config, run = VectorsConfig(encoder=FakeEncoderConfig(), whitening=None), RunContext(store=tmp_path)
    vectors, real = TextVectors.fit(config, dataset.items, known, run)
    found = vectors.versions(dataset.items, known, VersionsConfig(field_dropout=0.5, num_dropouts=6), run)
    texts = version_texts(dataset.items, known, TextConfig(), VersionsConfig(field_dropout=0.5, num_dropouts=6))
    raw = FakeEncoderConfig().build()
    for version, expected in zip(found, texts, strict=True):
        np.testing.assert_array_equal(version, raw.encode(expected))
    assert any((version == real).all(axis=1).any() for version in found), "some leave nothing out"
    again = vectors.versions(
        dataset.items, known, VersionsConfig(field_dropout=0.5, num_dropouts=6), replace(run, seed=7)
    )
    np.testing.assert_array_equal(again, found)
