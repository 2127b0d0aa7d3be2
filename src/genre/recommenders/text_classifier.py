"""Whether somebody would like an item, or how much, by what is said of both: a classifier of pairs of texts.

Shapes: B queries, I items, N pairs, K grades.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import copy
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from genre.core.parts import lines_as_array, lines_of_array, text_as_array, text_of_array
from genre.core.queries import NO_ITEM, Candidates, Queries, Recommendations, Source
from genre.core.ragged import offsets_of
from genre.core.run import RunContext
from genre.data.dataset import Dataset, Entities
from genre.features.text import item_texts
from genre.metrics.classification import class_scores
from genre.recommenders.base import DataSize, Estimate, Recommender, ScoringRecommender, State
from genre.recommenders.classifier_heads import SvmHeadConfig
from genre.recommenders.growth import grown
from genre.recommenders.labelled_pairs import Pairs, UserTexts, grades_of, labelled_pairs
from genre.recommenders.learning_language import LearningLanguage
from genre.recommenders.members import named_members, put_in_order
from genre.recommenders.pair_judge import NAME, PairJudge, PairJudgeConfig
from genre.recommenders.reading_judge import ReadingJudge
from genre.recommenders.vector_judge import VectorJudge

_PAIRS = 1 << 18
"""Pairs that are judged at once, so that many users' texts are read together."""


class TextClassifierConfig(PairJudgeConfig):
    """Settings of `text_classifier`."""

    kind: Literal["text_classifier"] = "text_classifier"
    labels: Literal["binary", "graded"] = "binary"
    """Whether an event is a like or not, or how much: by the weights of the log, which are its ratings with
    `feedback: {use_value: true}`. Grades are of what somebody has met: they tell how it would be liked, and not what is
    taken up next, so that they are best told of a retriever's answers."""
    grades: tuple[float, ...] | None = None
    """Weights that graded events are rounded to, rising; none takes those of the log, ten at most."""
    retriever: str | None = None
    """The model whose first answers are judged, by its name. Without one all items are, by `vectors` alone."""
    num_candidates: int = Field(default=50, ge=2)
    """First answers of the retriever that are judged; those behind keep their order."""
    user_text: Literal["likes", "profile"] = "likes"
    """Whether a user is known by the names of the newest likes, or by a profile where there is one. Somebody without
    likes always is by the profile."""
    profile_column: str = "profile"
    """User column that says in words what somebody likes, as `enrich` writes it. It was written with the likes that are
    learned from in mind: pairs that are set apart are then told better than new ones."""
    length: int = Field(default=10, ge=1)
    """Newest likes of a history that are told."""
    title_tokens: int = Field(default=16, ge=2)
    """Tokens of a like's name at most."""
    num_negatives: int = Field(default=1, ge=0)
    """Dislikes for each like, with binary labels. Where the log has fewer, items that were shown and not chosen join
    them, then items drawn from those that the user has not met. 0 takes the dislikes of the log alone."""
    held_out: float = Field(default=0.1, ge=0, lt=0.5)
    """Share of the people whose pairs only judge what was learned, in the report. A network is given as many again to
    find its best epoch."""

    @model_validator(mode="after")
    def _can_be_learned(self) -> TextClassifierConfig:
        if self.reader != "vectors" and self.retriever is None:
            raise ValueError(
                f"`reader` {self.reader!r} reads every pair, which is too much for all items: name a `retriever`"
            )
        if self.grades is not None and self.labels != "graded":
            raise ValueError("`grades` are of graded labels: set `labels: graded`, or leave them out")
        if self.grades is not None and (len(self.grades) < 2 or list(self.grades) != sorted(set(self.grades))):
            raise ValueError(f"`grades` {list(self.grades)} must be two at least, and rise")
        return self

    @property
    def member_names(self) -> tuple[str, ...]:
        """The retriever, if there is one."""
        return () if self.retriever is None else (self.retriever,)

    @property
    def scores_new_items(self) -> bool:
        """All items with a text are judged, or what a retriever finds."""
        return self.retriever is None

    @property
    def reads_only(self) -> bool:
        """An item is judged by its text alone, but for what a retriever finds."""
        return self.retriever is None

    def build(self, members: Mapping[str, Recommender]) -> TextClassifier | TextReranker:
        """Return the unfitted component."""
        if self.retriever is None:
            return TextClassifier(self)
        return TextReranker(self, named_members((self.retriever,), members, NAME)[self.retriever])

    def estimate(self, size: DataSize) -> Estimate:
        """Reading the texts of items and users, and the features of the pairs; or a transformer's passes over these."""
        pairs = (1 + self.num_negatives) * min(self.max_pairs, size.num_events)
        if self.reader == "vectors":
            kernel = 16 * self.head.max_pairs**2 if isinstance(self.head, SvmHeadConfig) else 0
            memory = 8 * 1024 * size.num_items + (300 << 20) + 3 * 4 * 4 * 384 * pairs + kernel
            return Estimate(memory=memory, seconds=2e-3 * size.num_items + 1e-2 * pairs + 1e-6 * size.num_events)
        tokens = pairs * (self.user_tokens / (1 + self.num_negatives) + self.vectors.text.max_tokens / 2)
        # The embedded encoder has a sixth of the language model's weights.
        reading = self.estimate_reading(size, tokens if self.reader == "language" else tokens / 6)
        memory, seconds = reading.memory + 512 * size.num_items, reading.seconds + 1e-6 * size.num_events
        return Estimate(memory=memory, seconds=seconds)


class Learned:
    """What judges pairs, what users are told to it as, and how right it was: what both components are made of."""

    judge: PairJudge
    users: UserTexts
    grades: NDArray[np.float64]
    """(K,) rising; 0 and 1 for binary labels."""
    told: dict[str, Any]
    """How right it was on pairs of people that it has not learned from."""

    def __init__(self, config: TextClassifierConfig) -> None:
        """Keep the settings."""
        self.config = config

    def fit(self, data: Dataset, run: RunContext) -> Self:
        """Make pairs of the log, learn from most of them, and judge by the others.

        Raises:
            ConfigError: A transformer reads fewer tokens than a pair takes.
            DataError: The items have no text, or the labels are all alike.
            DependencyError: What reads is not there.
            ModelError: A network's loss is not a number.
        """
        config = self.config
        self.grades, like_from = grades_of(data.interactions, config)
        self.judge = self._new_judge().prepare(data, run)
        self.users = self._users(self._names(data.items), like_from)
        pairs = labelled_pairs(
            data, config, self.users, self.grades, config.profile_column, run.rng("text_classifier.pairs")
        )
        pairs, judged = pairs.apart(config.held_out, run.rng("text_classifier.judged"))
        is_network = config.reader != "vectors" or config.head.kind == "mlp"
        apart = pairs.take(np.zeros(len(pairs), bool))
        if is_network:
            pairs, apart = pairs.apart(config.held_out, run.rng("text_classifier.apart"))
        self.judge.learn(pairs, apart, len(self.grades), run, data)
        self.told = self._measured(judged, len(pairs))
        return self

    def scores(
        self, texts: list[str], text_of: NDArray[np.integer], item_rows: NDArray[np.integer]
    ) -> NDArray[np.float32]:
        """Return how much people of these texts would like items (N,): the chance of a like, or the expected grade."""
        if not len(item_rows):
            return np.empty(0, np.float32)
        return (self.judge.probabilities(texts, text_of, item_rows) @ self.grades).astype(np.float32)

    def texts(self, queries: Queries) -> list[str]:
        """Return what is known of who asks, "" for nothing."""
        return self.users.of_queries(queries, self.config.profile_column)

    def index(self, items: Entities, run: RunContext) -> Self:
        """Return one that knows the new items too."""
        longer = copy(self)
        longer.judge = self.judge.index(items, run)
        longer.users = self._users(self._names(items), self.users.like_from)
        return longer

    def state(self) -> State:
        """Return all that was learned."""
        return {
            **self.judge.state(),
            "names": lines_as_array(self.users.names),
            "grades": self.grades,
            "like_from": np.array([self.users.like_from]),
            "told": text_as_array(json.dumps(self.told)),
        }

    def restore(self, state: State) -> None:
        """Take it back."""
        self.grades, self.told = state["grades"], json.loads(text_of_array(state["told"]))
        self.judge = self._new_judge()
        self.judge.restore(state, len(self.grades))
        self.users = self._users(lines_of_array(state["names"]), float(state["like_from"][0]))

    def _new_judge(self) -> PairJudge:
        return VectorJudge(self.config) if self.config.reader == "vectors" else ReadingJudge(self.config)

    def _names(self, items: Entities) -> list[str]:
        wanted = self.config.vectors.text.model_copy(update={"max_tokens": self.config.title_tokens})
        return item_texts(items, wanted, self.judge.count, required=False)

    def _users(self, names: list[str], like_from: float) -> UserTexts:
        config = self.config
        return UserTexts(
            names,
            like_from,
            config.length,
            config.user_tokens,
            self.judge.count,
            config.vectors.text.language,
            prefers_profile=config.user_text == "profile",
        )

    def _measured(self, judged: Pairs, num_learned: int) -> dict[str, Any]:
        """Return precision, recall and F1 on pairs that nothing was learned from, as plain values."""
        told: dict[str, Any] = {
            "labels": self.config.labels,
            "learned": num_learned,
            "judged": len(judged),
            "drawn": int(judged.drawn.sum()),
            "from_profiles": self.config.user_text == "profile",
            "classes": [],
        }
        if not len(judged):
            return told
        found = self.judge.probabilities(judged.texts, judged.text_of, judged.item_rows)
        scores = class_scores(judged.labels, found.argmax(axis=1), len(self.grades))
        names = ["not liked", "liked"] if self.config.labels == "binary" else [f"{grade:g}" for grade in self.grades]
        values = {"precision": scores.precision, "recall": scores.recall, "f1": scores.f1}
        told["classes"] = [
            {"label": name, "pairs": int(scores.sizes[at])} | {key: float(part[at]) for key, part in values.items()}
            for at, name in enumerate(names)
        ]
        told["macro"] = {key: scores.macro(part) for key, part in values.items()}
        told["accuracy"] = scores.accuracy
        told["commonest"] = float(scores.sizes.max() / len(judged))
        if self.config.labels == "graded":
            told["mean_error"] = float(np.abs(found @ self.grades - self.grades[judged.labels]).mean())
        return told


class TextClassifier(ScoringRecommender[TextClassifierConfig]):
    """``score(i) = sum_g g P(g | text of the user, text of i)`` for every item that has a text.

    With binary labels that is the chance of a like, with graded ones the expected grade. The user's text is that of the
    newest likes, or a profile; people of whom nothing is known in words are not answered. Nothing is learned of single
    users or items: both may be new.

    Each answer takes `num_items` times four times the numbers of a text vector: past some ten thousand items, or with
    an SVM of many support vectors, name a `retriever`.
    """

    source = Source.CONTENT
    learned: Learned

    def fit(self, data: Dataset, run: RunContext) -> Self:
        """Learn; see `Learned.fit` for what may be wrong."""
        self.learned = Learned(self.config).fit(data, run)
        return self

    def score(self, queries: Queries) -> NDArray[np.float32]:
        """Return (B, I) expected grades."""
        readable = self.learned.judge.readable
        scores, rows = np.full((len(queries), len(readable)), -np.inf, np.float32), np.flatnonzero(readable)
        texts = self.learned.texts(queries)
        known = np.array([query for query, text in enumerate(texts) if text], np.int64)
        size = max(1, _PAIRS // max(1, len(rows)))
        for start in range(0, len(known), size):
            some = known[start : start + size]
            found = self.learned.scores(
                [texts[query] for query in some], np.repeat(np.arange(len(some)), len(rows)), np.tile(rows, len(some))
            )
            scores[np.ix_(some, rows)] = found.reshape(len(some), -1)
        return scores

    def index(self, items: Entities, run: RunContext) -> Self:
        """Return a model that scores the new items too."""
        model = copy(self)
        model.learned = self.learned.index(items, run)
        return model

    def account(self) -> dict[str, Any]:
        """Return how right it was on pairs that nothing was learned from."""
        return {"classification": self.learned.told}

    def state(self) -> State:
        """Return what was learned."""
        return self.learned.state()

    def restore(self, state: State) -> None:
        """Take it back."""
        self.learned = Learned(self.config)
        self.learned.restore(state)


class TextReranker:
    """Judge the retriever's first answers by the same expected grade, and put them into its order.

    What has no text, and what stands behind the first answers, keeps the retriever's order behind those judged; who is
    known by no words gets the retriever's own answer. A language model that has learned so is `language.writer()`.
    """

    learned: Learned
    language: LearningLanguage
    """What reads, where that is a language model."""

    def __init__(self, config: TextClassifierConfig, retriever: Recommender) -> None:
        """Keep the settings, and the fitted retriever."""
        self.config, self.retriever = config, retriever

    def fit(self, data: Dataset, run: RunContext) -> Self:
        """Learn; see `Learned.fit` for what may be wrong."""
        self._take(Learned(self.config).fit(data, run))
        return self

    def recommend(self, queries: Queries, n: int, *, candidates: Candidates | None = None) -> Recommendations:
        """Return the retriever's answers, the first of them by how much they would be liked."""
        first, readable = self.config.num_candidates, self.learned.judge.readable
        found = self.retriever.recommend(queries, max(n, first), candidates=candidates)
        texts, rows = self.learned.texts(queries), found.item_rows[:, :first]
        is_judged = (rows != NO_ITEM) & readable[rows] & np.array([bool(text) for text in texts], bool)[:, None]
        query_of, places = np.nonzero(is_judged)
        scores = self.learned.scores(texts, query_of, rows[query_of, places])
        ends = offsets_of(is_judged.sum(axis=1))
        for query in np.unique(query_of):
            here = slice(ends[query], ends[query + 1])
            put_in_order(found, query, places[here], scores[here])
        return found.first(n)

    def index(self, items: Entities, run: RunContext) -> Self:
        """Return a model that judges the new items too, as far as the retriever finds them."""
        model = copy(self)
        model.retriever = grown(self.retriever, items, len(self.learned.users.names), run)
        model._take(self.learned.index(items, run))
        return model

    @property
    def curve(self) -> NDArray[np.float64]:
        """(epochs, 2) training loss, and NaN: it is pairs that are looked at between epochs, and not lists."""
        losses = self.learned.judge.curve[:, :1]
        return np.concatenate([losses, np.full_like(losses, np.nan)], axis=1)

    def account(self) -> dict[str, Any]:
        """Return how right it was on pairs that nothing was learned from."""
        return {"classification": self.learned.told}

    def state(self) -> State:
        """Return what was learned."""
        return self.learned.state()

    def restore(self, state: State) -> None:
        """Take it back; the retriever is the one that it was built with."""
        learned = Learned(self.config)
        learned.restore(state)
        self._take(learned)

    def _take(self, learned: Learned) -> None:
        self.learned = learned
        if isinstance(learned.judge, ReadingJudge) and learned.judge.language is not None:
            self.language = learned.judge.language
