"""The network of `sasrec`: packing changes nothing, and nothing looks ahead."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from genre.core.interactions import Interactions
from genre.core.ragged import Ragged
from genre.recommenders.item_vectors import ItemVectors
from genre.recommenders.transformer import Transformer
from genre.training.packing import Packed

VARIANTS = [
    {},
    {"num_heads": 2},
    {"block": "ligr"},
    {"time_aware": True},
    {"temperature": 0.1},
    {"block": "ligr", "time_aware": True, "num_heads": 4},
]


def network(**settings: object) -> Transformer:
    torch.manual_seed(0)
    base = {"num_blocks": 2, "num_heads": 1, "length": 6, "dropout": 0.5}
    model = Transformer(ItemVectors(20, 8), **{**base, **settings}).eval()
    if model.time_bias is not None:
        torch.nn.init.normal_(model.time_bias.weight)  # It starts at 0, where it would not be seen.
    return model


def read(model: Transformer, rows: list[list[int]], times: list[int] | None = None) -> list[Tensor]:
    """Return what the model says after each event of each row."""
    items = Ragged.of(rows)
    clock = np.arange(len(items.values)) * 86_400 if times is None else np.array(times)
    packed = Packed.of(Interactions.of(items, clock), 6)
    with torch.no_grad():
        flat = model(packed, model.item_vectors()).flatten(0, 1)[packed.places]
    return list(flat.split(items.lengths.tolist()))


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_a_history_is_read_alike_alone_and_packed(settings: dict[str, object]) -> None:
    model = network(**settings)
    rows = [[1, 2, 3], [4], [5, 6, 7, 8, 9], [10, 11]]
    together = read(model, rows)
    for row, found in zip(rows, together, strict=True):
        torch.testing.assert_close(read(model, [row])[0], found, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_nothing_looks_ahead(settings: dict[str, object]) -> None:
    model = network(**settings)
    first, second = read(model, [[1, 2, 3, 4]])[0], read(model, [[1, 2, 3, 9]])[0]
    torch.testing.assert_close(first[:3], second[:3])
    assert not torch.allclose(first[3], second[3])
    assert not torch.allclose(read(model, [[7, 2, 3, 4]])[0][3], first[3])


def test_order_matters() -> None:
    model = network()
    assert not torch.allclose(read(model, [[1, 2, 3]])[0][2], read(model, [[2, 1, 3]])[0][2])


def test_time_matters_only_if_told() -> None:
    rows, near, far = [[1, 2, 3]], [0, 10, 20], [0, 10, 90_000_000]
    plain, aware = network(), network(time_aware=True)
    torch.testing.assert_close(read(plain, rows, near)[0], read(plain, rows, far)[0])
    assert not torch.allclose(read(aware, rows, near)[0][2], read(aware, rows, far)[0][2])


def test_layers_are_counted_from_the_output() -> None:
    items = ItemVectors(3, 4, torch.zeros(3, 5), hidden=6)
    network = Transformer(items, num_blocks=2, num_heads=1, length=3, dropout=0.0, time_aware=True)
    found = {name: network.layer_of(name) for name in network.state_dict()}
    layers = {"norm.": 0, "blocks.1.": 0, "blocks.0.": 1, "positions.": 2, "time_bias.": 2, "items.read.": 2}
    for name, layer in found.items():
        assert [layer] == [value for start, value in (layers | {"items.own.": None}).items() if name.startswith(start)]


def test_with_a_temperature_scores_are_cosines() -> None:
    model = network(temperature=0.2)
    scores = read(model, [[1, 2, 3]])[0] @ model.targets(model.item_vectors()).T
    assert scores.abs().max() <= 5.0 + 1e-5
    torch.testing.assert_close(model.targets(model.item_vectors()).norm(dim=1), torch.ones(20))


def test_the_classic_block_is_torchs_attention() -> None:
    """The block against torch's own multi-head attention with the same weights."""
    model = network(num_blocks=1, num_heads=2)
    block = model.blocks[0]
    theirs = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([block.attention.query.weight, block.attention.key_value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([block.attention.query.bias, block.attention.key_value.bias]))
        theirs.out_proj.load_state_dict(block.attention.out.state_dict())
        row = [3, 1, 4, 1, 5]
        x = model.items.own.weight[row] * 8**0.5 + model.positions.weight[[4, 3, 2, 1, 0]]
        query = block.first(x)
        ahead = torch.ones(5, 5).triu(1).bool()
        gathered = theirs(query[None], x[None], x[None], attn_mask=ahead, need_weights=False)[0][0]
        x = block.second(query + gathered)
        x = x + block.feed(x)
        torch.testing.assert_close(read(model, [row])[0], model.norm(x), rtol=1e-4, atol=1e-5)
