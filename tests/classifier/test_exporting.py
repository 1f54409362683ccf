"""A bundle's network as ONNX, in float32 and in 8 bits, and what is refused."""

import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from torch import nn

from classifier import bundle
from classifier.description import EXPORTS, ONNX, ONNX_INT8, describe, read
from classifier.exporting import gate, process, sample, session, writing
from classifier.exporting import network as networks_as_onnx
from classifier.exporting.gate import Refused
from classifier.exporting.network import ExportError
from pictures.picture import Picture
from tests.classifier import exports

pytestmark = pytest.mark.slow  # they quantise


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> list[Picture]:
    return exports.photos(tmp_path_factory.mktemp("train"), seed=0)


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> list[Picture]:
    return exports.photos(tmp_path_factory.mktemp("valid"), seed=1)


@pytest.fixture(scope="module")
def network(train: list[Picture]) -> nn.Module:
    return exports.network(train)


@pytest.fixture(scope="module")
def exported(
    tmp_path_factory: pytest.TempPathFactory,
    network: nn.Module,
    train: list[Picture],
    valid: list[Picture],
) -> Path:
    """A bundle with both exports."""
    folder = exports.write(tmp_path_factory.mktemp("bundle"), network, valid)
    said: list[str] = []
    writing.export(folder, *sample.of_job(train, valid), int8=True, say=said.append)
    assert [line.split(":")[0] for line in said] == [*EXPORTS]
    return folder


def judge(folder: Path, quantised: bytes, valid: list[Picture], until: float = 1e12) -> object:
    loaded = bundle.load(folder)
    labels = [one.label for one in valid]
    pixels = exports.inputs(valid)
    batches = [(pixels[i : i + 10], labels[i : i + 10]) for i in range(0, len(valid), 10)]
    return gate.judge(
        (folder / ONNX).read_bytes(),
        quantised,
        loaded.golden,
        exports.TRANSFORM,
        batches,
        flip=False,
        until=until,
    )


def test_a_bundle_gets_both_files_and_their_figures(exported: Path) -> None:
    description = describe(exported)
    found = description.export
    assert found
    assert found.int8
    assert json.loads((exported / bundle.DESCRIPTION).read_text())["format"] == 4
    assert found.parity < networks_as_onnx.PARITY
    assert found.int8.pictures == exports.PHOTOS
    assert found.int8.accuracy_fp32 > 0.9
    assert found.int8.accuracy >= found.int8.accuracy_fp32 - gate.LOSS
    described = read(exported)
    for name in EXPORTS:
        assert described.contents(name)  # the checksums match
    assert bundle.replay(bundle.load(exported)) < 1e-5


@pytest.mark.parametrize("name", EXPORTS)
def test_the_files_have_the_agreed_inputs_and_outputs(exported: Path, name: str) -> None:
    model = onnx.load_from_string((exported / name).read_bytes())
    (pixels,) = model.graph.input
    shape = pixels.type.tensor_type.shape.dim
    assert pixels.name == session.PIXELS
    assert shape[0].dim_param == "batch"
    assert [one.dim_value for one in shape][1:] == [3, 32, 32]
    assert [one.name for one in model.graph.output] == [session.LOGITS, session.MAPS]
    assert {node.domain for node in model.graph.node} == {""}
    assert [one.domain for one in model.opset_import] == [""]
    assert not any(one.data_location for one in model.graph.initializer)


def test_the_maps_and_the_head_give_the_logits(exported: Path, valid: list[Picture]) -> None:
    opened = session.session((exported / ONNX).read_bytes())
    pixels = exports.inputs(valid[:5])
    maps, logits = map(np.asarray, opened.run(["maps", "logits"], {"pixels": pixels}))
    export = describe(exported).export
    assert export
    assert export.head == "fc.weight"
    state = bundle.load(exported).network.state_dict()
    weight, bias = (state[name].numpy() for name in (export.head, "fc.bias"))
    np.testing.assert_allclose(maps.mean((2, 3)) @ weight.T + bias, logits, atol=1e-4)


def test_all_layers_but_the_last_are_rounded_and_fit_without_vnni(exported: Path) -> None:
    """`test_quantising.py` shows what else happens on such processors."""
    model = onnx.load_from_string((exported / ONNX_INT8).read_bytes())
    made = {node.output[0]: node for node in model.graph.node}
    values = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    layers = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
    assert len(layers) == 21  # of ResNet18
    for node in layers[:-1]:
        assert values[made[made[node.input[0]].input[0]].input[2]].dtype == np.uint8
        weight = values[made[node.input[1]].input[0]]
        assert weight.dtype == np.int8
        neighbours = weight[:, 1:].astype(int) + weight[:, :-1]
        assert 255 * neighbours.max() < 2**15
        assert 255 * neighbours.min() >= -(2**15)
        assert np.abs(weight.reshape(len(weight), -1).astype(int)).max(1).min() >= 63
    assert layers[-1].input[1] == "fc.weight"


def test_a_wrong_scale_in_one_layer_is_refused(exported: Path, valid: list[Picture]) -> None:
    """The planted bad quantisation; the same file without the fault passes."""
    good = (exported / ONNX_INT8).read_bytes()
    assert judge(exported, good, valid)
    model = onnx.load_from_string(good)
    node = next(one for one in model.graph.node if one.op_type == "Conv")
    (rounded,) = (one for one in model.graph.node if one.output[0] == node.input[1])
    (scale,) = (one for one in model.graph.initializer if one.name == rounded.input[1])
    wrong = 4 * numpy_helper.to_array(scale)
    scale.CopyFrom(numpy_helper.from_array(wrong, scale.name))
    with pytest.raises(Refused, match=r"golden inputs are another class|top-1 accuracy is 0\.\d+"):
        judge(exported, model.SerializeToString(), valid)


def test_one_right_answer_less_of_few_is_refused(exported: Path, valid: list[Picture]) -> None:
    """0.3 points of fewer than 334 pictures allow no loss at all, and of 334 allow one."""
    assert int(gate.LOSS * 333) == 0
    assert int(gate.LOSS * 334) == 1
    int8 = session.predictor((exported / ONNX_INT8).read_bytes(), flip=False)
    fp32 = session.predictor((exported / ONNX).read_bytes(), flip=False)
    pixels = exports.inputs(valid)
    answers = fp32(pixels).argmax(1)
    same = [number for number, one in enumerate(int8(pixels).argmax(1)) if one == answers[number]]
    assert len(same) >= gate.LEAST_PICTURES
    chosen = [Picture(valid[number].path, int(answers[number])) for number in same]
    quantised = (exported / ONNX_INT8).read_bytes()
    assert judge(exported, quantised, chosen)
    with pytest.raises(Refused, match=r"golden inputs are another class|top-1 accuracy is"):
        judge(exported, _moved(quantised, 3.0), chosen)


def _moved(quantised: bytes, by: float) -> bytes:
    """Return the network with the first class's logit moved."""
    model = onnx.load_from_string(quantised)
    (bias,) = [one for one in model.graph.initializer if one.name == "fc.bias"]
    moved = numpy_helper.to_array(bias).copy()
    moved[0] += by
    bias.CopyFrom(numpy_helper.from_array(moved, bias.name))
    data: bytes = model.SerializeToString()
    return data


def test_too_few_pictures_are_no_proof(
    exported: Path, network: nn.Module, train: list[Picture], valid: list[Picture], tmp_path: Path
) -> None:
    with pytest.raises(Refused, match="compared on 99 labelled validation pictures, and 100"):
        judge(exported, (exported / ONNX_INT8).read_bytes(), valid[:99])
    folder = exports.write(tmp_path, network, valid)
    said: list[str] = []
    writing.export(folder, train[:16], valid[:50], int8=True, say=said.append)
    description = describe(folder)
    assert description.export
    assert description.export.int8 is None
    assert not (folder / ONNX_INT8).exists()
    assert "50 labelled validation pictures" in str(description.training["export"])
    assert "50 labelled validation pictures" in said[-1]


def test_pictures_of_one_class_are_no_proof(exported: Path, valid: list[Picture]) -> None:
    alike = [one for one in valid if one.label == valid[0].label] * 4
    assert len(alike) >= gate.LEAST_PICTURES
    with pytest.raises(Refused, match="all validation pictures are of one class"):
        judge(exported, (exported / ONNX_INT8).read_bytes(), alike)


def test_an_export_that_is_ended_keeps_the_earlier_ones(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server without torch has nothing else to serve."""

    def ended(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    folder = tmp_path / "bundle"
    shutil.copytree(exported, folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr("torch.onnx.export", ended)
    with pytest.raises(KeyboardInterrupt):
        writing.export(folder, int8=False, say=print)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_the_comparison_ends_in_time_with_enough_pictures(
    exported: Path, valid: list[Picture]
) -> None:
    judged = judge(exported, (exported / ONNX_INT8).read_bytes(), valid, until=0.0)
    assert getattr(judged, "pictures", None) == gate.LEAST_PICTURES


def test_quantising_ends_in_time(
    network: nn.Module, train: list[Picture], valid: list[Picture], tmp_path: Path
) -> None:
    folder = exports.write(tmp_path, network, valid)
    said: list[str] = []
    writing.export(folder, train, valid, int8=True, say=said.append, until=0.0)
    assert said[-1] == "no model.int8.onnx: the time was up while it was quantised"
    assert describe(folder).export


def test_a_bundle_with_test_time_flip_exports_the_plain_network(
    network: nn.Module, valid: list[Picture], tmp_path: Path
) -> None:
    from classifier import mirror

    plain = session.predictor(networks_as_onnx.export(network, 32), flip=False)
    pixels = exports.inputs(valid[:3])
    mirrored = mirror.add_test_time_flip(exports.network(valid))
    mirrored.load_state_dict(network.state_dict())
    folder = exports.write(tmp_path, mirrored, valid, test_time_flip=True)
    found = writing.export(folder, int8=False, say=lambda _: None)
    model = (folder / ONNX).read_bytes()
    np.testing.assert_allclose(session.predictor(model, flip=False)(pixels), plain(pixels), 1e-5)
    both = session.predictor(model, flip=True)
    assert bundle.replay(bundle.load(folder), both) == pytest.approx(found.parity)
    assert found.parity < 1e-4


def test_an_export_that_differs_is_refused(network: nn.Module) -> None:
    """A network whose output depends on a Python number that tracing fixes, and dynamo refuses."""

    class Counts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network

        def forward(self, x: object) -> object:
            return self.inner(x) * float(len(x))  # type: ignore[arg-type]

    with pytest.raises(ExportError, match="its logits differ from torch's by"):
        networks_as_onnx.export(Counts().eval(), 32)


def test_saving_a_bundle_again_leaves_its_exports_out(exported: Path, tmp_path: Path) -> None:
    loaded = bundle.load(exported)
    assert loaded.description.export
    for name in EXPORTS:
        (tmp_path / name).write_bytes(b"of other weights")
    bundle.save(loaded, tmp_path)
    assert describe(tmp_path).export is None
    assert not any((tmp_path / name).exists() for name in EXPORTS)


def test_pictures_survive_the_way_into_the_process() -> None:
    from pictures.shards import Slice

    packed = Picture(Path("a/ö\udcff.jpg"), 1, Slice(Path("s-0.tar"), 512, 9, 7))
    plain = [Picture(Path("b.jpg"), 2)]
    calibration, validation = sample.decode(sample.encode([packed], plain))
    assert (calibration, validation) == ([packed], plain)
    assert calibration[0].place == packed.place


def test_an_export_that_takes_too_long_is_ended(
    network: nn.Module, train: list[Picture], valid: list[Picture], tmp_path: Path
) -> None:
    folder = exports.write(tmp_path, network, valid)
    (folder / ONNX).write_bytes(b"half")
    said: list[str] = []
    process.run(folder, train, valid, int8=True, seconds=0.5, say=said.append)
    assert said == [
        "the export was ended, its limit of 0 s is over: the bundle has no model.onnx; "
        "`kennel export` has no limit"
    ]
    assert sorted(path.name for path in folder.iterdir()) == sorted(bundle.FILES)
    bundle.load(folder)


def test_kennel_export_adds_both_to_an_archive(
    network: nn.Module, valid: list[Picture], tmp_path: Path
) -> None:
    folder = exports.write(tmp_path / "b", network, valid)
    (folder / "code").mkdir()
    (folder / "code" / "inference.py").write_text("# a user's own\n")
    packed = tmp_path / "model.tar.gz"
    with tarfile.open(packed, "w:gz") as archive:
        for path in folder.iterdir():
            archive.add(path, path.name)
    photos = tmp_path / "photos"
    exports.photos(photos, seed=2, count=240)
    entry = "import sys; from scripts.cli import app; sys.argv = sys.argv[1:]; app()"
    done = subprocess.run(
        [sys.executable, "-c", entry, "kennel", "export", str(packed), "--photos", str(photos)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "model.int8.onnx: top-1" in done.stdout
    assert "on 140 validation pictures" in done.stdout
    with tarfile.open(packed) as archive:
        names = archive.getnames()
        archive.extractall(tmp_path / "again", filter="data")
    assert sorted(names) == sorted([*bundle.FILES, *EXPORTS, "code/inference.py"])
    found = describe(tmp_path / "again").export
    assert found
    assert found.int8
