"""Matrices in few bits against the weights that they stand for, worked out plainly."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from genre.language import quantised
from genre.language.quantised import (
    Int4Matrix,
    Int8Matrix,
    Int8Table,
    best_grid,
    kernel_block,
    nearest,
    on_grid,
    packed,
    unpacked,
)
from genre.language.second_order import by_texts


def plain_weights(matrix: Int4Matrix) -> torch.Tensor:
    """Return what codes and grid stand for, one weight after the other."""
    codes, half = matrix.stored, 32
    found = torch.zeros(matrix.outputs, codes.shape[1])
    for row in range(matrix.outputs):
        block, within = divmod(row, 2 * half)
        for column in range(codes.shape[1]):
            byte = int(codes[block, column, within % half])
            whole = byte >> 4 if within >= half else byte & 15
            scale, middle = matrix.grid[column // 32, row].tolist()
            found[row, column] = (whole - 8) * scale + middle
    return found


@pytest.fixture(params=["kernel", "no kernel"])
def matrix(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[nn.Linear, Int4Matrix]:
    if request.param == "no kernel":
        monkeypatch.setattr(quantised, "kernel_block", lambda: None)
    elif kernel_block() is None:
        pytest.skip("torch has no kernel for this processor")
    torch.manual_seed(0)
    linear = nn.Linear(64, 70)
    return linear, Int4Matrix.of(linear.weight, linear.bias, nearest)


@pytest.mark.parametrize("rows", [1, 3, 100])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_4_bits_give_the_products_of_the_weights_that_they_stand_for(
    matrix: tuple[nn.Linear, Int4Matrix], rows: int, dtype: torch.dtype
) -> None:
    linear, short = matrix
    weights = plain_weights(short)
    torch.testing.assert_close(short.expanded(torch.float32), weights)
    # Half a step of the range of 32 weights at most, but for ends that are cut off; those are rare.
    assert ((weights - linear.weight).abs().max()) < 0.02
    inputs = torch.randn(2, rows, 64).to(dtype)
    expected = inputs.float() @ weights.T + linear.bias
    found = short(inputs)
    assert found.shape == (2, rows, 70)
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), expected, atol=0.02, rtol=0.02)


def test_in_float32_many_rows_are_exact(matrix: tuple[nn.Linear, Int4Matrix]) -> None:
    inputs = torch.randn(100, 64)
    linear, short = matrix
    expected = inputs @ plain_weights(short).T + linear.bias
    torch.testing.assert_close(short(inputs), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("block", [64, 32])
def test_what_is_packed_can_be_unpacked(block: int) -> None:
    whole = torch.randint(16, (192, 64))
    codes = packed(whole, block)
    assert codes.shape == (192 // block, 64, block // 2)
    assert torch.equal(unpacked(codes).long(), whole)


def test_the_other_block_is_repacked_for_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = torch.randn(128, 32)
    whole, grid = nearest(weight)
    codes = packed(whole, 64)
    expected = Int4Matrix(codes, grid, None, 128).expanded(torch.float32)
    monkeypatch.setattr(quantised, "kernel_block", lambda: 32)
    other = Int4Matrix(codes, grid, None, 128)
    assert other.codes.shape == (4, 32, 16)
    assert torch.equal(other.stored, codes)
    torch.testing.assert_close(other.expanded(torch.float32), expected)


def test_weights_on_a_grid_are_kept_as_they_are() -> None:
    grid = torch.tensor([[0.25, 1.0]]).expand(3, 2)
    whole = torch.stack([torch.arange(32) % 16] * 3).float()
    weight = (whole - 8) * 0.25 + 1.0
    found = best_grid(weight)
    torch.testing.assert_close(found, grid)
    assert torch.equal(on_grid(weight, found)[0], whole)


def test_a_group_of_zeros_stays_zero() -> None:
    short = Int4Matrix.of(torch.zeros(64, 32), None, nearest)
    assert torch.equal(short.expanded(torch.float32), torch.zeros(64, 32))


@pytest.mark.parametrize("rows", [1, 4, 5, 40])
@pytest.mark.parametrize("has_int8", [True, False])
def test_8_bits_are_within_a_step(rows: int, has_int8: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if has_int8 and not quantised.has_int8():
        pytest.skip("no int8 here")
    monkeypatch.setattr(quantised, "has_int8", lambda: has_int8)
    torch.manual_seed(1)
    linear = nn.Linear(48, 20)
    short = Int8Matrix.of(linear.weight, linear.bias)
    plain = short.weight.float() * short.scale[:, None]
    assert (plain - linear.weight).abs().max() <= short.scale.max() / 2 + 1e-7
    inputs = torch.randn(rows, 48)
    expected = inputs @ plain.T + linear.bias
    torch.testing.assert_close(short(inputs), expected, atol=0.03, rtol=0.02)
    if rows > 4 and not has_int8:
        torch.testing.assert_close(short(inputs), expected)


@pytest.mark.parametrize("inputs", [12, 16, 31, 32])
@pytest.mark.parametrize("outputs", [1, 2, 3, 5, 7, 9])
def test_8_bits_of_any_size(inputs: int, outputs: int) -> None:
    torch.manual_seed(inputs + outputs)
    short = Int8Matrix.of(torch.randn(outputs, inputs))
    for rows in (1, 2, 3, 4, 6):
        given = torch.randn(rows, inputs)
        expected = given @ short.expanded(torch.float32).T
        assert (short(given) - expected).norm() < 0.05 * expected.norm() + 0.05


def test_matrices_from_within_a_file_are_put_where_kernels_can_read_them() -> None:
    weight = Int8Matrix.of(torch.randn(266, 32)).weight
    buffer = torch.zeros(266 * 32 + 64, dtype=torch.int8)
    moved = buffer[8 : 8 + 266 * 32].view(266, 32)
    moved.copy_(weight)
    short = Int8Matrix(moved, torch.ones(266))
    assert moved.data_ptr() % 64 != short.weight.data_ptr() % 64 == 0
    assert short(torch.randn(1, 32)).shape == (1, 266)  # It ends the process where they are not.


@pytest.mark.parametrize("offset", [1, 3, 8])
def test_inputs_may_lie_anywhere(offset: int) -> None:
    inputs = torch.randn(64 + 3 * 32).bfloat16()[offset : offset + 96].view(1, 3, 32)[:, -1:]
    for short in (Int8Matrix.of(torch.randn(70, 32)), Int4Matrix.of(torch.randn(70, 32), None, nearest)):
        expected = inputs.float() @ short.expanded(torch.float32).T
        torch.testing.assert_close(short(inputs).float(), expected, atol=0.1, rtol=0.02)


@pytest.mark.skipif(not quantised.has_int8(), reason="no int8 here")
def test_many_outputs_are_worked_out_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    short, inputs = Int8Matrix.of(torch.randn(700, 32)), torch.randn(9, 32)
    whole = short(inputs)
    monkeypatch.setattr(quantised, "_SUMS_AT_ONCE", 1)
    assert torch.equal(short(inputs), whole)
    assert whole.shape == (9, 700)


def test_a_table_gives_the_rows_that_are_scored() -> None:
    weight = torch.randn(10, 16)
    short = Int8Matrix.of(weight)
    table = Int8Table(short, torch.float32)
    tokens = torch.tensor([[3, 0], [9, 3]])
    assert torch.equal(table(tokens), short.expanded(torch.float32)[tokens])
    assert table.weight.shape == (10, 16)


def test_rounding_by_texts_changes_less_of_what_is_said() -> None:
    torch.manual_seed(2)
    # Inputs that go together, as those of language models do.
    inputs = torch.randn(400, 8) @ torch.randn(8, 128) + 0.1 * torch.randn(400, 128)
    weight = torch.randn(64, 128)
    exact = inputs @ weight.T
    errors = {}
    for name, rounding in {"nearest": nearest, "texts": by_texts(inputs.T @ inputs)}.items():
        short = Int4Matrix.of(weight, None, rounding)
        errors[name] = float((inputs @ short.expanded(torch.float32).T - exact).square().mean())
    assert errors["texts"] < 0.3 * errors["nearest"]


def test_inputs_that_have_nothing_to_do_with_each_other_are_rounded_to_what_is_nearest() -> None:
    torch.manual_seed(3)
    weight = torch.randn(64, 64)
    whole, grid = by_texts(torch.eye(64))(weight)
    expected, same = nearest(weight)
    assert torch.equal(whole, expected)
    assert torch.equal(grid, same)
