from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from genre.core.errors import ModelError
from genre.core.run import RunContext
from genre.data.dataset import Dataset
from genre.data.growth import extended
from genre.features.text import TextConfig, item_texts
from genre.features.vectors import TextVectors, VectorsConfig
from genre.language.fake import FakeEncoderConfig
from genre.language.hashing import HashingEncoderConfig
from genre.language.whitening import Whitening, WhiteningConfig

KNOWN = np.arange(40) < 30


def fitted(dataset: Dataset, **settings: Any) -> tuple[TextVectors, NDArray[np.float32]]:
    config = VectorsConfig(**{"encoder": FakeEncoderConfig(), **settings})
    return TextVectors.fit(config, dataset.items, KNOWN, RunContext())


def test_whitening_is_fitted_on_the_items_of_training_alone(dataset: Dataset) -> None:
    vectors, found = fitted(dataset)
    raw = FakeEncoderConfig().build().encode(item_texts(dataset.items, TextConfig()))
    expected = Whitening.fit(raw[KNOWN], WhiteningConfig()).transform(raw)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(vectors.of_items(dataset.items, RunContext()), found, rtol=1e-5, atol=1e-6)


def test_without_whitening_vectors_stay_as_they_are(dataset: Dataset) -> None:
    _, found = fitted(dataset, whitening=None)
    raw = FakeEncoderConfig().build().encode(item_texts(dataset.items, TextConfig()))
    np.testing.assert_array_equal(found, raw)


@pytest.mark.parametrize("encoder", [FakeEncoderConfig(), HashingEncoderConfig()], ids=lambda config: config.kind)
def test_an_item_without_text_has_no_direction(dataset: Dataset, encoder: FakeEncoderConfig) -> None:
    vectors, _ = fitted(dataset, encoder=encoder)
    items = extended(dataset.items, [{"item_id": "bare"}, {"item_id": "new", "title": "horror story"}])
    found = vectors.of_items(items.behind(dataset.num_items), RunContext())
    assert not found[0].any()
    assert found[1].any()
    assert not vectors.of_texts(["", " \x00"]).any()


def test_rarity_is_learned_from_the_items_of_training_alone(dataset: Dataset) -> None:
    vectors, _ = fitted(dataset, encoder=HashingEncoderConfig())
    texts = item_texts(dataset.items, TextConfig())
    assert vectors.encoder.key == HashingEncoderConfig().build().fit(texts[:30]).key


def test_what_was_learned_is_taken_back(dataset: Dataset) -> None:
    vectors, found = fitted(dataset, encoder=HashingEncoderConfig())
    again = TextVectors.restore(vectors.config, {**vectors.state(), "other": np.zeros(1)})
    np.testing.assert_array_equal(again.of_items(dataset.items, RunContext()), found)


@pytest.mark.parametrize("whitening", [None, WhiteningConfig()])
def test_an_encoder_whose_size_changed_is_an_error_that_says_what_to_do(
    dataset: Dataset, whitening: WhiteningConfig | None
) -> None:
    vectors, _ = fitted(dataset, whitening=whitening)
    other = VectorsConfig(encoder=FakeEncoderConfig(dimensions=8), whitening=whitening)
    again = TextVectors.restore(other, vectors.state())
    with pytest.raises(ModelError, match=r"have 8 numbers, those that the model was fitted with 32\. Use the encoder"):
        again.of_texts(["a whale"])
    assert not again.of_texts([""]).any(), "nothing to read needs no encoder"


class Counted:
    """Counts what the encoder is asked."""

    def __init__(self) -> None:
        self.inner, self.asked = FakeEncoderConfig().build(), 0

    @property
    def key(self) -> str:
        return self.inner.key

    def encode(self, texts: Sequence[str], **settings: Any) -> NDArray[Any]:
        self.asked += len(texts)
        return self.inner.encode(texts, **settings)


def test_with_a_store_texts_are_read_once_and_only_what_is_new_later(dataset: Dataset, tmp_path: Path) -> None:
    run = RunContext(store=tmp_path / "store")
    config = VectorsConfig(encoder=FakeEncoderConfig())
    encoder = Counted()
    first = TextVectors(config, encoder).of_items(dataset.items, run)
    assert encoder.asked == 40
    items = extended(dataset.items, [{"item_id": "new", "title": "another"}])
    second = TextVectors(config, encoder).of_items(items, run)
    assert encoder.asked == 41
    np.testing.assert_array_equal(second[:40], first)
    np.testing.assert_array_equal(TextVectors(config, encoder).of_items(dataset.items, RunContext()), first)
