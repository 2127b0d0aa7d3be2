"""A language model judges the candidates of one user, all behind the same beginning: the network of `llm_ranker`.

Needs torch. Shapes: C candidates, L tokens of a row, H numbers of a hidden state, V tokens of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from genre.language.base import Prompt
from genre.language.local import chat_text
from genre.language.texts import without_control
from genre.language.tuning import TunedModel

Judgement: TypeAlias = Literal["yes_no", "likelihood"]
Tokens: TypeAlias = list[int]
PLACE = "\ufffc"
"""Stands where a candidate's title goes: the character for an object that is put in later."""
_AT_ONCE = 1024
"""Tokens of candidates that are read together behind one beginning."""


@dataclass(frozen=True)
class Wording:
    """What the model is asked, in one language."""

    liked: str
    yes_no: str
    likelihood: str
    yes: str
    no: str
    examples: str
    """What stands before examples."""
    now: str
    """What stands between them and the question."""


WORDINGS = {
    "en": Wording(
        liked="Somebody liked these, the newest last:\n{titles}\n\n",
        yes_no="Would they like this one too?\n- " + PLACE + "\nAnswer Yes or No.",
        likelihood="Name the next one that they will like. Answer with its title alone.",
        yes="Yes",
        no="No",
        examples="Here are some examples.\n\n",
        now="Now somebody else.\n\n",
    ),
    "zh": Wording(
        liked="有人喜欢下面这些，越往后越新：\n{titles}\n\n",
        yes_no="这个人也会喜欢下面这个吗？\n- " + PLACE + "\n请回答是或否。",
        likelihood="说出这个人接下来会喜欢的一个，只写名称。",
        yes="是",
        no="否",
        examples="下面是几个例子。\n\n",
        now="下面是另一个人。\n\n",
    ),
}


@dataclass(frozen=True)
class Example:
    """What somebody liked, and whether they liked one more."""

    liked: tuple[str, ...]
    """Titles, the newest last."""
    title: str
    """Of the one more; what a model that is asked to name one should have named."""
    fits: bool = True
    """Whether they liked it."""


class PromptParts:
    """A prompt as tokens, in two parts: before and behind what is put in later."""

    def __init__(self, tokenizer: Any) -> None:
        """Take the model's tokenizer."""
        self.tokenizer = tokenizer

    def around(self, prompt: str) -> tuple[Tokens, Tokens]:
        """Return the tokens of a chat before `PLACE` in the prompt, and those behind it."""
        before, *after = self.pieces(prompt)
        return before, after[0] if after else []

    def pieces(self, prompt: str) -> list[Tokens]:
        """Return the tokens of a chat before, between and behind all the places in the prompt."""
        first, *others = chat_text(self.tokenizer, Prompt(prompt)).split(PLACE)
        has_template, mark = bool(self.tokenizer.chat_template), self.tokenizer.bos_token_id
        begin = [] if has_template or mark is None else [mark]
        return [[*begin, *self.tokens(first)], *map(self.tokens, others)]

    def plain(self, text: str) -> str:
        """Return a text without what would be taken for a control token, or for the place."""
        return without_control(text, self.tokenizer.all_special_tokens).replace(PLACE, " ")

    def tokens(self, text: str) -> Tokens:
        """Return a text as tokens."""
        found: Tokens = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"] if text else []
        return found


class Prompts:
    """Histories and candidates as tokens: what is the same for all users comes first, then what is for all candidates.

    Examples are read as a beginning of their own, and so are the same tokens before every history.
    """

    def __init__(
        self, tokenizer: Any, judgement: Judgement, language: str, most: int, examples: Sequence[Example] = ()
    ) -> None:
        """Keep the words.

        Args:
            tokenizer: Of the model.
            judgement: Whether the model says yes or no, or is asked how likely it would say the title.
            language: Of the words around the titles.
            most: Tokens of a title.
            examples: What was asked before, with the answers.
        """
        self.parts, self.judgement, self.words, self.most = PromptParts(tokenizer), judgement, WORDINGS[language], most
        self.yes, self.no = (self.parts.tokens(word)[0] for word in (self.words.yes, self.words.no))
        self._examples = ""
        if examples:
            self._examples = "".join([self.words.examples, *map(self._told, examples), self.words.now, PLACE])
        self.shared: Tokens = self.parts.pieces(self._examples + "?")[0] if examples else []
        """What every beginning begins with: the examples, if there are any."""

    def titles(self, texts: Sequence[str]) -> list[Tokens]:
        """Return each title as tokens, control tokens in it broken up; a dash for an item without one."""
        parts = self.parts
        return [parts.tokens(parts.plain(text) or "-")[: self.most] for text in texts]

    def beginning(self, titles: Sequence[str]) -> tuple[Tokens, Tokens]:
        """Return the tokens before a candidate, and those behind it."""
        asked = self._liked(titles) + (self.words.yes_no if self.judgement == "yes_no" else self.words.likelihood)
        if not self.shared:
            return self.parts.around(asked)
        head, before, *after = self.parts.pieces(self._examples + asked)
        return [*head, *before], after[0] if after else []

    def longest(self, length: int) -> int:
        """Return the tokens at most of a question about one candidate, without examples, of so many liked titles."""
        around = sum(map(len, self.parts.around(self._liked([]) + self.words.yes_no + self.words.likelihood)))
        return around + length * (self.most + len(self.parts.tokens("- \n"))) + self.most

    def _liked(self, titles: Sequence[str]) -> str:
        return self.words.liked.format(titles="\n".join(f"- {self.parts.plain(title)}" for title in titles))

    def _told(self, example: Example) -> str:
        """Return an example as it was asked, and its answer."""
        title = self.parts.plain(example.title)
        if self.judgement == "likelihood":
            asked, answer = self.words.likelihood, title
        else:
            asked, answer = self.words.yes_no.replace(PLACE, title), self.words.yes if example.fits else self.words.no
        return f"{self._liked(example.liked)}{asked}\n{answer}\n\n"


@dataclass(frozen=True, eq=False)
class Remembered:
    """The keys and values of what several beginnings begin with."""

    tokens: Tokens
    cache: Any


class SharedBeginning(nn.Module):
    """Reads candidates behind one beginning, from one pass over the beginning; a subclass says what it makes of them.

    The row is ``beginning, candidate 1, candidate 2, ...``; a candidate sees the beginning and itself, and its places
    are counted on from the beginning's, so that each is read as if it stood there alone.
    """

    def __init__(self, tuned: TunedModel) -> None:
        """Take the model."""
        super().__init__()
        self.tuned = tuned
        self.language = tuned.language

    def together(self, beginning: Tokens, candidates: Sequence[Tokens]) -> Tensor:
        """Return (C, ...) what is made of the candidates, all in one row: this is what learns."""
        row = [*beginning, *(token for candidate in candidates for token in candidate)]
        owners = self._owners([0] * len(beginning), candidates)
        visible = _tree(owners)
        hidden = self._hidden(row, visible, _places(owners, len(beginning)))
        return self._scores(hidden[len(beginning) - 1], hidden[len(beginning) :], candidates)

    def remembered(self, tokens: Tokens) -> Remembered:
        """Read what several beginnings begin with."""
        cache = self.tuned.new_cache()
        owners = self._owners([0] * len(tokens), [])
        self._hidden(tokens, _tree(owners), _places(owners, 0), cache)
        return Remembered(tokens, cache)

    def ranked(self, beginning: Tokens, candidates: Sequence[Tokens], *, shared: Remembered | None = None) -> Tensor:
        """Return the same; keys and values of the beginning are worked out once, and candidates follow in parts.

        Args:
            beginning: What stands before all candidates.
            candidates: Their tokens.
            shared: What the beginning begins with, if it was read already; it is left as it was.
        """
        read, cache = ([], self.tuned.new_cache()) if shared is None else (shared.tokens, shared.cache)
        before, rest = cache.get_seq_length(), beginning[len(read) :]
        owners = self._owners([0] * len(rest), [])
        last = self._hidden(rest, _tree(owners), _places(owners, 0) + len(read), cache)[-1]
        held, found = cache.get_seq_length(), []
        start = 0
        while start < len(candidates):
            stop, count = start, 0
            while stop < len(candidates) and (stop == start or count + len(candidates[stop]) <= _AT_ONCE):
                count += len(candidates[stop])
                stop += 1
            part = candidates[start:stop]
            owners = self._owners([], part)
            row = [token for candidate in part for token in candidate]
            places = _places(owners, 0) + len(beginning)
            found.append(self._scores(last, self._hidden(row, _tree(owners), places, cache), part))
            cache.crop(held - cache.get_seq_length())
            start = stop
        if shared is not None:
            cache.crop(before - held)
        return torch.cat(found) if found else last.new_zeros(0)

    def layer_of(self, name: str) -> int | None:
        """Return how many layers lie between a weight and the output."""
        return self.tuned.layer_of(name)

    def _scores(self, last: Tensor, hidden: Tensor, candidates: Sequence[Tokens]) -> Tensor:
        """Return (C, ...) from the hidden states of the beginning's last token and of all candidates' tokens."""
        raise TypeError(f"{type(self).__name__} must say what it makes of candidates")

    @property
    def _device(self) -> torch.device:
        device: torch.device = self.tuned.causal.get_input_embeddings().weight.device
        return device

    def _owners(self, begin: list[int], candidates: Sequence[Tokens]) -> Tensor:
        """Return the owners (L,) of the tokens, 0 for the beginning and k for candidate k."""
        owners = [number for number, candidate in enumerate(candidates, 1) for _ in candidate]
        return torch.tensor([*begin, *owners], device=self._device)

    def _hidden(self, row: Tokens, visible: Tensor, places: Tensor, cache: Any = None) -> Tensor:
        """Return (L, H)."""
        inputs = self.tuned.causal.get_input_embeddings()(torch.tensor([row], device=self._device))
        return self.tuned.hidden(inputs, visible[None], places[None], cache)[0]


class CandidateReader(SharedBeginning):
    """Scores of candidates.

    ``yes_no``: the logit of "Yes" less that of "No". ``likelihood``: the mean log-probability of the title's tokens.
    """

    def __init__(self, tuned: TunedModel, judgement: Judgement, yes: int, no: int) -> None:
        """Take the model, and the tokens that stand for yes and no."""
        super().__init__(tuned)
        self.judgement, self.yes, self.no = judgement, yes, no

    def forward(self, beginning: Tokens, candidates: Sequence[Tokens]) -> Tensor:
        """Return (C,) scores, all in one row."""
        return self.together(beginning, candidates)

    def valid_answer(self, beginning: Tokens, candidate: Tokens) -> bool:
        """Return whether the likeliest answer of all is one of the two that were asked for."""
        row = [*beginning, *candidate]
        owners = self._owners([0] * len(row), [])
        hidden = self._hidden(row, _tree(owners), _places(owners, len(row)))
        return int((hidden[-1] @ self._head.T).argmax()) in (self.yes, self.no)

    @property
    def _head(self) -> Tensor:
        """What turns a hidden state into logits (V, H)."""
        weight: Tensor = self.tuned.causal.get_output_embeddings().weight
        return weight

    def _scores(self, last: Tensor, hidden: Tensor, candidates: Sequence[Tokens]) -> Tensor:
        """Return (C,) scores from the hidden states of the beginning's last token and of all candidates' tokens."""
        lengths = torch.tensor([len(candidate) for candidate in candidates], device=hidden.device)
        ends = lengths.cumsum(0)
        if self.judgement == "yes_no":
            direction = self._head[self.yes] - self._head[self.no]
            return (hidden[ends - 1] @ direction).float()
        # What is expected at a token is known at the token before: for the first, at the end of the beginning.
        said = torch.tensor([token for candidate in candidates for token in candidate], device=hidden.device)
        before = torch.cat([last[None], hidden[:-1]])
        before = before.index_copy(0, ends - lengths, last.expand(len(lengths), -1))
        chances = (before @ self._head.T).float().log_softmax(-1)
        each = chances.gather(1, said[:, None]).squeeze(1)
        owner = torch.repeat_interleave(torch.arange(len(lengths), device=hidden.device), lengths)
        sums = torch.zeros(len(lengths), device=hidden.device).index_add(0, owner, each)
        return sums / lengths


def _tree(owners: Tensor) -> Tensor:
    """Return (L, L) whether a token sees another: its own candidate's earlier ones, and the beginning's."""
    same = owners[:, None] == owners[None, :]
    return (same | (owners == 0)[None, :]).tril()


def _places(owners: Tensor, begin: int) -> Tensor:
    """Return (L,) places of tokens, each candidate's counted from `begin` on."""
    at = torch.arange(len(owners), device=owners.device)
    first = torch.ones_like(owners, dtype=torch.bool)
    first[1:] = owners[1:] != owners[:-1]
    within = at - torch.where(first, at, 0).cummax(0).values
    return torch.where(owners == 0, within, within + begin)
