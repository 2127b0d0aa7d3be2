"""A tuned model that is written as an ordinary one says the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from genre.core.errors import ConfigError
from genre.language.local import LocalGeneratorConfig
from genre.language.merging import MERGED, save_merged
from genre.language.tuning import TunedModel, TuningConfig
from tests.language.models import write_tiny

TOKENS = torch.arange(2, 12)[None]


def tuned_model(directory: Path, method: Any) -> tuple[TunedModel, Any]:
    write_tiny(directory)
    loaded = LocalGeneratorConfig(model=str(directory), precision="fp32").build().load_own()
    tuned = TunedModel(loaded.model, TuningConfig(method=method, dropout=0.0), total_steps=10)
    torch.manual_seed(0)
    with torch.no_grad():
        for _, weight in tuned.learned():
            weight.add_(0.1 * torch.randn_like(weight))
    return tuned, loaded.tokenizer


@pytest.mark.parametrize("method", MERGED)
def test_what_was_learned_is_in_the_weights(tmp_path: Path, method: str) -> None:
    tuned, tokenizer = tuned_model(tmp_path / "tiny", method)
    tuned.language.eval()
    with torch.no_grad():
        expected = tuned.language(TOKENS).logits
        with tuned.base_switched_on():
            assert not torch.allclose(tuned.language(TOKENS).logits, expected, atol=1e-2)
    save_merged(tuned, tokenizer, tmp_path / "merged")
    again = LocalGeneratorConfig(model=str(tmp_path / "merged"), precision="fp32").build().load_own()
    with torch.no_grad():
        torch.testing.assert_close(again.model(TOKENS).logits, expected, atol=1e-4, rtol=1e-4)
    assert again.tokenizer("the")["input_ids"] == tokenizer("the")["input_ids"]
    assert again.tokenizer.chat_template == tokenizer.chat_template


def test_a_prefix_is_no_weight(tmp_path: Path) -> None:
    tuned, tokenizer = tuned_model(tmp_path / "tiny", "prefix")
    with pytest.raises(
        ConfigError, match=r"tuning\.method: what 'prefix' has learned is no part of the model's weights"
    ):
        save_merged(tuned, tokenizer, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
