"""A transformer reads a user's text and an item's together, and a head says which class the pair is of. Needs torch.

Shapes: N pairs, C classes, L tokens, H numbers of a hidden state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from genre.language.texts import without_control
from genre.language.tuned_encoder import TunedEncoder
from genre.recommenders.candidate_reader import PLACE, PromptParts, SharedBeginning, Tokens
from genre.recommenders.classifier_heads import LinearHeadConfig, MlpHeadConfig
from genre.recommenders.learning_language import LearningLanguage

_WORDS = {
    "en": "What somebody likes, the newest last:\n{user}\n\nHow would they like this one?\n" + PLACE,
    "zh": "某人喜欢的，越往后越新：\n{user}\n\n这个人会喜欢下面这个吗？\n" + PLACE,
}
_AT_ONCE = 64
"""Pairs that an encoder reads together to answer."""


@dataclass(frozen=True)
class Group:
    """Somebody, and items."""

    user: str
    items: list[str]


def head_of(config: LinearHeadConfig | MlpHeadConfig, size: int, num_classes: int) -> nn.Module:
    """Return what makes logits (N, C) of numbers (N, size). It begins with no opinion."""
    last = nn.Linear(config.hidden if isinstance(config, MlpHeadConfig) else size, num_classes)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    if isinstance(config, LinearHeadConfig):
        return last
    return nn.Sequential(nn.Linear(size, config.hidden), nn.GELU(), nn.Dropout(config.dropout), last)


class LanguagePairReader(SharedBeginning):
    """``z = head(h)``, h what a causal language model has in mind at the end of a pair's prompt.

    Everything but the item comes first and is read once for all items of a user (see `SharedBeginning`).
    """

    def __init__(self, language: LearningLanguage, head: nn.Module, words: str, most: int) -> None:
        """Put a head on a language model.

        Args:
            language: The model and its tokenizer.
            head: From `head_of`.
            words: Language of the words around the texts.
            most: Tokens of an item's text at most.
        """
        super().__init__(language.tuned)
        self.head, self.words, self.most = head, _WORDS[words], most
        self.parts = PromptParts(language.loaded.tokenizer)

    @property
    def width(self) -> int:
        """Tokens that the prompt takes without the two texts."""
        begin, end = self._around("")
        return len(begin) + len(end)

    def forward(self, groups: Sequence[Group]) -> Tensor:
        """Return logits (N, C) of all items of the groups: this is what learns."""
        return torch.cat([self.together(*self._read(group)) for group in groups])

    def judged(self, group: Group) -> Tensor:
        """Return the same for one group, in less memory."""
        return self.ranked(*self._read(group))

    def _scores(self, last: Tensor, hidden: Tensor, candidates: Sequence[Tokens]) -> Tensor:
        ends = torch.tensor([len(candidate) for candidate in candidates], device=hidden.device).cumsum(0)
        logits: Tensor = self.head(hidden[ends - 1].float())
        return logits

    def _read(self, group: Group) -> tuple[Tokens, list[Tokens]]:
        begin, end = self._around(group.user)
        return begin, [[*self.parts.tokens(self.parts.plain(text))[: self.most], *end] for text in group.items]

    def _around(self, user: str) -> tuple[Tokens, Tokens]:
        """Return the tokens before an item's text, and those behind it."""
        return self.parts.around(self.words.replace("{user}", self.parts.plain(user)))


class EncoderPairReader(nn.Module):
    """``z = head(mean of h)``, h the hidden states of an encoder that reads both texts in one row.

    Nogueira, Cho: Passage Re-ranking with BERT. arXiv 1901.04085.
    """

    def __init__(self, encoder: TunedEncoder, head: nn.Module, most: int) -> None:
        """Put a head on an encoder that reads at most so many tokens of an item."""
        super().__init__()
        self.encoder, self.head, self.most = encoder, head, most
        self.body = encoder.body

    def forward(self, groups: Sequence[Group]) -> Tensor:
        """Return logits (N, C) of all items of the groups."""
        special = self.encoder.tokenizer.all_special_tokens
        rows = []
        for group in groups:
            user = self.encoder.tokens(without_control(group.user, special))
            items = (self.encoder.tokens(without_control(text, special))[: self.most] for text in group.items)
            rows += [(user, item) for item in items]
        hidden, there = self.encoder.hidden(rows)
        shares = there[:, :, None].to(hidden.dtype)
        logits: Tensor = self.head((hidden * shares).sum(1) / shares.sum(1))
        return logits

    def judged(self, group: Group) -> Tensor:
        """Return the same for one group, in less memory."""
        parts = [group.items[start : start + _AT_ONCE] for start in range(0, len(group.items), _AT_ONCE)]
        return torch.cat([self([Group(group.user, part)]) for part in parts])

    def layer_of(self, name: str) -> int | None:
        """Return how many layers lie between a weight and the output."""
        return self.encoder.layer_of(name)
