"""The encoder that learns, against what transformers itself makes of a pair of texts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genre.core.errors import ModelError
from genre.language.minilm import MiniLmConfig
from genre.language.tuned_encoder import TunedEncoder
from genre.language.tuning import TuningConfig

PAIRS = [("a film about the sea", "whales"), ("a", "the long story of a lighthouse and of those who kept it")]


@pytest.fixture(scope="module")
def encoder() -> TunedEncoder:
    found = TunedEncoder(MiniLmConfig(), TuningConfig(method="last_layers", layers=2))
    found.body.eval()
    return found


def test_a_pair_is_read_as_transformers_reads_it_whatever_stands_beside_it(encoder: TunedEncoder) -> None:
    with torch.inference_mode():
        found, there = encoder.hidden([(encoder.tokens(first), encoder.tokens(second)) for first, second in PAIRS])
        for at, (first, second) in enumerate(PAIRS):
            alone = encoder.tokenizer(first, second, return_tensors="pt")
            expected = encoder.body(**alone).last_hidden_state[0]
            assert int(there[at].sum()) == len(expected)
            torch.testing.assert_close(found[at][there[at]], expected, rtol=1e-4, atol=1e-4)


def test_only_the_last_layers_learn_and_are_kept(encoder: TunedEncoder) -> None:
    state = encoder.state()
    assert {encoder.layer_of(name) for name in state} <= {0, 1, None}
    assert any(encoder.layer_of(name) == 1 for name in state)
    whole = sum(weight.numel() for weight in encoder.body.parameters())
    assert sum(part.size for part in state.values()) < whole / 4
    assert encoder.layer_of("embeddings.word_embeddings.weight") == 6


def test_what_was_learned_comes_back_and_what_does_not_fit_is_refused(encoder: TunedEncoder) -> None:
    before = {name: part.copy() for name, part in encoder.state().items()}
    moved = {name: part + 1 for name, part in before.items()}
    encoder.restore(moved)
    for name, part in encoder.state().items():
        np.testing.assert_array_equal(part, moved[name])
    encoder.restore(before)
    name = next(iter(before))
    with pytest.raises(ModelError, match="does not fit this encoder"):
        encoder.restore({other: part for other, part in before.items() if other != name})
