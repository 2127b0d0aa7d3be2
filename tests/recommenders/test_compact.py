"""Small forms of `sasrec` and `two_tower` answer as the models that they were made of."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from genre.core.errors import DependencyError, ModelError
from genre.core.queries import Source
from genre.core.run import RunContext
from genre.data.growth import extended
from genre.recommenders import compact, graphs
from genre.recommenders.compact import Compact
from genre.recommenders.compact_networks import parts_of, tables_of
from genre.recommenders.graphs import Graphs
from genre.recommenders.sasrec import ItemTextConfig, SasrecConfig
from genre.recommenders.store import load_model, save_model
from genre.recommenders.two_tower import TwoTowerConfig
from tests.recommenders.test_two_tower import FAST, WORDS, world

SHORT = FAST.model_copy(update={"epochs": 3})
SMALL: dict[str, Any] = {"embedding_size": 16, "training": SHORT}
CONFIGS = {
    "sasrec": SasrecConfig(**SMALL, length=8),
    "ligr": SasrecConfig(**SMALL, length=8, block="ligr", num_heads=2, time_aware=True, temperature=None),
    "texts": SasrecConfig(**SMALL, length=8, text=ItemTextConfig(vectors=WORDS, hidden=12)),
    "towers": TwoTowerConfig(**SMALL, vectors=WORDS, hidden=16, num_hard=1),
    "own": TwoTowerConfig(**SMALL, vectors=WORDS, hidden=16, num_hard=0, own=True, length=2),
}
DATA, ASKED = world()
MORE = extended(DATA.items, pl.DataFrame({"item_id": ["new", "bare"], "title": ["dragon castle", None]}))


@cache
def fitted(name: str) -> Any:
    return CONFIGS[name].build({}).fit(DATA, RunContext(validation=ASKED))


FORMS = [(name, "int8") for name in CONFIGS] + [
    # A graph takes seconds to make.
    pytest.param(name, "onnx", marks=pytest.mark.slow)
    for name in CONFIGS
]
each_form = pytest.mark.parametrize(("name", "form"), FORMS)


@cache
def made_of(name: str, form: str) -> Compact:
    whole = fitted(name)
    return Compact(whole.config.model_copy(update={"form": form}), whole.source).taken(whole)


def assert_alike(found: np.ndarray, exact: np.ndarray, form: str) -> None:
    """Scores are equal but for rounding; what cannot be scored is the same."""
    known = np.isfinite(exact)
    np.testing.assert_array_equal(np.isfinite(found), known)
    if form == "onnx":
        np.testing.assert_allclose(found[known], exact[known], rtol=1e-4, atol=1e-4 * np.abs(exact[known]).max())
    else:
        assert np.corrcoef(found[known], exact[known])[0, 1] > 0.998


@each_form
def test_scores_are_those_of_the_whole_model(name: str, form: str) -> None:
    whole = fitted(name)
    small, exact = made_of(name, form), whole.score(ASKED.queries)
    assert_alike(small.score(ASKED.queries), exact, form)
    one = ASKED.queries.take(np.array([3]))
    assert_alike(small.score(one), exact[3:4], form)
    answer = small.recommend(ASKED.queries, 5)
    assert set(answer.sources.ravel().tolist()) == {whole.source}
    assert_alike(small.similar(np.array([0, 5])), whole.similar(np.array([0, 5])), form)


@each_form
def test_it_is_saved_and_read_back(name: str, form: str, tmp_path: Path) -> None:
    whole = fitted(name)
    small = made_of(name, form)
    save_model(small, tmp_path)
    again = load_model(tmp_path, type(whole.config), {})
    assert isinstance(again, Compact)
    np.testing.assert_array_equal(again.score(ASKED.queries), small.score(ASKED.queries))
    assert again.source == whole.source


@each_form
def test_new_items_join(name: str, form: str) -> None:
    whole = fitted(name)
    small, run = made_of(name, form), RunContext()
    longer, exact = small.index(MORE, run), whole.index(MORE, run)
    queries = ASKED.queries
    scores = longer.score(queries)
    assert scores.shape == (len(queries), DATA.num_items + 2)
    assert_alike(scores, exact.score(queries), form)
    np.testing.assert_array_equal(longer.scorable, exact.scorable)
    assert len(small.scorable) == DATA.num_items


@pytest.mark.parametrize("form", ["int8", pytest.param("onnx", marks=pytest.mark.slow)])
def test_fitting_is_that_of_the_whole_model(form: str) -> None:
    config = CONFIGS["towers"].model_copy(update={"form": form})
    small = config.build({}).fit(DATA, RunContext(validation=ASKED))
    assert isinstance(small, Compact)
    assert_alike(small.score(ASKED.queries), fitted("towers").score(ASKED.queries), form)


@pytest.mark.parametrize("form", ["int8", pytest.param("onnx", marks=pytest.mark.slow)])
def test_nobody_liked_two_things(form: str) -> None:
    lonely = DATA.interactions.last(1)
    data = type(DATA)(lonely, DATA.items, DATA.users)
    model = CONFIGS["sasrec"].model_copy(update={"form": form}).build({}).fit(data, RunContext())
    assert not np.isfinite(model.score(ASKED.queries)).any()  # type: ignore[union-attr]


def test_8_bits_take_a_quarter_of_the_vectors() -> None:
    state = made_of("sasrec", "int8").state()
    assert state["read.whole"].dtype == np.int8
    assert state["read.whole"].shape == (DATA.num_items, 16)
    read, _ = tables_of(fitted("sasrec"))
    steps = np.abs(state["read.whole"] * state["read.scale"][:, None] - read) / np.maximum(read.max(), 1e-9)
    assert steps.max() < 0.01


def test_a_graph_that_differs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    networks = made_of("sasrec", "onnx").networks
    assert isinstance(networks, Graphs)
    other = fitted("ligr").network  # Its graph would say something else.
    history, new = parts_of(other)
    monkeypatch.setattr(graphs, "_exported", lambda *_: networks.graphs["history"])
    vectors = tables_of(fitted("sasrec"))[0]
    with pytest.raises(ModelError, match=r"graph 'history': a number of the graph's vectors is off by .* form 'int8'"):
        Graphs.exported(history, new, several=True, vectors=vectors, length=8)


def test_a_graph_is_answered_without_torch(tmp_path: Path) -> None:
    save_model(made_of("sasrec", "onnx"), tmp_path)
    program = f"""
import sys
sys.modules["torch"] = None
import pathlib
import genre.recommenders.sasrec as sasrec
from genre.recommenders.store import load_model
from genre.core.interactions import Interactions
from genre.core.queries import Queries
from genre.core.ragged import Ragged
model = load_model(pathlib.Path({str(tmp_path)!r}), sasrec.SasrecConfig, {{}})
print(model.score(Queries.of(Interactions.of(Ragged.of([[0, 4], [1]])))).shape)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == f"(2, {DATA.num_items})", done.stderr


def test_without_its_library_a_graph_cannot_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compact, "find_spec", lambda _: None)
    with pytest.raises(DependencyError, match="sasrec: the form 'onnx' needs the library 'onnxruntime'"):
        CONFIGS["sasrec"].model_copy(update={"form": "onnx"}).check_installed()
    assert Source.CONTENT != Source.PERSONAL
