"""Grad-CAM without gradients is torch's, where the network ends in maps, a mean and a layer."""

import io
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from classifier import bundle, description, golden, networks
from classifier.exporting import writing
from classifier.transform import EvaluationTransform
from serve.engines import heat_map
from serve.engines.openvino_engine import OpenVinoEngine
from serve.engines.torch_engine import TorchEngine
from serve.errors import RequestError
from tests.serve.conftest import picture


def alpha(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))[..., 3].astype(int)


@pytest.mark.parametrize(
    "architecture", ["resnet18", pytest.param("regnet_y_400mf", marks=pytest.mark.slow)]
)
def test_the_heat_map_is_that_of_torch(architecture: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = networks.build(architecture, 3, image_size=96).eval()
    about = bundle.Description(
        architecture=architecture,
        classes=("a", "b", "c"),
        folders=("a", "b", "c"),
        transform=EvaluationTransform(resize=110, crop=96),
    )
    photos = [Image.open(io.BytesIO(picture(seed))) for seed in range(2)]
    bundle.save(bundle.make(network, about, photos), tmp_path)
    writing.export(tmp_path, int8=False, say=print)
    loaded = bundle.load(tmp_path)
    by_torch = TorchEngine(loaded, torch.device("cpu"), threads=1)
    engine = OpenVinoEngine(description.read(tmp_path), "fp32", threads=1)
    shown = 0
    for one in golden.inputs(loaded.golden.photos, loaded.description.transform):
        for target in range(3):
            ours, theirs = (each.explain(one, target) for each in (engine, by_torch))
            assert ours.startswith(b"\x89PNG")
            assert np.abs(alpha(ours) - alpha(theirs)).max() <= 2
            shown += alpha(ours).max() > alpha(ours).min()
    assert shown


@pytest.mark.parametrize("size", [(7, 7), (2, 3), (1, 1), (16, 9)])
def test_the_map_grows_as_torch_interpolates(size: tuple[int, int]) -> None:
    strength = np.random.default_rng(0).standard_normal(size, np.float32)
    positive = torch.from_numpy(strength).clamp(min=0)[None, None]
    large = torch.nn.functional.interpolate(positive, (64, 48), mode="bilinear")[0, 0]
    expected = (large / large.max().clamp(min=1e-12) * 200).to(torch.uint8).numpy().astype(int)
    assert np.abs(alpha(heat_map.png(strength, 64, 48)) - expected).max() <= 1


@pytest.mark.slow
def test_other_networks_say_so(exported: Path, tmp_path: Path) -> None:
    engine = OpenVinoEngine(description.read(exported), "fp32", threads=1)
    pixels = np.zeros((3, 32, 32), np.float32)
    with pytest.raises(RequestError, match="no feature maps"):  # of 1 x 1, of so small a picture
        engine.explain(pixels, 0)
    shutil.copytree(exported, tmp_path / "model")
    read = description.read(tmp_path / "model")
    files = {name: read.contents(name) for name in (description.MODEL, description.GOLDEN)}
    parsed = onnx.load_from_string(read.contents(description.ONNX))
    (maps,) = (one for one in parsed.graph.output if one.name == "maps")
    parsed.graph.output.remove(maps)
    files[description.ONNX] = parsed.SerializeToString()
    export = description.Export(opset=17, parity=0.0)
    about = read.description.model_copy(update={"export": export})
    (tmp_path / "model" / description.ONNX).write_bytes(files[description.ONNX])
    (tmp_path / "model" / description.DESCRIPTION).write_bytes(about.encode(files))
    engine = OpenVinoEngine(description.read(tmp_path / "model"), "fp32", threads=1)
    with pytest.raises(RequestError, match="without gradients") as refused:
        engine.explain(pixels, 0)
    assert refused.value.code == 400
    assert "KENNEL_ENGINE=torch" in refused.value.hint
