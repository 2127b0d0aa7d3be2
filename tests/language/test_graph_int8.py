"""A graph's products in 8 bits: the sums of whole numbers, times both scales."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

onnx = pytest.importorskip("onnx")

from genre.language._graph_int8 import to_int8  # noqa: E402
from genre.language.onnx import session_of  # noqa: E402

RNG = np.random.default_rng(0)
FIRST, SECOND, ADDED = (RNG.normal(size=size).astype(np.float32) for size in ((24, 10), (24, 10), (10,)))


def write(path: Path) -> None:
    """Write what reads the same with two matrices, multiplies both with each other, and adds."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["a"]),
        helper.make_node("MatMul", ["x", "second"], ["b"]),
        helper.make_node("Add", ["b", "added"], ["c"]),
        helper.make_node("Transpose", ["c"], ["d"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["a", "d"], ["e"]),
    ]
    constants = {"first": FIRST, "second": SECOND, "added": ADDED}
    graph = helper.make_graph(
        nodes,
        "both",
        [helper.make_tensor_value_info("x", kind, ["B", "T", 24])],
        [helper.make_tensor_value_info(name, kind, ["B", "T", None]) for name in ("a", "c", "e")],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)
    onnx.save_model(model, path, save_as_external_data=True, location=f"{path.name}.data", size_threshold=0)


def product(inputs: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return what whole numbers make of it, with Python's own."""
    scales = [np.maximum(np.abs(part).max(axis=axis, keepdims=True), 1e-30) / steps
              for part, axis, steps in ((inputs, -1, 127), (weight, 0, 64))]  # fmt: skip
    rows, columns = (np.rint(part / scale).astype(int) for part, scale in zip((inputs, weight), scales, strict=True))
    found: NDArray[np.float64] = (rows @ columns) * scales[0].astype(float) * scales[1]
    return found


def test_products_are_of_whole_numbers(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    write(path)
    to_int8(path)
    assert [one.name for one in tmp_path.iterdir()] == ["model.onnx"]
    session = session_of(str(path), "here")
    inputs = (RNG.normal(size=(3, 5, 24)) * np.logspace(-3, 3, 5)[:, None]).astype(np.float32)
    inputs[0, 0] = 0
    first, second, both = session.run(["a", "c", "e"], {"x": inputs})
    np.testing.assert_allclose(first, product(inputs, FIRST), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(second, product(inputs, SECOND) + ADDED, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(both, first @ second.transpose(0, 2, 1), rtol=1e-4, atol=1e-4)
    (alone,) = session.run(["a"], {"x": inputs[1:2, 3:4]})
    np.testing.assert_array_equal(alone[0, 0], first[1, 3])


def test_what_reads_the_same_is_rounded_once_and_nothing_is_left_over(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    write(path)
    to_int8(path)
    model = onnx.load(path)
    kinds = [node.op_type for node in model.graph.node]
    assert (kinds.count("QuantizeLinear"), kinds.count("MatMulIntegerToFloat"), kinds.count("MatMul")) == (1, 2, 1)
    read = {name for node in model.graph.node for name in node.input}
    assert {one.name for one in model.graph.initializer} < read
    assert not {"first", "second"} & {one.name for one in model.graph.initializer}


def test_two_products_fit_into_16_bits(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    write(path)
    to_int8(path)
    whole = [
        onnx.numpy_helper.to_array(one) for one in onnx.load(path).graph.initializer if one.name.endswith("_whole")
    ]
    assert [one.dtype for one in whole] == [np.int8, np.int8]
    assert 2 * 255 * max(np.abs(one.astype(int)).max() for one in whole) <= np.iinfo(np.int16).max
