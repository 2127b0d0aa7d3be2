"""A student that is taught: by one who knows, by one who does not, and through interruptions."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from genre.adaptation.distil import Distilled, DistilledConfig
from genre.adaptation.teacher import ask, quality, questions_for, unlabelled_histories
from genre.config import Experiment
from genre.config_file import digest_of, read_experiment, to_yaml
from genre.core.errors import ConfigError, DataError, DependencyError, ModelError
from genre.core.interactions import Interactions
from genre.core.queries import UNKNOWN_USER, Candidates, Holdout, Queries
from genre.core.ragged import Ragged
from genre.core.run import RunContext
from genre.data.dataset import Dataset, Entities, Roles
from genre.data.growth import extended
from genre.data.readers import FilesConfig
from genre.language import onnx
from genre.recommenders.als import AlsConfig
from genre.recommenders.base import DataSize, Recommender
from genre.recommenders.compact import Compact
from genre.recommenders.popularity import PopularityConfig
from genre.recommenders.store import load_model, save_model
from genre.runs import open_run
from genre.stages import make_plan, source_key
from tests.conftest import make_dataset
from tests.language.models import write_tiny
from tests.recommenders.chains import NUM_ITEMS, chain_of
from tests.recommenders.fixed import Fixed, FixedConfig

pytestmark = pytest.mark.usefixtures("undrawn")

FAST = {"epochs": 25, "batch_size": 16, "learning_rate": 0.01, "patience": 8, "patience_steps": 0, "tracker": "none"}
SASREC = {"kind": "sasrec", "embedding_size": 16, "dropout": 0.1, "length": 6, "training": FAST}
HASHING = {"encoder": {"kind": "hashing"}}


class Oracle(Fixed):
    """Says that after an item comes the one so many further, then the one behind that."""

    def __init__(self, step: int = 1) -> None:
        super().__init__(np.zeros((1, NUM_ITEMS)))
        self.step, self.asked = step, 0

    def score(self, queries: Queries) -> np.ndarray[Any, np.dtype[np.float32]]:
        self.asked += len(queries)
        history = queries.history
        scores = np.full((len(queries), NUM_ITEMS), -np.inf, np.float32)
        filled = np.flatnonzero(history.lengths)
        last = history.item_rows[history.offsets[1:][filled] - 1]
        for place in range(3):
            scores[filled, (last + self.step + place) % NUM_ITEMS] = 3.0 - place
        return scores


def world() -> tuple[Dataset, Holdout]:
    """Return a log in which an even item is followed by the next, and questions about what follows the odd ones.

    Everybody's history ends with an odd item, and nobody says what comes then: a teacher must. One of three people who
    liked the same is asked about, and so the teacher is not.
    """
    rows = [[start, start + 1] for start in range(0, NUM_ITEMS, 2) for _ in range(3)]
    data = chain_of(rows)
    titles = pl.Series("title", [f"volume {number} of the saga" for number in range(NUM_ITEMS)])
    items = Entities(data.items.vocabulary, data.items.frame.with_columns(titles), Roles(text=("title",)))
    data = Dataset(data.interactions, items, data.users)
    targets = Ragged.of([[(row[-1] + 1) % NUM_ITEMS] for row in rows])
    return data, Holdout(data.queries(), targets).take(np.arange(0, len(rows), 3))


def config(student: dict[str, Any] | None = None, **settings: Any) -> DistilledConfig:
    chosen = {"teacher": "teacher", "student": student or SASREC, "batch_size": 32, **settings}
    return DistilledConfig.model_validate(chosen)


def taught(teacher: Recommender, student: dict[str, Any] | None = None, **settings: Any) -> Distilled:
    data, asked = world()
    return config(student, **settings).build({"teacher": teacher}).fit(data, RunContext(validation=asked))


def hits(model: Recommender) -> float:
    """Return the share of the twelve questions that are answered; which of them are missed differs by processor."""
    _, asked = world()
    answer = model.recommend(asked.queries, 1, candidates=Candidates(excluded=asked.queries.history.items))
    return float((answer.item_rows[:, 0] == asked.targets.values).mean())


@pytest.fixture(scope="module")
def by_oracle() -> Distilled:
    return taught(Oracle())


def test_a_student_learns_what_its_own_events_do_not_tell(by_oracle: Distilled) -> None:
    data, asked = world()
    alone = by_oracle.config.student.build({}).fit(data, RunContext(validation=asked))
    assert hits(alone) < 0.3
    assert hits(by_oracle) > 0.8
    told = by_oracle.account()["distillation"]
    assert (told["weight"], told["ended"], told["student"]) == (1.0, None, "sasrec")
    assert told["NDCG@10"]["teacher"] == 1
    assert told["NDCG@10"]["student"] > 0.8


@pytest.mark.slow
def test_other_students_do_so_too(tmp_path: Path) -> None:
    towers = {"kind": "two_tower", "vectors": HASHING, "own": True, "embedding_size": 16, "dropout": 0.1}
    write_tiny(tmp_path)
    language = {"base": {"kind": "local", "model": str(tmp_path)}, "vectors": HASHING, "embedding_size": 16}
    few = {"training": FAST | {"epochs": 12, "precision": "fp32"}}
    assert hits(taught(Oracle(), {**towers, "training": FAST})) > 0.8
    assert hits(taught(Oracle(), {"kind": "llm_sequential", **language, **few})) > 0.8


@pytest.mark.parametrize("form", ["int8", pytest.param("onnx", marks=pytest.mark.slow)])
def test_a_student_takes_its_small_form_once_it_is_taught(by_oracle: Distilled, form: str, tmp_path: Path) -> None:
    model = taught(Oracle(), {**SASREC, "form": form})
    assert isinstance(model.student, Compact)
    assert hits(model) > 0.8
    assert model.told == by_oracle.told, "it is taught as the whole one is"
    save_model(model, tmp_path)
    again: Any = load_model(tmp_path, DistilledConfig, {})
    _, asked = world()
    np.testing.assert_array_equal(again.score(asked.queries), model.score(asked.queries))


def test_a_teacher_is_not_asked_for_a_student_that_cannot_take_its_form(monkeypatch: pytest.MonkeyPatch) -> None:
    found = onnx.find_spec
    monkeypatch.setattr(onnx, "find_spec", lambda name: None if name == "onnxscript" else found(name))
    oracle = Oracle()
    with pytest.raises(DependencyError, match="needs the library 'onnxscript'"):
        taught(oracle, {**SASREC, "form": "onnx"})
    assert oracle.asked == 0


def test_a_bad_teacher_is_found_out_and_reported() -> None:
    model = taught(Oracle(step=7), {**SASREC, "training": FAST | {"epochs": 15}})
    told = model.account()["distillation"]
    assert told["NDCG@10"]["teacher"] < told["NDCG@10"]["student"]
    assert told["weight"] == 0
    assert 1 <= told["ended"] <= 15


def test_a_teacher_without_an_answer_leaves_the_student_as_it_would_be() -> None:
    data, asked = world()
    nobody = Fixed(np.full((data.num_users, data.num_items), -np.inf))
    model = taught(nobody, {**SASREC, "training": FAST | {"epochs": 4}})
    alone = model.config.student.build({}).fit(data, RunContext(validation=asked))
    np.testing.assert_array_equal(model.score(asked.queries), alone.score(asked.queries))  # type: ignore[attr-defined]
    assert (model.told["lists"], model.told["weight"]) == (0, 0)


def test_without_validation_questions_nobody_knows_how_good_the_teacher_is() -> None:
    data, _ = world()
    student = {**SASREC, "training": FAST | {"epochs": 2}}
    model = config(student).build({"teacher": Oracle()}).fit(data, RunContext())
    assert model.told["NDCG@10"] == {"teacher": None, "student": None}
    assert model.told["weight"] == 1


def test_the_same_seed_gives_the_same_student_which_is_loaded_without_its_teacher(
    by_oracle: Distilled, tmp_path: Path
) -> None:
    _, asked = world()
    again = taught(Oracle())
    np.testing.assert_array_equal(again.score(asked.queries), by_oracle.score(asked.queries))
    save_model(by_oracle, tmp_path)
    loaded = load_model(tmp_path, DistilledConfig, {})
    assert isinstance(loaded, Distilled)
    np.testing.assert_array_equal(loaded.score(asked.queries), by_oracle.score(asked.queries))
    np.testing.assert_array_equal(loaded.similar(np.array([3])), by_oracle.similar(np.array([3])))
    assert loaded.account() == by_oracle.account()


def test_new_items_are_the_student_s_to_read() -> None:
    text = {**SASREC, "text": {"vectors": HASHING}, "training": FAST | {"epochs": 3}}
    data, asked = world()
    model = taught(Oracle(), text)
    longer = model.index(extended(data.items, [{"item_id": "new", "title": "volume 3 of the saga"}]), RunContext())
    assert longer.score(asked.queries).shape == (len(asked), NUM_ITEMS + 1)
    assert model.config.scores_new_items


@pytest.mark.slow
def test_vectors_are_aligned() -> None:
    import torch

    from genre.training.distillation import Alignment

    data, _ = world()
    rng = np.random.default_rng(0)
    other = AlsConfig(embedding_size=4, epochs=1).build({}).fit(data, RunContext())
    vectors = other.vectors = rng.normal(size=(NUM_ITEMS, 4)).astype(np.float32)  # type: ignore[attr-defined]
    small = {**SASREC, "embedding_size": 8, "training": FAST | {"epochs": 60}}
    settings = config(small, align={"model": "other", "weight": 3.0})
    members = {"teacher": Oracle(), "other": other}
    aligned, free = (one.build(members).fit(data, RunContext()) for one in (settings, config(small)))

    def missed(model: Distilled) -> float:
        student: Any = model.student
        found = Alignment(np.arange(NUM_ITEMS), torch.from_numpy(vectors), 1.0)
        return float(found.loss(student.network.targets(student.table), rng))

    assert missed(aligned) < 0.6 * missed(free)
    assert hits(aligned) > 0.8


def test_whole_histories_are_asked_about_first_then_those_with_a_gap_then_beginnings() -> None:
    data = chain_of([[0, 1, 2], [3], [], [4, 5]])
    more = Interactions.of(Ragged.of([[7, 8]]))
    rng = np.random.default_rng(0)
    every, seen = questions_for(data, more, 100, rng, gaps=True)
    asked = [(every.history.items[at].tolist(), seen[at].tolist()) for at in range(len(every))]
    plain = [[0], [0, 1], [0, 1, 2], [3], [4], [4, 5], [7], [7, 8]]
    gaps = [([1, 2], [0, 1, 2]), ([0, 2], [0, 1, 2]), ([5], [4, 5]), ([8], [7, 8])]
    assert asked == [(row, row) for row in plain] + gaps
    assert every.user_rows.tolist() == [0, 0, 0, 1, 3, 3, UNKNOWN_USER, UNKNOWN_USER, 0, 0, 3, UNKNOWN_USER]
    assert rows_of(questions_for(data, more, 4, rng)) == [[0, 1, 2], [3], [4, 5], [7, 8]]
    first = [[0, 1, 2], [3], [4, 5], [7, 8]]
    assert rows_of(questions_for(data, more, 8, rng, gaps=True)) == first + [row for row, _ in gaps]
    assert rows_of(questions_for(data, more, 100, rng)) == plain
    assert len(questions_for(data, None, 2, rng)[0]) == 2


def rows_of(asked: tuple[Queries, Ragged]) -> list[list[int]]:
    return [asked[0].history.items[at].tolist() for at in range(len(asked[0]))]


def test_what_the_student_is_judged_by_is_never_asked_about() -> None:
    data = chain_of([[0, 1, 2], [3], [], [4, 5]])
    never = data.queries(np.array([0, 3]), history=Interactions.of(Ragged.of([[0, 1, 2], [4]])))
    more, rng = Interactions.of(Ragged.of([[4]])), np.random.default_rng(0)
    asked = [[0], [0, 1], [3], [4, 5], [4]]
    assert rows_of(questions_for(data, more, 100, rng, never=never)) == asked
    assert rows_of(questions_for(data, more, 100, rng, never=never, gaps=True)) == [*asked, [1, 2], [0, 2], [5]]


def test_a_disliked_item_ends_no_history() -> None:
    data = make_dataset()
    asked, seen = questions_for(data, None, 10_000, np.random.default_rng(0), gaps=True)
    likes = data.interactions.liked().lengths
    assert len(asked) == int(likes.sum() + np.maximum(likes - 1, 0).sum())
    assert (asked.history.weights[asked.history.offsets[1:] - 1] > 0).all()
    assert ((seen.lengths - asked.history.lengths) <= 1).all()
    assert asked.users is not None


def test_asking_goes_on_where_it_was_and_begins_anew_with_another_teacher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genre.adaptation.teacher._AT_ONCE", 4)
    monkeypatch.setattr("genre.adaptation.teacher._SECONDS", 0.0)
    data, _ = world()
    queries = data.queries(np.arange(12))

    class Dies(Oracle):
        def score(self, queries: Queries) -> np.ndarray[Any, np.dtype[np.float32]]:
            if self.asked >= 8:
                raise KeyboardInterrupt
            return super().score(queries)

    def run(teacher: Recommender) -> tuple[Any, Any]:
        context = RunContext(directory=tmp_path)
        return ask(teacher, queries, 3, context, name="t", num_items=NUM_ITEMS, seen=queries.history.items)

    with pytest.raises(KeyboardInterrupt):
        run(Dies())
    # ScoringRecommender asks for the first query of a block alone, to learn how many items there are.
    resumed, same, other = Oracle(), Oracle(), Oracle(step=2)
    found = run(resumed)
    assert resumed.asked == 8
    whole = ask(Oracle(), queries, 3, RunContext(), name="t", num_items=NUM_ITEMS, seen=queries.history.items)
    for ours, theirs in zip(found, whole, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    run(same)
    assert same.asked == 4
    items, _ = run(other)
    assert other.asked == 12
    assert items[0].tolist() == [3, 4, 5]


def test_an_interrupted_fit_goes_on_and_other_lessons_begin_anew(tmp_path: Path) -> None:
    data, asked = world()
    student = {**SASREC, "training": FAST | {"epochs": 5, "checkpoint_seconds": 0.0}}

    class Stop:
        def track(self, steps: Any, description: str, total: int | None = None) -> Any:
            for number, step in enumerate(steps):
                if "train" in description and number == 7:
                    raise KeyboardInterrupt
                yield step

    whole = config(student).build({"teacher": Oracle()}).fit(data, RunContext(validation=asked))
    interrupted = RunContext(validation=asked, directory=tmp_path, progress=Stop())
    with pytest.raises(KeyboardInterrupt):
        config(student).build({"teacher": Oracle()}).fit(data, interrupted)
    run = RunContext(validation=asked, directory=tmp_path)
    again = config(student).build({"teacher": Oracle()}).fit(data, run)
    np.testing.assert_array_equal(whole.score(asked.queries), again.score(asked.queries))
    config(student, weight=2.0).build({"teacher": Oracle()}).fit(data, run)
    assert len(list(tmp_path.glob("student-*"))) == 2


def test_the_quality_of_a_teacher_is_that_of_its_lists() -> None:
    _, asked = world()
    run = RunContext(validation=asked)
    assert quality(Oracle(), run, name="t", num_items=NUM_ITEMS, hide_seen=True) == 1
    assert quality(Oracle(step=23), run, name="t", num_items=NUM_ITEMS, hide_seen=False) == pytest.approx(
        0.5
    )  # The target is third.
    assert quality(Oracle(), RunContext(), name="t", num_items=NUM_ITEMS, hide_seen=True) is None


def test_unlabelled_histories_are_read_by_the_catalogue_s_ids(tmp_path: Path) -> None:
    data, asked = world()
    path = tmp_path / "visits.csv"
    path.write_text("user_id,item_id,timestamp\nv,i3,20\nv,i1,10\nw,i5,5\nw,elsewhere,6\n", encoding="utf-8")
    found = unlabelled_histories(FilesConfig(interactions=path), data.items)
    assert [found.items[row].tolist() for row in range(2)] == [[1, 3], [5]]
    student = {**SASREC, "training": FAST | {"epochs": 1}}
    settings = config(student, unlabelled={"interactions": str(path)})
    model = settings.build({"teacher": Oracle()}).fit(data, RunContext(validation=asked))
    assert model.told["unlabelled"] == 2
    assert model.told["lists"] == data.num_events - len(asked) + 3
    with_gaps = settings.model_copy(update={"gaps": True})
    more = with_gaps.build({"teacher": Oracle()}).fit(data, RunContext(validation=asked))
    assert more.told["lists"] == model.told["lists"] + data.num_users + 1  # All like two items, and one visitor does.
    path.write_text("user_id,item_id\nv,x1\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"none of its 1 items is in the catalogue, such as 'x1'.*the ids must be"):
        unlabelled_histories(FilesConfig(interactions=path), data.items)


def experiment(**changes: Any) -> Experiment:
    distilled = {"kind": "distilled", "teacher": "ease", "student": SASREC, **changes}
    models = {"ease": {"kind": "ease"}, "als": {"kind": "als"}, "small": distilled}
    return Experiment.model_validate({"data": {"kind": "sample"}, "models": models})


def without_a_log(student: dict[str, Any], path: Path) -> Distilled:
    """Return a student that knows 60 histories of which nobody knows how they go on, and nothing else."""
    data, _ = world()
    ids = data.items.vocabulary.ids
    starts = [start for start in range(0, NUM_ITEMS, 2) for _ in range(60 // (NUM_ITEMS // 2))]
    lines = [f"u{user},{ids[start + step]},{step}" for user, start in enumerate(starts) for step in (0, 1)]
    path.write_text("\n".join(["user_id,item_id,timestamp", *lines]), encoding="utf-8")
    empty = data.with_interactions(data.interactions.where(np.zeros(data.num_events, bool)))
    settings = config(student, unlabelled={"interactions": str(path)})
    return settings.build({"teacher": Oracle()}).fit(empty, RunContext())


TOWERS = {"kind": "two_tower", "vectors": HASHING, "own": True, "embedding_size": 16, "dropout": 0.1}
LONG = {"training": FAST | {"epochs": 40}}


@pytest.mark.parametrize(
    "student",
    [{**SASREC, "text": {"vectors": HASHING}, **LONG}, pytest.param({**TOWERS, **LONG}, marks=pytest.mark.slow)],
)
def test_a_student_that_reads_learns_from_unlabelled_histories_alone(student: dict[str, Any], tmp_path: Path) -> None:
    model = without_a_log(student, tmp_path / "visits.csv")
    _, asked = world()
    assert (model.told["lists"], model.told["unlabelled"]) == (120, 60), "whole ones, and beginnings"
    assert np.isfinite(model.score(asked.queries)).all()
    assert hits(model) > 0.8
    blind = without_a_log({**SASREC, "training": FAST | {"epochs": 1}}, tmp_path / "visits.csv")
    assert blind.told["lists"] == 0, "who reads no texts knows only what somebody liked"


@pytest.mark.slow
def test_a_language_model_does_so_too(tmp_path: Path) -> None:
    write_tiny(tmp_path / "tiny")
    language = {"base": {"kind": "local", "model": str(tmp_path / "tiny")}, "vectors": HASHING, "embedding_size": 16}
    few = {"training": FAST | {"epochs": 40, "precision": "fp32"}}
    assert hits(without_a_log({"kind": "llm_sequential", **language, **few}, tmp_path / "visits.csv")) > 0.8


def test_unlabelled_files_count_by_what_is_in_them(tmp_path: Path) -> None:
    path, other = tmp_path / "visits.csv", tmp_path / "moved.csv"
    path.write_text("user_id,item_id\nv,i1\n", encoding="utf-8")
    shutil.copy(path, other)
    first, moved = (experiment(unlabelled={"interactions": str(one)}) for one in (path, other))
    assert digest_of(first) == digest_of(moved)
    before = source_key(first)
    assert before == source_key(moved) != source_key(experiment())
    path.write_text("user_id,item_id\nv,i2\n", encoding="utf-8")
    assert source_key(first) != before
    path.unlink()
    with pytest.raises(DataError, match=r"`models\.small` names a file that is not there"):
        source_key(first)
    text = to_yaml(first).replace(str(path), "visits.csv")
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    small = read_experiment(tmp_path / "config.yaml").models["small"]
    assert small.data_files == (path,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher": "nobody"}, "there is no model 'nobody'"),
        ({"align": {"model": "ease"}}, r"align\.model: 'ease' \(ease\) has no vectors .*its lists can be transferred"),
        ({"align": {"model": "nobody"}}, "there is no model 'nobody'"),
        ({"student": {"kind": "ease"}}, "ease"),
        ({"weight": 0}, "greater than 0"),
        ({"unlabelled": {"interactions": "a.csv", "items": "b.csv"}}, "only `interactions` are read"),
        ({"teacher": "small"}, "in a circle"),
    ],
)
def test_what_cannot_be_taught_is_an_error_before_work_starts(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        experiment(**changes)
    assert experiment(align={"model": "als"}).models["small"].member_names == ("ease", "als")


def test_a_teacher_of_other_items_is_an_error_that_says_what_can_be_transferred() -> None:
    data, asked = world()
    run = RunContext(validation=asked)
    few = chain_of([[0, 1], [1, 2]], num_items=3)
    model = AlsConfig(embedding_size=2, epochs=1).build({}).fit(few, RunContext())
    with pytest.raises(ConfigError, match=r"24 items are wanted from 'als' \(als\), which has vectors of 3"):
        config(align={"model": "als"}).build({"teacher": Oracle(), "als": model}).fit(data, run)
    popular = PopularityConfig().build({}).fit(few, RunContext())
    with pytest.raises(ConfigError, match=r"which has none.*Tokenizers need not be alike"):
        config(align={"model": "p"}).build({"teacher": Oracle(), "p": popular}).fit(data, run)
    with pytest.raises(ConfigError, match="there is no member 'teacher'"):
        config().build({}).fit(data, run)
    with pytest.raises(ModelError, match=r"'teacher' recommends item \d+, and there are 3.*on another catalogue"):
        config().build({"teacher": Oracle()}).fit(few, RunContext())


def test_it_is_skipped_with_its_teacher_and_answers_without_it(tmp_path: Path) -> None:
    from genre.pipeline import run

    short = {**SASREC, "training": FAST | {"epochs": 1}}
    base = experiment(student=short)
    lines = ["user_id,item_id,timestamp"]
    lines += [f"u{user},i{(user + step) % 12},{1_700_000_000 + user + step}" for user in range(30) for step in range(5)]
    (tmp_path / "log.csv").write_text("\n".join(lines), encoding="utf-8")
    small = base.model_copy(update={"data": FilesConfig(interactions=tmp_path / "log.csv")})
    done = run(small, tmp_path)
    shutil.rmtree(done / "models" / "ease")
    engine = open_run(done, model="small")
    assert len(engine.recommend("u1", n=3)) == 3
    account = (done / "account.json").read_text(encoding="utf-8")
    assert '"distillation"' in account
    assert "was taught by ease (" in (done / "report.html").read_text(encoding="utf-8")
    plan = make_plan(small.model_copy(update={"memory_gib": 1e-9}), make_dataset(), done=("small", "popularity"))
    found = next(planned for planned in plan if planned.name == "small")
    assert (found.fitted, found.skipped) == (False, "needs the skipped ease")


def test_the_estimate_counts_the_lists() -> None:
    few, many = (config(num_lists=lists).estimate(DataSize(1000, 1000, 100_000)) for lists in (10, 50_000))
    assert few.seconds < many.seconds
    assert few.memory < many.memory


def test_it_is_made_of_no_other_model() -> None:
    chosen = config()
    assert (chosen.member_names, chosen.answers_with, chosen.learns_from_validation) == (("teacher",), (), False)
    assert FixedConfig().answers_with == ()
