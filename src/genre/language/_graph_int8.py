"""The products of a graph in whole numbers of 8 bits, for ONNX Runtime. Needs onnx.

Shapes: R tokens, I numbers in, O numbers out.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

_STEPS, _MIDDLE = 127, 128
"""Whole numbers of a token on each side of zero, and the one that stands for zero where there are none below it."""
_WEIGHT_STEPS = 64
"""The same of a weight. Processors without VNNI add two products in 16 bits, and cut off what is more: 255 * 64 * 2 is
not."""
_TINY = 1e-30
"""In the place of the largest magnitude where all numbers are zero."""
_DOMAIN = "com.microsoft"


def to_int8(path: Path) -> None:
    """Replace every product with a constant matrix, in place.

    ``y = (Q_x Q_wᵀ) * s_x * s_w``, with a scale for each token (R, 1) and each output (O,), as `Int8Linear` has them.
    Of ONNX Runtime's own two ways, `quantize_dynamic` has one scale for a whole batch, so that a text's vector depends
    on the texts beside it; and `MatMulNBitsQuantizer` keeps a scale for each block of a token's numbers, which is
    nearer, but for more than a few tokens no faster than float32. What reads the same, as query, key and value do,
    shares what is rounded. Tokens go from 0 to 255, since such products are those that processors are fastest at.
    """
    import onnx
    from onnx import helper

    model = onnx.load(path)
    nodes = _rounded(model)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    if all(one.domain != _DOMAIN for one in model.opset_import):
        model.opset_import.append(helper.make_opsetid(_DOMAIN, 1))
    for left in path.parent.glob(f"{path.name}*"):  # Weights may be in a file of their own.
        left.unlink()
    onnx.save_model(model, path)


def _rounded(model: ModelProto) -> list[NodeProto]:
    """Return the nodes with products of whole numbers, whose constants are put into the model."""
    from onnx import helper, numpy_helper

    graph = model.graph
    matrices = {one.name: one for one in graph.initializer if len(one.dims) == 2}
    constants: dict[str, NDArray[Any]] = {
        "int8_steps": np.array([_STEPS], np.float32),
        "int8_tiny": np.array([_TINY], np.float32),
        "int8_last": np.array([-1]),
        "int8_one": np.array(1, np.float32),
        "int8_middle": np.array(_MIDDLE, np.uint8),
        "int8_none": np.array(0, np.int8),
    }
    nodes: list[NodeProto] = []
    done: set[str] = set()
    gone: set[str] = set()

    def add(kind: str, inputs: list[str], output: str, **options: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], **options))
        return output

    for node in graph.node:
        if node.op_type != "MatMul" or node.input[1] not in matrices:
            nodes.append(node)
            continue
        inputs, name = node.input
        if inputs not in done:
            done.add(inputs)
            highest = add("ReduceMax", [inputs, "int8_last"], f"{inputs}_highest")
            lowest = add("Neg", [add("ReduceMin", [inputs, "int8_last"], f"{inputs}_lowest")], f"{inputs}_deepest")
            largest = add("Max", [highest, lowest, "int8_tiny"], f"{inputs}_largest")
            add("Div", [largest, "int8_steps"], f"{inputs}_scale")
            steps = add("Mul", [inputs, add("Div", ["int8_steps", largest], f"{inputs}_per_one")], f"{inputs}_steps")
            add("QuantizeLinear", [steps, "int8_one", "int8_middle"], f"{inputs}_whole")
        if name not in gone:
            gone.add(name)
            weight = numpy_helper.to_array(matrices[name]).astype(np.float32)  # (I, O)
            scale = np.maximum(np.abs(weight).max(axis=0), _TINY) / _WEIGHT_STEPS
            constants[f"{name}_whole"] = np.rint(weight / scale).astype(np.int8)
            constants[f"{name}_scale"] = scale.astype(np.float32)
        both = [f"{inputs}_whole", f"{name}_whole", "int8_one", f"{name}_scale", "int8_middle", "int8_none"]
        sums = add("MatMulIntegerToFloat", both, f"{node.output[0]}_sums", domain=_DOMAIN)
        add("Mul", [sums, f"{inputs}_scale"], node.output[0])
    read = {name for node in nodes for name in node.input}
    others = [one for one in graph.initializer if one.name in read]
    del graph.initializer[:]
    graph.initializer.extend(others)
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items() if name in read)
    return nodes
