"""Tokens that a causal language model did not have: rows behind those of its embedding, and nothing else of it moves.

Shapes: V tokens that the model came with, K new ones, N rows of them, H numbers of a hidden state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

ROWS = "trainable_tokens_delta"
"""What peft calls the rows that learn."""


class NewTokens:
    """K tokens that a model reads beside its own, and that can be compared with what it has in mind.

    The embedding is longer by them; what gives logits is not. So the model writes with the V tokens that it came with,
    whatever the new ones have learned: none can appear in a text, and the logits are those of a product of the same
    shape, bit for bit. How probable a new token is, whoever uses it works out from a hidden state h:
    ``logit_k = h . said_k``. Where the base reads and says its tokens by the same rows (tied), a new one has one row
    for both; elsewhere the rows by which new tokens are said stand behind those by which they are read.

    A row begins like a token's: normal numbers with the mean and the variance that the old rows have in each column
    (Hewitt: Initializing New Word Embeddings for Pretrained Language Models, 2021), so that the model is told nothing
    of a kind that it has never seen, and no two are alike. Whoever knows what they mean may write better ones.
    """

    rows: nn.Parameter
    """(N, H) what learns, once `found_in` has seen it: N is K where the base is tied, 2 K elsewhere."""

    def __init__(self, model: Any, count: int) -> None:
        """Make the embedding longer, in place; the old rows are copied as they are.

        Args:
            model: A causal language model of `transformers`.
            count: K.
        """
        import torch
        from torch import nn

        embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
        self.count, self.first = count, int(embedding.weight.shape[0])
        self.tied = tied = head.weight is embedding.weight
        """Whether they are read and said by the same rows."""
        self.scale = float(getattr(embedding, "embed_scale", 1.0))
        """What the embedding multiplies its rows by; other than 1 in models of the Gemma family."""
        with torch.no_grad():
            tables = (embedding.weight,) if tied else (embedding.weight, head.weight)
            longer = torch.cat([embedding.weight, *(_alike(table, count) for table in tables)])
        embedding.weight = nn.Parameter(longer, requires_grad=False)
        embedding.num_embeddings = len(longer)
        self.indices = list(range(self.first, len(longer)))
        """Tokens that the rows belong to."""
        self.module = next(name for name, part in model.named_modules() if part is embedding).rpartition(".")[2]
        """Last name of the embedding."""
        if tied:  # The same memory, but no longer the same rows: peft would make the head longer too.
            head.weight = nn.Parameter(longer[: self.first], requires_grad=False)
            model.config.get_text_config(decoder=True).tie_word_embeddings = False
            model.config.tie_word_embeddings = False

    def found_in(self, language: nn.Module) -> NewTokens:
        """Remember the rows that peft has put beside the embedding, and have tokens looked up one by one.

        peft copies the whole table at every pass to put the rows in: in SmolLM2 as much work again as writing a token.
        """
        from peft.tuners.trainable_tokens import TrainableTokensLayer
        from torch.nn import functional

        layer: Any = next(part for part in language.modules() if isinstance(part, TrainableTokensLayer))
        (self.rows,) = layer.trainable_tokens_delta.values()
        old = layer.base_layer

        def look_up(tokens: Tensor, adapters: Any, *args: Any, **options: Any) -> Tensor:
            found: Tensor = old(tokens, *args, **options)
            if layer.disable_adapters or not adapters:
                return found
            new = functional.embedding((tokens - self.first).clamp(min=0), self.rows) * self.scale
            return new.where((tokens >= self.first)[..., None], found)

        layer.forward_adapters = look_up
        return self

    @property
    def read(self) -> Tensor:
        """(K, H) by which new tokens are read, as the first layer sees them."""
        return self.rows[: self.count] * self.scale

    @property
    def said(self) -> Tensor:
        """(K, H) by which new tokens are said."""
        return self.rows[-self.count :]


def _alike(table: Tensor, count: int) -> Tensor:
    """Return rows (count, H) that look like those of a table (V, H)."""
    import torch

    noise = torch.randn(count, table.shape[1], device=table.device).to(table.dtype)
    return table.mean(0) + table.std(0) * noise
