"""A language model re-ranks what another model has found, by yes or no or by how likely it would name it.

Shapes: B queries, I items, C candidates of a query.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from genre.core.errors import ConfigError
from genre.core.interactions import Interactions
from genre.core.parts import lines_as_array, lines_of_array, text_as_array, text_of_array
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
    from genre.recommenders.candidate_reader import CandidateReader, Example, Prompts
    from genre.training.ranked_lists import RankedList, RankedLists

_EXAMPLES = "examples"
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
    examples: int = Field(default=0, ge=0)
    """People of the training log of whom the model is told first what they liked and whether they liked one more: it
    learns from these as it reads, also where it is frozen (Brown et al.: Language Models are Few-Shot Learners, NeurIPS
    2020). They are read once for all that is asked at once. Those that its context does not hold are left out."""
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
        titles = self.length * (1 + self.examples) + 2 * self.num_negatives
        tokens = min(size.num_users, self.max_lists) * self.title_tokens * titles
        reading = self.estimate_reading(size, tokens)
        memory, seconds = reading.memory + 64 * size.num_items, reading.seconds + 1e-6 * size.num_events
        return Estimate(memory=memory, seconds=seconds)


class LlmRanker:
    """Ask a language model about each of the retriever's first answers, and put them into the order of its scores.

    All candidates of a user stand behind one beginning, which tells the history: its keys and values are worked out
    once (see `CandidateReader`). It learns to put what came next before other answers of the retriever. Candidates
    judged so cost about their own titles' tokens each, in place of a whole prompt. Frozen, it answers as it came
    (zero-shot), or as `examples` of the log lead it to (few-shot).

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
        self.examples: tuple[Example, ...] = ()

    def fit(self, data: Dataset, run: RunContext) -> Self:
        """Learn from the retriever's answers to histories, unless the language model is frozen.

        Raises:
            ConfigError: The language model has no layers of the names in `tuning.modules`, or its context holds no
                example.
            DataError: The items have no text.
            DependencyError: The language model is not there.
            ModelError: The loss is not a number.
        """
        import torch

        config = self.config
        shown = self._people(data.interactions, run)
        log = data.interactions
        lists, targets = self._lists(log.where(~np.isin(log.row_of_event, shown)), run)
        with torch.random.fork_rng():
            torch.manual_seed(int(run.rng("llm_ranker").integers(2**63)))
            self._load_base(run, config.training.epochs * -(-len(lists) // config.training.batch_size))
        texts = item_texts(data.items, config.text)
        self._name(self._names_of(data.items))
        self._show(self._examples(data, shown, run))
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
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=self.language.in_bf16):
            shared = self.reader.remembered(self.prompts.shared) if self.prompts.shared else None
            for query in range(len(queries)):
                liked = histories[query]
                rows = found.item_rows[query, : config.num_candidates]
                rows = rows[rows != NO_ITEM]
                if not len(liked) or len(rows) < 2:
                    continue
                beginning, after = self.prompts.beginning([self.names[row] for row in liked])
                told = [[*self.titles[row], *after] for row in rows]
                scores = self.reader.ranked(beginning, told, shared=shared).float()
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
        """Return how often what it would say was an answer, where it was asked for yes or no, and how many examples.

        Fewer stand in the prompts than were wanted where the log or the model's context holds no more.
        """
        valid, told = self.valid, dict[str, Any]()
        if len(valid):
            told["validity"] = {"asked": len(valid), "share": float(valid.mean())}
        if self.config.examples:
            told[_EXAMPLES] = {"wanted": self.config.examples, "shown": len(self.examples)}
        return told

    def state(self) -> State:
        """Return what the language model learned, which one it was, what items are called, and how it answered."""
        own = {"names": lines_as_array(self.names), "curve": self.curve, "valid": self.valid}
        if self.config.examples:
            own[_EXAMPLES] = text_as_array(json.dumps([asdict(one) for one in self.examples], ensure_ascii=False))
        return {**self.language.state(), **own}

    def restore(self, state: State) -> None:
        """Take all of it back.

        Raises:
            DependencyError: The language model is not there.
            ModelError: It is not the one that this was learned with.
        """
        from genre.recommenders.candidate_reader import Example

        self._load_base(RunContext(), answers=True)
        self.language.restore(state)
        self.curve, self.valid = state["curve"], state["valid"]
        self._name(lines_of_array(state["names"]))
        if self.config.examples:
            told = json.loads(text_of_array(state[_EXAMPLES]))
            self._show([Example(tuple(one["liked"]), one["title"], one["fits"]) for one in told])

    def _load_base(self, run: RunContext, total_steps: int = 0, *, answers: bool = False) -> None:
        """Load the language model, and open what learns."""
        from genre.recommenders.candidate_reader import CandidateReader

        config = self.config
        self.language = LearningLanguage(config, run, total_steps=total_steps, answers=answers)
        self.prompts = self._prompts()
        self.reader = CandidateReader(self.language.tuned, config.judgement, self.prompts.yes, self.prompts.no).eval()

    def _prompts(self, examples: Sequence[Example] = ()) -> Prompts:
        from genre.recommenders.candidate_reader import Prompts

        config = self.config
        tokenizer = self.language.loaded.tokenizer
        return Prompts(tokenizer, config.judgement, config.language, config.title_tokens, examples)

    def _people(self, log: Interactions, run: RunContext) -> NDArray[np.int64]:
        """Return rows of the log of whom examples are told: they like two things at least, and are not learned from."""
        if not self.config.examples:
            return np.zeros(0, np.int64)
        rows = np.flatnonzero(log.liked().lengths > 1)
        return run.rng("llm_ranker.examples").permutation(rows)[: self.config.examples]

    def _examples(self, data: Dataset, rows: NDArray[np.int64], run: RunContext) -> list[Example]:
        """Return what these people liked, each with what they liked next or with another answer of the retriever.

        By turns, where the model says yes or no; another answer is nothing that the training log knows them to have
        seen.
        """
        from genre.recommenders.candidate_reader import Example

        config, log = self.config, data.interactions.take(rows)
        likes = self._named(log)
        kept = np.flatnonzero(likes.lengths > 1)
        likes, log = likes.take(kept), log.take(kept)
        if not len(kept):
            return []
        last = likes.steps_from_end == 0
        histories, targets = likes.where(~last).last(config.length), likes.item_rows[last]
        candidates = Candidates(excluded=log.items)
        others = self.retriever.recommend(Queries.of(histories), config.num_candidates, candidates=candidates).item_rows
        rng, found = run.rng("llm_ranker.examples.others"), list[Example]()
        for at, target in enumerate(targets):
            liked = tuple(self.names[row] for row in histories.items[at])
            other = [row for row in others[at] if row != NO_ITEM and self.names[row]]
            fits = config.judgement == "likelihood" or at % 2 == 0 or not other
            found.append(Example(liked, self.names[target if fits else rng.choice(other)], fits))
        return found

    def _show(self, examples: Sequence[Example]) -> None:
        """Let as many of these stand in the prompts as leave room for the longest question.

        Raises:
            ConfigError: There is no room for one.
        """
        config = self.config
        prefix = config.tuning.tokens if config.tuning.method == "prefix" else 0
        context = self.language.loaded.context - prefix
        room = context - self.prompts.longest(config.length)
        for count in range(len(examples), 0, -1):
            prompts = self._prompts(examples[:count])
            if len(prompts.shared) <= room:
                self.prompts, self.examples = prompts, tuple(examples[:count])
                return
        if examples:
            raise ConfigError(
                f"the language model reads {context} tokens, and an example takes {len(prompts.shared)} beside "
                f"{context - room} of the longest question",
                place="llm_ranker.examples",
                remedy="Lower `length` or `title_tokens`, set `examples: 0`, or name a model of a longer context.",
            )

    def _names_of(self, items: Entities) -> list[str]:
        """Return what is most important of each item's text, as long as a title may be."""
        wanted = self.config.text.model_copy(update={"max_tokens": self.config.title_tokens})
        return item_texts(items, wanted, lambda text: len(self.prompts.parts.tokens(text)), required=False)

    def _name(self, names: list[str]) -> None:
        self.names, self.titles = names, self.prompts.titles(names)

    def _told(self, history: Interactions) -> Ragged:
        """Return the newest likes (B rows) that have a name."""
        return self._named(history).last(self.config.length).items

    def _named(self, log: Interactions) -> Interactions:
        """Return the likes of items that have a name."""
        liked = log.liked()
        named = np.array([bool(name) for name in self.names])
        return liked.where(named[liked.item_rows])

    def _lists(self, log: Interactions, run: RunContext) -> tuple[Interactions, NDArray[np.int32]]:
        """Return histories, one of each of some users, and what came next in them."""
        cut = windows(log, self.config.length)
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
