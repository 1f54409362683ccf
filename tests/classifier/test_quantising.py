"""Layers in 8 bits, one at a time: near float32, without a shift, and safe on every processor."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from classifier.exporting import quantising
from classifier.exporting.session import LOGITS, PIXELS, predictor
from classifier.transform import Floats

SIDE = 8
FIRST = helper.make_node("Conv", [PIXELS, "identity"], ["first"])


def network(layer: onnx.NodeProto, constants: dict[str, Floats], channels: int) -> bytes:
    """Return a network of a layer from `first` to `maps`, between two that change nothing."""
    nodes = [
        FIRST,
        layer,
        helper.make_node("GlobalAveragePool", ["maps"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["features"]),
        helper.make_node("MatMul", ["features", "head"], [LOGITS]),
    ]
    constants = constants | {"head": np.eye(channels, dtype=np.float32)}
    return written(nodes, constants, channels)


def written(nodes: Sequence[onnx.NodeProto], constants: dict[str, Floats], outputs: int) -> bytes:
    float32 = onnx.TensorProto.FLOAT
    constants = constants | {"identity": np.eye(3, dtype=np.float32)[..., None, None]}
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info(PIXELS, float32, ["batch", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info(LOGITS, float32, ["batch", outputs])],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data


def pictures(count: int = 64, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).random((count, 3, SIDE, SIDE), np.float32)


def weights(quantised: bytes) -> list[np.ndarray[tuple[int, ...], np.dtype[np.int8]]]:
    tensors = map(numpy_helper.to_array, onnx.load_from_string(quantised).graph.initializer)
    return [one for one in tensors if one.dtype == np.int8 and one.ndim > 1]


def draw(*shape: int) -> Floats:
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def a_convolution(groups: int = 1) -> bytes:
    constants = {"w": draw(12, 3 // groups, 3, 3), "b": draw(12)}
    layer = helper.make_node("Conv", ["first", "w", "b"], ["maps"], group=groups)
    return network(layer, constants, 12)


def a_linear_layer(transposed: bool) -> bytes:
    inputs = 3 * SIDE * SIDE
    constants = {"w": draw(*((12, inputs) if transposed else (inputs, 12))), "b": draw(12)}
    nodes = [
        FIRST,
        helper.make_node("Flatten", ["first"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w", "b"], ["features"], transB=int(transposed)),
        helper.make_node("MatMul", ["features", "head"], [LOGITS]),
    ]
    return written(nodes, constants | {"head": np.eye(12, dtype=np.float32)}, 12)


def a_product() -> bytes:
    """A linear layer on each row of the pictures: its channels are the last axis."""
    layer = helper.make_node("MatMul", ["first", "w"], ["maps"])
    return network(layer, {"w": draw(SIDE, 5)}, 3)


@pytest.mark.parametrize(
    "model",
    [
        a_convolution(),
        a_convolution(groups=3),
        a_linear_layer(transposed=True),
        a_linear_layer(transposed=False),
        a_product(),
    ],
    ids=["convolution", "in groups", "linear", "linear, not transposed", "product"],
)
def test_each_kind_of_layer_is_near_float32(model: bytes) -> None:
    quantised = quantising.quantise(model, [pictures()])
    assert len(weights(quantised)) == 2  # not the last layer
    others = pictures(seed=2)
    expected = predictor(model, flip=False)(others)
    found = predictor(quantised, flip=False)(others)
    difference = np.abs(found - expected)
    assert 0 < difference.max() < 0.02 * np.abs(expected).max()
    # The mean of each output is where it was: the error is of single pictures.
    shift = np.abs((found - expected).mean(0))
    assert shift.max() < 0.5 * difference.max()


def test_rounded_weights_do_not_move_the_mean_of_an_output() -> None:
    """Channels of the input have different means, so the sums of the weights are not enough."""
    means = np.array([0.1, 1, 4], np.float32)[:, None, None]
    layer = helper.make_node("Conv", ["first", "w"], ["maps"])
    model = network(layer, {"w": draw(8, 3, 1, 1)}, 8)
    quantised = quantising.quantise(model, [pictures() * means])
    others = pictures(seed=2) * means
    expected = predictor(model, flip=False)(others)
    found = predictor(quantised, flip=False)(others)
    assert np.abs((found - expected).mean(0)).max() < 1e-3


def test_the_sum_of_an_outputs_weights_stays() -> None:
    """On a patch of one colour, rounded weights give what the exact ones give."""
    quantised = quantising.quantise(a_convolution(), [pictures()])
    constants = {one.name: one for one in onnx.load_from_string(quantised).graph.initializer}
    (name,) = (name for name in constants if name.startswith("w_") and name.endswith("_int8"))
    steps = numpy_helper.to_array(constants[name])
    scales = numpy_helper.to_array(constants[name.replace("_int8", "_scale")])
    exact = draw(12, 3, 3, 3) / scales[:, None, None, None]
    assert np.abs(steps - exact).max() < 1
    assert np.abs((steps - exact).reshape(12, -1).sum(1)).max() < 0.51
    assert np.abs((np.round(exact) - exact).reshape(12, -1).sum(1)).max() > 1


def test_neighbours_share_16_bits_and_others_have_all_8_bits() -> None:
    """Kernels without VNNI add the products of two neighbours among the input's channels."""
    weight = np.zeros((3, 3, 1, 1), np.float32)
    weight[0, :, 0, 0] = 1.0, 1.0, 0.0
    weight[1, :, 0, 0] = 1.0, 0.0, 1.0
    weight[2, :, 0, 0] = 1.0, -1.0, 1.0
    layer = helper.make_node("Conv", ["first", "w"], ["maps"])
    _, rounded = weights(quantising.quantise(network(layer, {"w": weight}, 3), [pictures()]))
    assert rounded[:, :, 0, 0].tolist() == [[63, 63, 0], [126, 0, 126], [126, -126, 126]]


# Runs files on ones, with the kernels that ONEDNN_MAX_CPU_ISA names.
RUN = """
import json, sys
import numpy as np
from classifier import processor
for path in sys.argv[1:]:
    model = processor.core().read_model(path)
    compiled = processor.core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    ones = np.ones((2, 3, SIDE, SIDE), np.float32)
    print(json.dumps(np.array(compiled([ones])["logits"])[0].tolist()))
"""


def run(folder: Path, models: Sequence[bytes], kernels: str = "AVX2") -> list[Floats]:
    paths = [folder / f"{number}.onnx" for number in range(len(models))]
    for path, model in zip(paths, models, strict=True):
        path.write_bytes(model)
    done = subprocess.run(
        [sys.executable, "-c", RUN.replace("SIDE", str(SIDE)), *map(str, paths)],
        stdout=subprocess.PIPE,
        check=True,
        env=os.environ | {"ONEDNN_MAX_CPU_ISA": kernels},
    )
    return [np.array(json.loads(line), np.float32) for line in done.stdout.splitlines()]


def of_ones(weight: Floats, channels: int, **settings: Any) -> bytes:
    """Return a network whose layer reads ones in all its channels."""
    constants = {"same": np.full((channels, 3, 1, 1), 1 / 3, np.float32), "w": weight}
    ones = helper.make_node("Conv", [PIXELS, "same"], ["ones"])
    if weight.ndim == 4:
        nodes = [
            ones,
            helper.make_node("Conv", ["ones", "w"], ["maps"], **settings),
            helper.make_node("GlobalAveragePool", ["maps"], ["mean"]),
            helper.make_node("Flatten", ["mean"], ["features"]),
        ]
    else:
        nodes = [
            ones,
            helper.make_node("GlobalAveragePool", ["ones"], ["mean"]),
            helper.make_node("Flatten", ["mean"], ["flat"]),
            helper.make_node("Gemm", ["flat", "w"], ["features"], transB=1),
        ]
    nodes.append(helper.make_node("MatMul", ["features", "head"], [LOGITS]))
    outputs = len(weight)
    return written(nodes, constants | {"head": np.eye(outputs, dtype=np.float32)}, outputs)


def every_second(*shape: int, first: int = 0) -> Floats:
    """Return weights of one in every second channel of the input, and of zero in the others."""
    weight = np.zeros(shape, np.float32)
    weight[:, first::2] = 1
    return weight


def test_the_largest_sums_fit_on_processors_without_vnni(tmp_path: Path) -> None:
    """All values and all weights are the largest; one step more is wrong, and nothing says so."""
    largest = np.ones((16, 64, 3, 3), np.float32)
    pixels = np.ones((2, 3, SIDE, SIDE), np.float32)
    good = quantising.quantise(of_ones(largest, 64), [pixels])
    model = onnx.load_from_string(good)
    (tensor,) = (one for one in model.graph.initializer if list(one.dims) == [16, 64, 3, 3])
    assert (numpy_helper.to_array(tensor) == 63).all()
    tensor.CopyFrom(numpy_helper.from_array(np.full((16, 64, 3, 3), 65, np.int8), tensor.name))
    found, wrong = run(tmp_path, [good, model.SerializeToString()])
    np.testing.assert_allclose(found, 64 * 9, rtol=2e-3)
    assert wrong.max() < 0.995 * 64 * 9 * 65 / 63


@pytest.mark.parametrize("kernels", ["AVX2", "AVX512_CORE"])
def test_kernels_without_vnni_add_neighbours_only(kernels: str, tmp_path: Path) -> None:
    """Weights of 126 at all places of every second channel: any other pair would overflow."""
    cases = [
        of_ones(every_second(16, 64, 3, 3), 64),
        of_ones(every_second(16, 64, 3, 3, first=1), 64, strides=[2, 2]),
        of_ones(every_second(16, 64, 1, 1), 64),
        of_ones(every_second(17, 63, 1, 1), 63),
        of_ones(every_second(17, 63, 3, 3, first=1), 63),
        of_ones(every_second(32, 16, 3, 3), 64, group=4),
        of_ones(np.ones((64, 1, 3, 3), np.float32), 64, group=64),
        of_ones(every_second(16, 256), 256),
        of_ones(every_second(10, 255, first=1), 255),
    ]
    pixels = np.ones((2, 3, SIDE, SIDE), np.float32)
    quantised = [quantising.quantise(one, [pixels]) for one in cases]
    for number, found in enumerate(run(tmp_path, quantised, kernels)):
        assert weights(quantised[number])[1].max() == 126
        expected = predictor(cases[number], flip=False)(pixels)[0]
        np.testing.assert_allclose(found, expected, rtol=2e-3, err_msg=f"case {number}")
