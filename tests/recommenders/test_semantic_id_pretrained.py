"""Codes as new tokens of a tiny language model, in a world in which what comes next is known."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from genre.core.errors import ConfigError, ModelError
from genre.core.queries import NO_ITEM, Candidates
from genre.core.ragged import Ragged
from genre.core.run import RunContext
from genre.data.growth import extended
from genre.language.base import Sampling
from genre.language.decoding import Batch, Row
from genre.recommenders.semantic_id import SemanticId, SemanticIdConfig
from genre.recommenders.store import load_model, save_model
from tests.language.models import smollm, write_tiny
from tests.recommenders.chains import NUM_ITEMS, chain
from tests.recommenders.test_semantic_id import HASHING, Interrupt, asking, with_titles

FAST = {"batch_size": 16, "learning_rate": 0.02, "tracker": "none", "precision": "fp32", "warm_up_steps": 0}
TOKENS = torch.arange(3, 9)[None]


@cache
def tiny() -> Path:
    directory = Path(mkdtemp())
    write_tiny(directory)
    return directory


def config(base: Path | None = None, **decoder: Any) -> SemanticIdConfig:
    training = FAST | {"epochs": 1} | decoder.pop("training", {})
    around = {"length": 8, "codebook_size": 4, "levels": 2, "vectors": HASHING, "max_validated": 60}
    around |= decoder.pop("around", {})
    local = {"kind": "local", "model": str(base or tiny())}
    return SemanticIdConfig.model_validate(
        {**around, "decoder": {"kind": "pretrained", "base": local, **decoder, "training": training}}
    )


def fit(chosen: SemanticIdConfig, run: RunContext | None = None) -> SemanticId:
    data, validation = chain()
    return chosen.build({}).fit(with_titles(data), run or RunContext(validation=validation))


@cache
def fitted() -> SemanticId:
    return fit(
        config(
            tuning={"method": "last_layers", "layers": 1}, training={"epochs": 12, "patience": 4, "patience_steps": 0}
        )
    )


def base_logits(base: Path | None = None) -> torch.Tensor:
    from transformers import AutoModelForCausalLM

    with torch.no_grad():
        found: torch.Tensor = AutoModelForCausalLM.from_pretrained(base or tiny(), dtype=torch.float32)(TOKENS).logits
    return found


def written(model: SemanticId) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.language.writer().model(TOKENS).logits
    return found


@pytest.mark.slow
def test_it_learns_what_comes_next() -> None:
    model, (data, asked) = fitted(), chain(seed=1)
    answer = model.recommend(asked.queries, 1, candidates=Candidates(excluded=data.interactions.items))
    assert (answer.item_rows[:, 0] == asked.targets.values).mean() > 0.8
    assert model.curve[-1, 0] < 0.2 * model.curve[0, 0]


def test_all_items_are_ranked_by_probabilities_that_sum_to_one() -> None:
    answer = fitted().recommend(asking([3, 4, 5], [9]), NUM_ITEMS + 5)
    assert np.sort(answer.item_rows[:, :NUM_ITEMS], axis=1).tolist() == [list(range(NUM_ITEMS))] * 2
    np.testing.assert_allclose(np.exp(answer.scores[:, :NUM_ITEMS]).sum(axis=1), 1, rtol=1e-4)
    assert (answer.item_rows[:, NUM_ITEMS:] == NO_ITEM).all()


def test_lists_are_full_whatever_is_hidden() -> None:
    history = [3, 4, 5]
    candidates = Candidates(allowed=np.arange(NUM_ITEMS) % 2 == 0, excluded=Ragged.of([history]))
    answer = fitted().recommend(asking(history), NUM_ITEMS, candidates=candidates)
    assert set(answer.item_rows[answer.filled].tolist()) == set(range(0, NUM_ITEMS, 2)) - {4}


def test_new_items_are_said_with_tokens_that_are_there() -> None:
    model = fitted()
    rows = [{"item_id": "new-0", "title": "red thing 5"}, {"item_id": "new-1"}]
    longer = model.index(extended(with_titles(chain()[0]).items, rows), RunContext())
    answer = longer.recommend(asking([3, 4], [NUM_ITEMS, NUM_ITEMS + 1]), NUM_ITEMS + 2)
    assert np.sort(answer.item_rows, axis=1)[:, 1:].tolist() == [list(range(NUM_ITEMS + 1))] * 2
    np.testing.assert_array_equal(
        longer.recommend(asking([3, 4]), 1).item_rows, model.recommend(asking([3, 4]), 1).item_rows
    )


@pytest.mark.parametrize("method", ["frozen", "lora", "adalora", "last_layers"])
def test_saved_and_loaded_it_answers_alike_and_the_base_is_still_there(method: str, tmp_path: Path) -> None:
    model = fit(config(tuning={"method": method, "rank": 2, "layers": 1}))
    save_model(model, tmp_path)
    again = load_model(tmp_path, SemanticIdConfig, {})
    assert isinstance(again, SemanticId)
    queries = chain()[0].queries(np.arange(30))
    before, after = (one.recommend(queries, 5) for one in (model, again))
    np.testing.assert_array_equal(before.item_rows, after.item_rows)
    np.testing.assert_allclose(before.scores, after.scores, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(model.curve, again.curve)
    assert torch.equal(written(again), written(model))
    assert torch.equal(written(model), base_logits()) == (method == "frozen"), "codes alone change no text"
    with model.language.tuned.base_switched_on():
        assert torch.equal(written(model), base_logits())
    rows = [name for name in model.state() if "embed_tokens" in name]
    assert len(rows) == 1, "of all the model's vectors of tokens, those of the codes"
    assert model.state()[rows[0]].shape == (2 * model.language.tuned.new_tokens.count, 32)


def test_it_writes_with_old_tokens_only() -> None:
    loaded = fitted().language.writer()
    row = Row([5, 6, 7], 40, np.random.default_rng(0))
    batch = Batch(loaded, [row], Sampling(temperature=5.0, max_tokens=40))
    while batch.rows:
        batch.step()
    assert len(row.tokens) > 2
    assert max(row.tokens) < fitted().language.tuned.new_tokens.first


@pytest.mark.slow
def test_an_interrupted_fit_goes_on_exactly(tmp_path: Path) -> None:
    chosen = config(
        tuning={"rank": 2},
        protect={"kl": 0.5, "hold": 0.05, "tokens": 16},
        training={"epochs": 2, "checkpoint_seconds": 0.0},
    )
    _, validation = chain()
    whole = fit(chosen)
    with pytest.raises(KeyboardInterrupt):
        fit(chosen, RunContext(validation=validation, directory=tmp_path, progress=Interrupt(11)))
    again = fit(chosen, RunContext(validation=validation, directory=tmp_path))
    np.testing.assert_array_equal(whole.curve, again.curve)
    for name, value in whole.language.state().items():
        np.testing.assert_array_equal(value, again.language.state()[name])


@pytest.mark.slow
def test_protected_it_stays_nearer_to_the_base() -> None:
    def distance(**protect: float) -> float:
        model = fit(config(tuning={"rank": 4}, protect=protect, training={"epochs": 2}))
        found, base = written(model).log_softmax(-1), base_logits().log_softmax(-1)
        return float((base.exp() * (base - found)).sum(-1).mean())

    assert distance(kl=3.0, tokens=64) < 0.5 * distance()


def test_users_with_one_event_teach_nothing_and_break_nothing() -> None:
    data, _ = chain()
    alone = data.interactions.where(data.interactions.steps_from_end == 0)
    model = config().build({}).fit(with_titles(data).with_interactions(alone), RunContext())
    assert not model.recommend(asking([1]), 3).filled.any()
    again = config().build({})
    again.restore(model.state())
    assert not again.recommend(asking([1]), 3).filled.any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tuning": {"method": "prefix"}}, "'prefix' cannot be learned beside new tokens"),
        ({"tuning": {"method": "full"}}, "Choose 'frozen', 'last_layers', 'lora' or 'adalora'"),
        ({"around": {"num_blocks": 3}}, "`num_blocks` 3 is of a decoder from scratch; with a pretrained one, leave"),
        ({"around": {"training": {"epochs": 3}}}, "with a pretrained one, it stands in `decoder`"),
        ({"tuning": {"method": "frozen"}, "protect": {"kl": 1.0}}, "nothing that it writes by can change"),
    ],
)
def test_settings_that_do_not_go_together(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        config(**settings)


def test_written_out_and_read_again_it_is_the_same() -> None:
    chosen = config(tuning={"rank": 3})
    assert SemanticIdConfig.model_validate(chosen.model_dump(mode="json")) == chosen


def test_histories_longer_than_the_model_reads_are_an_error() -> None:
    with pytest.raises(ConfigError, match=r"100 items and the next one take 303 tokens, and the language model reads"):
        fit(config(around={"length": 100}))


def test_another_language_model_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    write_tiny(tmp_path, seed=1)
    other = config(tmp_path).build({})
    with pytest.raises(ModelError, match="Put the language model of that time back"):
        other.restore(fit(config()).state())


def test_items_without_a_title_have_codes_by_their_likes() -> None:
    data, _ = chain()
    titles = [None if row % 2 else f"red {row}" for row in range(NUM_ITEMS)]
    model = config().build({}).fit(with_titles(data, titles), RunContext())
    assert model.recommend(asking([2]), NUM_ITEMS).filled.sum() == NUM_ITEMS


@pytest.mark.slow
def test_the_embedded_model_learns_codes_and_still_writes() -> None:
    """SmolLM2 reads and says its tokens by the same rows, and knows the words of the titles."""
    data, asked = chain(num_users=60)
    training = FAST | {"epochs": 3, "learning_rate": 2e-3, "precision": "bf16"}
    settings = {
        "length": 8,
        "codebook_size": 4,
        "levels": 2,
        "vectors": HASHING,
        "beam_width": 8,
        "decoder": {"kind": "pretrained", "tuning": {"rank": 4}, "training": training},
    }
    model = SemanticIdConfig.model_validate(settings).build({}).fit(with_titles(data), RunContext())
    answer = model.recommend(asked.queries, 5, candidates=Candidates(excluded=data.interactions.items))
    assert answer.filled.all()
    hits = (answer.item_rows == asked.targets.values[:, None]).any(axis=1).mean()
    assert hits > 0.5, f"{hits}; by chance, a quarter"
    assert model.language.tuned.new_tokens.tied
    tokens = torch.tensor([[504, 4575, 282, 260, 905]])
    with torch.no_grad(), model.language.tuned.base_switched_on():
        found = model.language.writer().model(tokens).logits
        expected = smollm().load().model(tokens).logits
    assert torch.equal(found, expected)
