"""The encoder without a model: what its numbers are, and that they know words, pieces and Chinese."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from genre.core.errors import ModelError
from genre.core.words import words_of
from genre.language.hashing import HashingEncoder, HashingEncoderConfig

TEXTS = [
    "red lipstick",
    "two red lipsticks",
    "a film about the sea",
    "流浪地球",
    "流浪星球",
    "上海的早晨",
    "red red wine",
]
NO_COLLISIONS = HashingEncoderConfig(size=2**17, buckets=2**20, shortest=9, longest=9)


@pytest.fixture(scope="module")
def encoder() -> HashingEncoder:
    return HashingEncoderConfig().build().fit(TEXTS)


def cosine(encoder: HashingEncoder, one: str, other: str) -> float:
    first, second = encoder.encode([one, other])
    return float(first @ second)


def test_products_are_those_of_tf_idf() -> None:
    encoder = NO_COLLISIONS.build().fit(TEXTS)
    found = encoder.encode(TEXTS)
    words = sorted({word for text in TEXTS for word in words_of(text)} - {"lipsticks", "lipstick"})
    rows = [[words_of(text).count(word) for word in words] for text in TEXTS]
    counts = np.array(rows, np.float64)
    rarity = np.log((1 + len(TEXTS)) / (1 + (counts > 0).sum(axis=0))) + 1
    expected = np.where(counts > 0, 1 + np.log(np.maximum(counts, 1)), 0) * rarity
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    without_pieces = [2, 3, 4, 5, 6]
    np.testing.assert_allclose(
        (found @ found.T)[np.ix_(without_pieces, without_pieces)],
        (expected @ expected.T)[np.ix_(without_pieces, without_pieces)],
        atol=1e-5,
    )


def test_folding_keeps_products_within_its_error() -> None:
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("aeioubdgklmnprst"), 6)) for _ in range(800)]
    texts = [" ".join(rng.choice(words, 25)) for _ in range(120)]
    exact = HashingEncoderConfig(size=2**14).build().fit(texts).encode(texts)
    folded = HashingEncoderConfig(size=512).build().fit(texts).encode(texts)
    errors = (folded @ folded.T - exact @ exact.T)[np.triu_indices(len(texts), 1)]
    assert errors.std() == pytest.approx(512**-0.5, rel=0.2)
    assert abs(errors.mean()) < 0.01


def test_pieces_make_forms_of_a_word_alike(encoder: HashingEncoder) -> None:
    assert cosine(encoder, "lipstick", "lipsticks") > 0.25
    assert abs(cosine(encoder, "lipstick", "wine")) < 0.15


def test_chinese_texts_are_alike_by_characters_and_pairs(encoder: HashingEncoder) -> None:
    assert cosine(encoder, "流浪地球", "流浪星球") > cosine(encoder, "流浪地球", "上海的早晨") + 0.2


def test_rare_words_count_more() -> None:
    encoder = HashingEncoderConfig().build().fit(["red wine", "red rose", "red lamp", "red bell", "blue vase"])
    assert cosine(encoder, "red vase", "old vase") > cosine(encoder, "red vase", "red moon")


def test_a_text_without_words_is_told_by_its_characters(encoder: HashingEncoder) -> None:
    assert cosine(encoder, "🎉🎉", "🎉") > 0.9
    assert abs(cosine(encoder, "🎉", "💄")) < 0.5


def test_what_was_learned_comes_back(encoder: HashingEncoder) -> None:
    again = HashingEncoderConfig().build().restored(encoder.state())
    assert again.key == encoder.key
    np.testing.assert_array_equal(again.encode(TEXTS), encoder.encode(TEXTS))


def test_the_key_follows_settings_and_what_was_learned(encoder: HashingEncoder) -> None:
    config = HashingEncoderConfig()
    keys = {
        config.build().key,
        encoder.key,
        config.build().fit(TEXTS[:-1]).key,
        HashingEncoderConfig(size=512).build().fit(TEXTS).key,
    }
    assert len(keys) == 4
    assert config.build().fit(TEXTS).key == encoder.key


def test_it_must_see_texts_first() -> None:
    with pytest.raises(ModelError, match=r"hashing: it has not seen any texts yet\. Call `fit`"):
        HashingEncoderConfig().build().encode(["a"])


def test_no_texts_teach_that_all_is_equally_rare() -> None:
    encoder = HashingEncoderConfig().build().fit([])
    assert (encoder.state()["rarity"] == 1).all()
    assert np.linalg.norm(encoder.encode(["red"])) == pytest.approx(1)


def test_another_number_of_buckets_is_refused(encoder: HashingEncoder) -> None:
    with pytest.raises(ModelError, match=r"262144 buckets were saved, and the settings say 4096"):
        HashingEncoderConfig(buckets=4096).build().restored(encoder.state())


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"size": 1024, "buckets": 2047}, "twice the size, 2048, not 2047"), ({"longest": 2}, "at least shortest, 3")],
)
def test_settings_that_do_not_fit(settings: dict[str, int], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        HashingEncoderConfig(**settings)


@example(["~\U0009c6da"])
@given(st.lists(st.text(max_size=20), max_size=6))
def test_any_text_has_length_one_or_is_blank(texts: list[str]) -> None:
    found = HashingEncoderConfig(size=64, buckets=4096).build().fit(texts).encode(texts)
    lengths = np.linalg.norm(found, axis=1)
    for text, length in zip(texts, lengths, strict=True):
        assert length == pytest.approx(1 if text.strip() else 0, abs=1e-5)
