"""A language model re-ranks what another model has found, by yes or no or by how likely it would name it.

Shapes: B queries, I items, C candidates of a query.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from genre.core.errors import ModelError
from genre.core.interactions import Interactions
from genre.core.queries import NO_ITEM, Candidates, Queries, Recommendations
from genre.core.ragged import Ragged
from genre.core.run import RunContext
from genre.data.dataset import Dataset, Entities
from genre.data.sequences import windows
from genre.features.text import TextConfig, item_texts
from genre.language.local import LocalGeneratorConfig
from genre.language.smollm import SmolLmConfig
from genre.language.tuning import TuningConfig
from genre.recommenders.base import DataSize, Estimate, Recommender, RecommenderConfig, State
from genre.recommenders.growth import grown
from genre.recommenders.members import named_members
from genre.recommenders.trained import curve_of
from genre.training.config import TrainingConfig
from genre.training.protection_config import ProtectionConfig

if TYPE_CHECKING:
    from genre.language.decoding import LoadedModel
    from genre.language.tuning import TunedModel
    from genre.recommenders.candidate_reader import CandidateReader, Prompts
    from genre.training.loop import Protection
    from genre.training.ranked_lists import RankedList, RankedLists

LanguageModel = Annotated[SmolLmConfig | LocalGeneratorConfig, Field(discriminator="kind")]
_LEARNED = "language."
_PARAMETERS, _TOKEN_SECONDS = 135_000_000, 4e-10
"""Weights of the embedded model, and seconds of one weight for one token on two cores, for the estimate."""


class LlmRankerConfig(RecommenderConfig):
    """Settings of `llm_ranker`."""

    extra: ClassVar[str | None] = "torch"
    kind: Literal["llm_ranker"] = "llm_ranker"
    retriever: str
    """The model whose answers are put into another order, by its name."""
    base: LanguageModel = SmolLmConfig()
    """The language model that judges."""
    judgement: Literal["yes_no", "likelihood"] = "yes_no"
    """By how much it would rather say yes than no to each candidate, or by how likely it would say the title."""
    language: Literal["en", "zh"] = "en"
    """Of the words around the titles."""
    text: TextConfig = TextConfig()
    """Which columns name an item, the most important first."""
    title_tokens: int = Field(default=16, ge=2)
    """Tokens of a title at most."""
    length: int = Field(default=10, ge=1)
    """Newest likes of a history that are told."""
    num_candidates: int = Field(default=50, ge=2)
    """First answers of the retriever that are judged; those behind keep their order."""
    num_negatives: int = Field(default=7, ge=1)
    """Other answers of the retriever that what came next is compared with in training."""
    max_lists: int = Field(default=2000, ge=1)
    """Histories that are learned from in an epoch: more take longer, and a ranker learns its task from few."""
    tuning: TuningConfig = TuningConfig()
    """What learns of the language model. `frozen` judges without having learned anything."""
    protect: ProtectionConfig = ProtectionConfig()
    """What keeps it able to write."""
    training: TrainingConfig = TrainingConfig(
        epochs=1, batch_size=8, learning_rate=3e-4, precision="bf16", clip_norm=1.0, warm_up_steps=10
    )

    @property
    def member_names(self) -> tuple[str, ...]:
        """The retriever."""
        return (self.retriever,)

    @property
    def learns_from_validation(self) -> bool:
        """It weighs nothing on the validation questions."""
        return False

    def check_installed(self) -> None:
        """Make sure that the language model's and the tuning's libraries are there.

        Raises:
            DependencyError: One of them is not.
        """
        super().check_installed()
        self.base.check_installed()
        self.tuning.check_installed()

    def build(self, members: Mapping[str, Recommender]) -> LlmRanker:
        """Return the unfitted component."""
        return LlmRanker(self, named_members((self.retriever,), members, "llm_ranker")[self.retriever])

    def estimate(self, size: DataSize) -> Estimate:
        """The language model in float32, and its passes over the lists."""
        kept = 16 if self.tuning.method == "full" else 5
        tokens = min(size.num_users, self.max_lists) * self.title_tokens * (self.length + 2 * self.num_negatives)
        return Estimate(
            memory=kept * _PARAMETERS + 64 * size.num_items + (1 << 30),
            seconds=1e-6 * size.num_events + self.training.epochs * tokens * _PARAMETERS * _TOKEN_SECONDS * 6,
        )


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
    tuned: TunedModel
    """The language model, and what learns of it."""
    loaded: LoadedModel
    """The same with its tokenizer."""
    base_key: str
    """Which language model it is."""

    def __init__(self, config: LlmRankerConfig, retriever: Recommender) -> None:
        """Keep the settings, and the fitted retriever."""
        self.config, self.retriever = config, retriever

    def fit(self, data: Dataset, run: RunContext) -> Self:
        """Learn from the retriever's answers to histories, unless the language model is frozen.

        Raises:
            ConfigError: The language model has no layers of the names in `tuning.modules`.
            DataError: The items have no text.
            DependencyError: The language model is not there.
            ModelError: The loss is not a number.
        """
        import torch

        from genre.training.loop import train

        config = self.config
        lists, targets = self._lists(data, run)
        with torch.random.fork_rng():
            torch.manual_seed(int(run.rng("llm_ranker").integers(2**63)))
            self._load_base(run, config.training.epochs * -(-len(lists) // config.training.batch_size))
        self._name(item_texts(data.items, config.text))
        self.curve = np.empty((0, 2))
        if config.tuning.method == "frozen" or not len(lists):
            return self
        trained = train(
            self.reader,
            self._objective(lists, targets, run),
            config.training,
            name="llm_ranker",
            seed=run.seed,
            protections=self._protections(data),
            directory=run.directory,
            about={"model": config.model_dump(mode="json"), "data": data.fingerprint(), "base": self.base_key},
            progress=run.progress,
        )
        self.curve = curve_of(trained)
        return self

    def recommend(self, queries: Queries, n: int, *, candidates: Candidates | None = None) -> Recommendations:
        """Return the retriever's first answers in the model's order, and its others behind them.

        Somebody of whom no like with a name is known gets the retriever's own order.
        """
        import torch

        config = self.config
        found = self.retriever.recommend(queries, max(n, config.num_candidates), candidates=candidates)
        histories, device = self._told(queries.history), self.loaded.model.device.type
        for query in range(len(queries)):
            liked = histories[query]
            rows = found.item_rows[query, : config.num_candidates]
            rows = rows[rows != NO_ITEM]
            if not len(liked) or len(rows) < 2:
                continue
            beginning, after = self.prompts.beginning([self.names[row] for row in liked])
            with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=self._in_bf16):
                scores = self.reader.ranked(beginning, [[*self.titles[row], *after] for row in rows]).float()
            judged = scores.cpu().numpy()
            order = np.argsort(-judged, kind="stable")
            for values in (found.item_rows, found.sources):
                values[query, : len(rows)] = values[query, order]
            found.scores[query, : len(rows)] = judged[order]
            # Those behind were not judged: their scores go on falling from the last one.
            behind = np.flatnonzero(found.item_rows[query, len(rows) :] != NO_ITEM)
            found.scores[query, len(rows) + behind] = judged[order[-1]] - 1 - behind
        return found.first(n)

    def index(self, items: Entities, run: RunContext) -> Self:
        """Return a model that knows the new items too, as far as the retriever finds them."""
        model = copy(self)
        model.retriever = grown(self.retriever, items, len(self.names), run)
        model._name(item_texts(items, self.config.text, required=False))
        return model

    def valid_answers(self, queries: Queries) -> NDArray[np.bool_]:
        """Return for each query (B,) whether what the model would say of the retriever's first answer is yes or no.

        It may say anything: of one that was not taught, the order by yes and no means little where this is seldom true.
        """
        import torch

        first = self.retriever.recommend(queries, 1).item_rows[:, 0]
        histories, valid = self._told(queries.history), np.zeros(len(queries), bool)
        for query, row in enumerate(first):
            if row != NO_ITEM and len(histories[query]):
                beginning, after = self.prompts.beginning([self.names[liked] for liked in histories[query]])
                with torch.inference_mode():
                    valid[query] = self.reader.valid_answer(beginning, [*self.titles[row], *after])
        return valid

    def writer(self) -> LoadedModel:
        """Return the language model that writes, with what it has learned here."""
        from genre.language.decoding import LoadedModel

        model = self.tuned.language if self.config.tuning.method == "prefix" else self.tuned.causal
        return LoadedModel(model.eval(), self.loaded.tokenizer, self.loaded.context)

    def state(self) -> State:
        """Return what the language model learned, which one it was, and what items are called."""
        learned = {_LEARNED + name: value for name, value in self.tuned.state().items()}
        names = "\n".join(name.replace("\n", " ") for name in self.names).encode("utf-8", "replace")
        parts = {"names": np.frombuffer(names, np.uint8), "base": np.frombuffer(self.base_key.encode(), np.uint8)}
        return {**learned, **parts, "curve": self.curve}

    def restore(self, state: State) -> None:
        """Take all of it back.

        Raises:
            DependencyError: The language model is not there.
            ModelError: It is not the one that this was learned with.
        """
        self._load_base(RunContext(), 0)
        before = bytes(state["base"]).decode()
        if before != self.base_key:
            raise ModelError(
                f"the language model is {self.base_key!r}, and this was learned with {before!r}",
                place="llm_ranker.base",
                remedy="Put the language model of that time back, or fit the model anew.",
            )
        self.tuned.restore({name.removeprefix(_LEARNED): part for name, part in state.items() if _LEARNED in name})
        self.curve = state["curve"]
        self._name(bytes(state["names"]).decode().split("\n"))

    @property
    def _in_bf16(self) -> bool:
        return self.config.training.precision == "bf16"

    def _load_base(self, run: RunContext, total_steps: int) -> None:
        """Load the language model, and open what learns."""
        from genre.language.tuning import TunedModel
        from genre.recommenders.candidate_reader import CandidateReader, Prompts

        config = self.config
        generator = config.base.model_copy(update={"precision": "fp32"}).build()
        self.base_key, self.loaded = generator.key, generator.load(run.progress)
        self.tuned = TunedModel(self.loaded.model, config.tuning, total_steps=total_steps)
        self.prompts = Prompts(self.loaded.tokenizer, config.judgement, config.language, config.title_tokens)
        self.reader = CandidateReader(self.tuned, config.judgement, self.prompts.yes, self.prompts.no).eval()

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

    def _protections(self, data: Dataset) -> list[Protection]:
        """Return what is added to the loss."""
        from genre.training.protections import AdaptiveRanks, protections_of

        found: list[Protection] = [AdaptiveRanks(self.tuned)] if self.config.tuning.method == "adalora" else []
        if self.config.protect.is_on:
            catalogue = [name for name in self.names if name]
            found += protections_of(self.config.protect, self.tuned, self.loaded.tokenizer, catalogue)
        return found
