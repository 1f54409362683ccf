"""The best engine that gives the golden logits serves; the others are named, with the reason."""

import logging
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from classifier import bundle, description, golden, processor
from classifier.description import ONNX, ONNX_INT8, BundleError
from serve import machine
from serve.engines import choice
from serve.settings import Settings, SettingsError

pytestmark = pytest.mark.slow  # the fixture `exported` quantises a network

Spoil = Callable[[onnx.ModelProto], None]


@pytest.fixture
def model(exported: Path, tmp_path: Path) -> Path:
    """A copy of the exported bundle, in the folder where a server finds it."""
    shutil.copytree(exported, tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def old_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """One without bf16, whatever processor the test runs on."""
    monkeypatch.setattr(processor, "computes_bf16", lambda: False)


def settings(**variables: str) -> Settings:
    return Settings.from_environment({"KENNEL_THREADS": "1", "KENNEL_BATCH_SIZE": "4", **variables})


def chosen(directory: Path, **variables: str) -> choice.Chosen:
    return choice.choose(directory, settings(**variables))


def rewrite(directory: Path, name: str, spoil: Spoil) -> None:
    """Change an ONNX file, and write kennel.json with the checksum of the new one."""
    read = description.read(directory)
    parsed = onnx.load_from_string(read.contents(name))
    spoil(parsed)
    replace(directory, name, parsed.SerializeToString())


def replace(directory: Path, name: str, data: bytes) -> None:
    read = description.read(directory)
    files = {one: read.contents(one) for one in read.hashes} | {name: data}
    (directory / name).write_bytes(data)
    (directory / description.DESCRIPTION).write_bytes(read.description.encode(files))


def wrong_scale(model: onnx.ModelProto) -> None:
    """Make the scale of one layer's weights four times as large."""
    node = next(one for one in model.graph.node if one.op_type == "Conv")
    makers = {output: one for one in model.graph.node for output in one.output}
    scale = makers[node.input[1]].input[1]
    (tensor,) = (one for one in model.graph.initializer if one.name == scale)
    tensor.CopyFrom(numpy_helper.from_array(4 * numpy_helper.to_array(tensor), scale))


def test_8_bits_are_near_and_fp32_is_as_torch(exported: Path, old_processor: None) -> None:
    best = chosen(exported, KENNEL_PRECISION="int8")
    assert (best.engine.name, best.engine.precision) == ("openvino", "int8")
    assert best.why == "the best for this machine and bundle"
    exact = chosen(exported, KENNEL_PRECISION="fp32")
    assert exact.difference < 1e-4
    assert exact.difference < best.difference
    by_torch = chosen(exported, KENNEL_PRECISION="fp32", KENNEL_ENGINE="torch")
    assert by_torch.engine.name == "torch"
    noise = np.random.default_rng(0).standard_normal((11, 3, 32, 32), np.float32)
    logits = exact.engine.predict(noise)
    assert logits.shape == (11, 3)
    assert np.allclose(logits, by_torch.engine.predict(noise), atol=1e-4)
    alone = np.concatenate([exact.engine.predict(one[None]) for one in noise])
    assert np.allclose(logits, alone, atol=1e-4)


def test_8_bits_serve_where_they_are_faster(exported: Path, old_processor: None) -> None:
    found = chosen(exported)
    times = re.fullmatch(r"a picture takes ([\d.]+) ms in int8 and ([\d.]+) ms in fp32", found.why)
    assert times
    int8, fp32 = map(float, times.groups())
    assert found.engine.precision == ("int8" if int8 <= fp32 else "fp32") or int8 == fp32


def test_a_planted_bad_quantisation_is_refused_at_the_start_and_the_next_is_taken(
    model: Path, old_processor: None, caplog: pytest.LogCaptureFixture
) -> None:
    rewrite(model, ONNX_INT8, wrong_scale)
    with caplog.at_level(logging.INFO):
        found = chosen(model)
    assert (found.engine.name, found.engine.precision) == ("openvino", "fp32")
    assert found.difference < 1e-3
    assert "differ by" in found.why
    assert "openvino in int8" in found.why
    assert found.why in caplog.text
    with pytest.raises(BundleError, match=r"cannot be served: the golden inputs .* in int8"):
        chosen(model, KENNEL_PRECISION="int8")


def test_a_wrong_network_is_served_by_torch_if_its_weights_are_right(
    model: Path, monkeypatch: pytest.MonkeyPatch, old_processor: None
) -> None:
    for name in (ONNX, ONNX_INT8):
        rewrite(model, name, flip_the_head)
    found = chosen(model)
    assert found.engine.name == "torch"
    assert found.why.count("golden inputs") == 2
    monkeypatch.setattr(machine, "has", lambda package: package != "torch")
    with pytest.raises(BundleError, match="cannot be served"):
        chosen(model)


def flip_the_head(model: onnx.ModelProto) -> None:
    """Exchange the outputs for their negatives."""
    node = next(one for one in model.graph.node if "logits" in one.output)
    node.output[list(node.output).index("logits")] = "positive"
    model.graph.node.append(onnx.helper.make_node("Neg", ["positive"], ["logits"]))


def test_bf16_where_the_processor_computes_in_it(exported: Path) -> None:
    if not processor.computes_bf16():
        pytest.skip("this processor does not compute in bf16")
    found = chosen(exported, KENNEL_PRECISION="bf16")
    assert (found.engine.name, found.engine.precision) == ("openvino", "bf16")
    assert 1e-6 < found.difference < 0.05


def test_the_mean_of_both_views_where_training_flipped(tmp_path: Path, exported: Path) -> None:
    loaded = bundle.load(exported)
    one = chosen(exported, KENNEL_PRECISION="fp32")
    noise = np.random.default_rng(0).standard_normal((5, 3, 32, 32), np.float32)
    both = (one.engine.predict(noise) + one.engine.predict(noise[..., ::-1])) / 2
    flipped = loaded.description.model_copy(update={"test_time_flip": True})
    predict = bundle.on_arrays(loaded.network)
    for engine in ("openvino", "torch"):
        folder = tmp_path / engine
        shutil.copytree(exported, folder)
        read = description.read(folder)
        photos = loaded.golden.photos
        inputs = golden.inputs(photos, flipped.transform)
        logits = predict(inputs) + predict(np.ascontiguousarray(inputs[..., ::-1]))
        files = {name: read.contents(name) for name in read.hashes}
        files[description.GOLDEN] = bundle.Golden(photos, logits * np.float32(0.5)).encode()
        (folder / description.GOLDEN).write_bytes(files[description.GOLDEN])
        (folder / description.DESCRIPTION).write_bytes(flipped.encode(files))
        found = chosen(folder, KENNEL_PRECISION="fp32", KENNEL_ENGINE=engine)
        assert np.allclose(found.engine.predict(noise), both, atol=1e-4)


@pytest.mark.parametrize(
    ("variables", "without_torch", "reason"),
    [
        ({}, True, r"has no model.onnx: run `kennel export BUNDLE`, or serve it in the image"),
        ({"KENNEL_ENGINE": "openvino"}, False, "has no model.onnx: run `kennel export BUNDLE`"),
        (
            {"KENNEL_PRECISION": "int8"},
            False,
            "has no model.int8.onnx, which KENNEL_PRECISION=int8",
        ),
    ],
)
def test_a_bundle_without_exports(
    variables: dict[str, str],
    without_torch: bool,
    reason: str,
    trained: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if without_torch:
        monkeypatch.setattr(machine, "has", lambda package: package != "torch")
    with pytest.raises(BundleError, match=reason):
        chosen(trained / "model", **variables)


def test_a_bundle_without_exports_is_served_by_torch(trained: Path) -> None:
    found = chosen(trained / "model")
    assert found.engine.name == "torch"
    assert (
        found.why
        == "the bundle has no model.onnx: `kennel export` adds it and makes serving faster"
    )


@pytest.mark.parametrize(
    "variables",
    [
        {"KENNEL_ENGINE": "onnxruntime"},
        {"KENNEL_PRECISION": "int4"},
        {"KENNEL_ENGINE": "torch", "KENNEL_PRECISION": "int8"},
        {"KENNEL_ENGINE": "openvino", "KENNEL_DEVICE": "cuda"},
        {"KENNEL_DEVICE": "cuda", "KENNEL_PRECISION": "int8"},
    ],
)
def test_settings_that_exclude_each_other(variables: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="KENNEL_"):
        settings(**variables)


@pytest.mark.parametrize("variables", [{"KENNEL_ENGINE": "torch"}, {"KENNEL_DEVICE": "cuda"}])
def test_torch_cannot_be_asked_for_where_it_is_not(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "has", lambda package: package != "torch")
    with pytest.raises(SettingsError, match="this image"):
        settings(**variables)


def test_a_damaged_export_is_refused(model: Path) -> None:
    data = bytearray((model / ONNX).read_bytes())
    data[len(data) // 2] ^= 1
    (model / ONNX).write_bytes(data)
    with pytest.raises(BundleError, match=r"model.onnx was changed or damaged"):
        chosen(model, KENNEL_PRECISION="fp32")
