"""A language model re-ranks what another model has found, by yes or no or by how likely it would name it.

Shapes: B queries, I items, C candidates of a query.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from genre.core.interactions import Interactions
from genre.core.parts import lines_as_array, lines_of_array
from genre.core.queries import NO_ITEM, Candidates, Queries, Recommendations
from genre.core.ragged import Ragged
from genre.core.run import RunContext
from genre.data.dataset import Dataset, Entities
from genre.data.sequences import windows
from genre.features.text import TextConfig, item_texts
from genre.recommenders.base import DataSize, Estimate, Recommender, State
from genre.recommenders.growth import grown
from genre.recommenders.learning_language import LanguageRecommenderConfig, LearningLanguage
from genre.recommenders.members import named_members, put_in_order
from genre.recommenders.trained import fit_network
from genre.training.config import TrainingConfig

if TYPE_CHECKING:
    from genre.recommenders.candidate_reader import CandidateReader, Prompts
    from genre.training.ranked_lists import RankedList, RankedLists

_ASKED = 32
"""Questions by which it is seen whether it answers as asked."""


class LlmRankerConfig(LanguageRecommenderConfig):
    """Settings of `llm_ranker`."""

    kind: Literal["llm_ranker"] = "llm_ranker"
    retriever: str
    """The model whose answers are put into another order, by its name."""
    judgement: Literal["yes_no", "likelihood"] = "yes_no"
    """By how much it would rather say yes than no to each candidate, or by how likely it would say the title."""
    language: Literal["en", "zh"] = "en"
    """Of the words around the titles."""
    text: TextConfig = TextConfig()
    """Which columns name an item, the most important first."""
    title_tokens: int = Field(default=16, ge=2)
    """Tokens of a title at most, of liked items and of candidates alike."""
    length: int = Field(default=10, ge=1)
    """Newest likes of a history that are told."""
    num_candidates: int = Field(default=50, ge=2)
    """First answers of the retriever that are judged; those behind keep their order."""
    num_negatives: int = Field(default=7, ge=1)
    """Other answers of the retriever that what came next is compared with in training."""
    max_lists: int = Field(default=2000, ge=1)
    """Histories that are learned from in an epoch: more take longer, and a ranker learns its task from few."""
    training: TrainingConfig = TrainingConfig(
        epochs=1, batch_size=8, learning_rate=3e-4, precision="bf16", clip_norm=1.0, warm_up_steps=10
    )

    @property
    def member_names(self) -> tuple[str, ...]:
        """The retriever."""
        return (self.retriever,)

    def build(self, members: Mapping[str, Recommender]) -> LlmRanker:
        """Return the unfitted component."""
        return LlmRanker(self, named_members((self.retriever,), members, "llm_ranker")[self.retriever])

    def estimate(self, size: DataSize) -> Estimate:
        """The language model in float32, and its passes over the lists."""
        tokens = min(size.num_users, self.max_lists) * self.title_tokens * (self.length + 2 * self.num_negatives)
        reading = self.estimate_reading(size, tokens)
        memory, seconds = reading.memory + 64 * size.num_items, reading.seconds + 1e-6 * size.num_events
        return Estimate(memory=memory, seconds=seconds)


class LlmRanker:
    """Ask a language model about each of the retriever's first answers, and put them into the order of its scores.

    All candidates of a user stand behind one beginning, which tells the history: its keys and values are worked out
    once (see `CandidateReader`). It learns to put what came next before other answers of the retriever. Candidates
    judged so cost about their own titles' tokens each, in place of a whole prompt.

    Hou et al.: Large Language Models are Zero-Shot Rankers for Recommender Systems. ECIR 2024; Bao et al.: TALLRec.
    RecSys 2023.
    """

    reader: CandidateReader
    prompts: Prompts
    names: list[str]
    """(I,) what each item is called, "" for one without a name."""
    titles: list[list[int]]
    """(I,) the same as tokens."""
    curve: NDArray[np.float64]
    """(epochs, 2) training loss, and NaN."""
    language: LearningLanguage
    """What judges."""
    valid: NDArray[np.bool_]
    """Of some first answers of the retriever, whether it would say yes or no to them, and nothing else."""

    def __init__(self, config: LlmRankerConfig, retriever: Recommender) -> None:
        """Keep the settings, and the fitted retriever."""
        self.config, self.retriever, self.valid = config, retriever, np.zeros(0, bool)

    def fit(self, data: Dataset, run: RunContext) -> Self:
        """Learn from the retriever's answers to histories, unless the language model is frozen.

        Raises:
            ConfigError: The language model has no layers of the names in `tuning.modules`.
            DataError: The items have no text.
            DependencyError: The language model is not there.
            ModelError: The loss is not a number.
        """
        import torch

        config = self.config
        lists, targets = self._lists(data, run)
        with torch.random.fork_rng():
            torch.manual_seed(int(run.rng("llm_ranker").integers(2**63)))
            self._load_base(run, config.training.epochs * -(-len(lists) // config.training.batch_size))
        texts = item_texts(data.items, config.text)
        self._name(self._names_of(data.items))
        self.curve = np.empty((0, 2))
        if config.tuning.method != "frozen" and len(lists):
            self.curve = fit_network(
                self.reader,
                self._objective(lists, targets, run),
                config,
                run,
                data=data,
                training=config.training,
                terms=self.language.protections(texts),
                base=self.language.key,
            )
        asked = Queries.of(lists) if run.validation is None else run.validation.queries
        if config.judgement == "yes_no" and len(asked):
            self.valid = self.valid_answers(asked.take(run.rng("llm_ranker.valid").permutation(len(asked))[:_ASKED]))
        return self

    def recommend(self, queries: Queries, n: int, *, candidates: Candidates | None = None) -> Recommendations:
        """Return the retriever's first answers in the model's order, and its others behind them.

        Somebody of whom no like with a name is known gets the retriever's own order.
        """
        import torch

        config = self.config
        found = self.retriever.recommend(queries, max(n, config.num_candidates), candidates=candidates)
        histories, device = self._told(queries.history), self.language.loaded.model.device.type
        for query in range(len(queries)):
            liked = histories[query]
            rows = found.item_rows[query, : config.num_candidates]
            rows = rows[rows != NO_ITEM]
            if not len(liked) or len(rows) < 2:
                continue
            beginning, after = self.prompts.beginning([self.names[row] for row in liked])
            with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=self.language.in_bf16):
                scores = self.reader.ranked(beginning, [[*self.titles[row], *after] for row in rows]).float()
            put_in_order(found, query, np.arange(len(rows)), scores.cpu().numpy())
        return found.first(n)

    def index(self, items: Entities, run: RunContext) -> Self:
        """Return a model that knows the new items too, as far as the retriever finds them."""
        model = copy(self)
        model.retriever = grown(self.retriever, items, len(self.names), run)
        model._name(self._names_of(items))
        return model

    def valid_answers(self, queries: Queries) -> NDArray[np.bool_]:
        """Return, of each query that can be asked about, whether what it would say of the first answer is yes or no.

        It may say anything: learning moves yes against no, and neither against all other words. Of one that has learned
        nothing, the order by yes and no means little where this is seldom true.
        """
        import torch

        first = self.retriever.recommend(queries, 1).item_rows[:, 0]
        histories, device, valid = self._told(queries.history), self.language.loaded.model.device.type, []
        for query, row in enumerate(first):
            if row != NO_ITEM and len(histories[query]):
                beginning, after = self.prompts.beginning([self.names[liked] for liked in histories[query]])
                with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=self.language.in_bf16):
                    valid.append(self.reader.valid_answer(beginning, [*self.titles[row], *after]))
        return np.array(valid, bool)

    def account(self) -> dict[str, Any]:
        """Return how often what it would say was an answer, where it was asked for yes or no."""
        return (
            {} if not len(self.valid) else {"validity": {"asked": len(self.valid), "share": float(self.valid.mean())}}
        )

    def state(self) -> State:
        """Return what the language model learned, which one it was, what items are called, and how it answered."""
        return {**self.language.state(), "names": lines_as_array(self.names), "curve": self.curve, "valid": self.valid}

    def restore(self, state: State) -> None:
        """Take all of it back.

        Raises:
            DependencyError: The language model is not there.
            ModelError: It is not the one that this was learned with.
        """
        self._load_base(RunContext(), answers=True)
        self.language.restore(state)
        self.curve, self.valid = state["curve"], state["valid"]
        self._name(lines_of_array(state["names"]))

    def _load_base(self, run: RunContext, total_steps: int = 0, *, answers: bool = False) -> None:
        """Load the language model, and open what learns."""
        from genre.recommenders.candidate_reader import CandidateReader, Prompts

        config = self.config
        self.language = LearningLanguage(config, run, total_steps=total_steps, answers=answers)
        self.prompts = Prompts(self.language.loaded.tokenizer, config.judgement, config.language, config.title_tokens)
        self.reader = CandidateReader(self.language.tuned, config.judgement, self.prompts.yes, self.prompts.no).eval()

    def _names_of(self, items: Entities) -> list[str]:
        """Return what is most important of each item's text, as long as a title may be."""
        wanted = self.config.text.model_copy(update={"max_tokens": self.config.title_tokens})
        return item_texts(items, wanted, lambda text: len(self.prompts.parts.tokens(text)), required=False)

    def _name(self, names: list[str]) -> None:
        self.names, self.titles = names, self.prompts.titles(names)

    def _told(self, history: Interactions) -> Ragged:
        """Return the newest likes (B rows) that have a name."""
        liked = history.liked()
        named = np.array([bool(name) for name in self.names])
        return liked.where(named[liked.item_rows]).last(self.config.length).items

    def _lists(self, data: Dataset, run: RunContext) -> tuple[Interactions, NDArray[np.int32]]:
        """Return histories, one of each of some users, and what came next in them."""
        cut = windows(data.interactions, self.config.length)
        rng = run.rng("llm_ranker.lists")
        chosen = np.sort(rng.permutation(len(cut))[: self.config.max_lists])
        cut = cut.take(chosen)
        kept = rng.integers(np.minimum(2, cut.lengths), cut.lengths + 1)  # A beginning of each, two events at least.
        within = np.arange(cut.num_events) - np.repeat(cut.offsets[:-1], cut.lengths)
        cut = cut.where(within < np.repeat(kept, cut.lengths))
        last = cut.steps_from_end == 0
        return cut.where(~last), cut.item_rows[last]

    def _objective(self, lists: Interactions, targets: NDArray[np.int32], run: RunContext) -> RankedLists:
        """Return what is learned from: each target among other answers of the retriever."""
        from genre.training.ranked_lists import RankedList, RankedLists

        config = self.config
        queries = Queries.of(lists)
        answer = self.retriever.recommend(
            queries, config.num_candidates, candidates=Candidates(excluded=lists.items)
        ).item_rows
        told = self._told(lists)

        def make(at: int, rng: np.random.Generator) -> RankedList:
            others = answer[at][(answer[at] != NO_ITEM) & (answer[at] != targets[at])]
            drawn = rng.permutation(others)[: config.num_negatives]
            beginning, after = self.prompts.beginning([self.names[row] for row in told[at]])
            return RankedList(beginning, [[*self.titles[row], *after] for row in (targets[at], *drawn)])

        training = config.training
        return RankedLists(len(targets), make, batch_size=training.batch_size, parts=training.accumulate)
