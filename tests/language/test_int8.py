"""Linear layers in 8 bits: the sums of whole numbers, times both scales."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from genre.language._int8 import Int8Linear, has_int8, quantise, rounded

pytestmark = pytest.mark.skipif(not has_int8(), reason="no int8 here")


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("sizes", [(384, 96), (33, 7)])
def test_it_is_the_product_of_whole_numbers(bias: bool, dtype: torch.dtype, sizes: tuple[int, int]) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(*sizes, bias=bias)).requires_grad_(False)
    (linear,) = model
    quantise(model)
    assert isinstance(model[0], Int8Linear)
    inputs = (torch.randn(2, 5, sizes[0]) * torch.logspace(-3, 3, 5)[:, None]).to(dtype)
    inputs[0, 0] = 0
    rows, steps = rounded(inputs.float().flatten(0, 1))
    weight, scale = rounded(linear.weight)
    expected = (rows.long() @ weight.long().T).double() * steps * scale.T
    expected = expected if linear.bias is None else expected + linear.bias
    found = model(inputs)
    assert (found.dtype, found.shape) == (dtype, (2, 5, sizes[1]))
    tolerance = 1e-5 if dtype == torch.float32 else 1e-2
    torch.testing.assert_close(found.double(), expected.view(2, 5, -1), rtol=tolerance, atol=tolerance)


def test_a_row_does_not_depend_on_those_beside_it() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 16)).requires_grad_(False)
    quantise(model)
    rows = torch.randn(40, 64)
    together = model(rows)
    torch.testing.assert_close(torch.cat([model(row[None]) for row in rows]), together, rtol=0, atol=0)
