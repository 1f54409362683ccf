"""A hostile model.onnx is refused before an engine reads it, with what is wrong."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from classifier import description
from classifier.description import ONNX, BundleError
from serve.engines import choice, onnx_file
from serve.settings import Settings
from tests.serve.engines.test_choice import rewrite

pytestmark = pytest.mark.slow  # the fixture `exported` quantises a network

Model = onnx.ModelProto


def external(model: Model) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def external_in_secret(model: Model) -> None:
    model.graph.initializer[0].external_data.add(key="location", value="../../secret")


def external_constant(model: Model) -> None:
    constant = numpy_helper.from_array(np.zeros(1, np.float32), "c")
    constant.data_location = TensorProto.EXTERNAL
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=constant))


def loop(model: Model) -> None:
    body = helper.make_graph([], "body", [], [])
    model.graph.node.append(helper.make_node("Loop", ["", ""], ["x"], body=body))


def subgraph(model: Model) -> None:
    body = helper.make_graph([], "body", [], [])
    model.graph.node.append(helper.make_node("Relu", ["pixels"], ["x"], body=body))


def own_domain(model: Model) -> None:
    model.opset_import.add(domain="com.evil", version=1)
    model.graph.node.append(helper.make_node("Run", ["pixels"], ["x"], domain="com.evil"))


def function(model: Model) -> None:
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("com.evil", "F", [], [], [], opsets))


def training(model: Model) -> None:
    model.training_info.add()


def other_opset(model: Model) -> None:
    model.opset_import[0].version = 99


def no_opset(model: Model) -> None:
    del model.opset_import[:]


def huge_tensor(model: Model) -> None:
    tensor = model.graph.initializer.add(name="huge", data_type=TensorProto.FLOAT)
    tensor.dims.extend([2**30, 2**30])


def text_tensor(model: Model) -> None:
    model.graph.initializer.add(name="s", data_type=TensorProto.STRING).string_data.append(b"x")


def renamed_input(model: Model) -> None:
    model.graph.input[0].name = "images"


def another_input(model: Model) -> None:
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))


def another_output(model: Model) -> None:
    model.graph.output.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))


def no_logits(model: Model) -> None:
    del model.graph.output[:]


def other_side(model: Model) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 4096


def fixed_batch(model: Model) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 7


def of_integers(model: Model) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT8


def many_nodes(model: Model) -> None:
    node = helper.make_node("Relu", ["pixels"], ["x"])
    model.graph.node.extend([node] * 50_001)


def bomb(model: Model) -> None:
    """One picture needs a tensor of 2^40 numbers."""
    sizes = numpy_helper.from_array(np.array([2**20, 2**20, 1, 1], np.int64), "sizes")
    model.graph.initializer.append(sizes)
    node = next(one for one in model.graph.node if "logits" in one.output)
    node.output[list(node.output).index("logits")] = "small"
    model.graph.node.extend(
        [
            helper.make_node("Expand", ["sizes_value", "sizes"], ["large"]),
            helper.make_node("ReduceMax", ["large"], ["one"], keepdims=0),
            helper.make_node("Mul", ["small", "one"], ["logits"]),
        ]
    )
    model.graph.node.insert(
        0, helper.make_node("ReduceMean", ["pixels"], ["sizes_value"], keepdims=1)
    )


def more_classes(model: Model) -> None:
    node = next(one for one in model.graph.node if "logits" in one.output)
    node.output[list(node.output).index("logits")] = "small"
    model.graph.node.append(helper.make_node("Concat", ["small", "small"], ["logits"], axis=1))
    del model.graph.output[0].type.tensor_type.shape.dim[:]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (external, "in another file"),
        (external_in_secret, "in another file"),
        (external_constant, "in another file"),
        (loop, "graph"),
        (subgraph, "attribute with a graph"),
        (own_domain, "operator com.evil:Run"),
        (function, "field 25"),
        (training, "field 20"),
        (other_opset, "opset"),
        (no_opset, "opset"),
        (huge_tensor, "with 0 bytes"),
        (text_tensor, "of text"),
        (renamed_input, "inputs are images"),
        (another_input, "inputs are more, pixels"),
        (another_output, "outputs logits, maps, more"),
        (no_logits, "outputs none"),
        (other_side, "float32"),
        (fixed_batch, "fixed at 7"),
        (of_integers, "of type 3"),
        (many_nodes, "more than 50,000 nodes"),
        (bomb, "needs a tensor of shape"),
        (more_classes, "logits are not those of 3 classes"),
    ],
)
def test_a_hostile_file_is_refused(
    spoil: Callable[[Model], None], reason: str, exported: Path, tmp_path: Path
) -> None:
    shutil.copytree(exported, tmp_path / "model")
    rewrite(tmp_path / "model", ONNX, spoil)
    variables = {"KENNEL_PRECISION": "fp32", "KENNEL_THREADS": "1"}
    with pytest.raises(BundleError, match=f"model.onnx is refused: .*{reason}"):
        choice.choose(tmp_path / "model", Settings.from_environment(variables))


def cycle(model: Model) -> None:
    first = next(one for one in model.graph.node if one.op_type == "Conv")
    last = next(one for one in model.graph.node if "maps" in one.output)
    first.input[0] = last.output[0]


def cycle_of_one(model: Model) -> None:
    model.graph.node.append(helper.make_node("Relu", ["x"], ["x"]))


def cycle_behind_a_long_name(model: Model) -> None:
    long = "\u00e9" * 600
    model.graph.node.append(helper.make_node("Relu", [long + "a"], [long + "b"]))


def made_twice(model: Model) -> None:
    model.graph.node.append(helper.make_node("Relu", ["pixels"], ["logits"]))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (cycle, "its nodes form a cycle"),
        (cycle_of_one, "its nodes form a cycle"),
        (cycle_behind_a_long_name, "a node has a name of over 1,000 bytes"),
        (made_twice, "two nodes make logits"),
    ],
)
def test_nodes_that_never_end_are_refused(
    spoil: Callable[[Model], None], reason: str, exported: Path
) -> None:
    """OpenVINO reads such a file for ever, so the test does not let it."""
    parsed = onnx.load_from_string(description.read(exported).contents(ONNX))
    spoil(parsed)
    with pytest.raises(BundleError, match=reason):
        onnx_file.check(parsed.SerializeToString(), "here", side=32, has_maps=True)


def test_bytes_that_are_no_onnx_file_are_refused(exported: Path) -> None:
    """Cut off, and with bytes changed: an error that names the file, or a file that is sound."""
    data = description.read(exported).contents(ONNX)
    onnx_file.check(data, "here", side=32, has_maps=True)
    draw = np.random.default_rng(0)
    damaged = [b"", b"\x00", b"\xff" * 100, b"text", data[:-1], data[: len(data) // 2]]
    for _ in range(200):
        changed = bytearray(data[:20_000])
        for _ in range(3):
            changed[draw.integers(len(changed))] = draw.integers(256)
        damaged.append(bytes(changed))
    for one in damaged:
        with pytest.raises(BundleError, match=r"^here is refused: "):
            onnx_file.check(one, "here", side=32, has_maps=True)
