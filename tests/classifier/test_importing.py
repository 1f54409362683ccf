"""Bundles of weights from elsewhere: they answer as the networks that the weights come from."""

import json
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
import torchvision
from PIL import Image
from torch import nn

from classifier import bundle, class_names, importing, networks
from classifier.statedict import WeightsError
from classifier.transform import EvaluationTransform
from pictures.picture import DataError
from serve.engines.torch_engine import TorchEngine
from tests.serve.conftest import picture

NAMES = tuple(f"class {number}" for number in range(1000))
SMALL = EvaluationTransform(resize=72, crop=64)


@pytest.fixture(scope="module")
def theirs() -> nn.Module:
    """torchvision's ResNet18, with statistics and a head as after training."""
    torch.manual_seed(0)
    network: nn.Module = torchvision.models.resnet18(num_classes=1000).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
    return network.requires_grad_(False)


def hugging_face(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The names of ResNetForImageClassification."""
    found = {}
    for name, value in state.items():
        name = re.sub(r"^conv1\.", "resnet.embedder.embedder.convolution.", name)
        name = re.sub(r"^bn1\.", "resnet.embedder.embedder.normalization.", name)
        name = re.sub(r"^fc\.", "classifier.1.", name)
        name = re.sub(
            r"^layer(\d)\.(\d+)\.",
            lambda at: f"resnet.encoder.stages.{int(at[1]) - 1}.layers.{at[2]}.",
            name,
        )
        name = name.replace("downsample.0.", "shortcut.convolution.")
        name = name.replace("downsample.1.", "shortcut.normalization.")
        name = re.sub(
            r"layers\.(\d+)\.conv(\d)\.",
            lambda at: f"layers.{at[1]}.layer.{int(at[2]) - 1}.convolution.",
            name,
        )
        found[
            re.sub(
                r"layers\.(\d+)\.bn(\d)\.",
                lambda at: f"layers.{at[1]}.layer.{int(at[2]) - 1}.normalization.",
                name,
            )
        ] = value
    return found


def save_state(network: nn.Module, file: Path) -> None:
    torch.save({"state_dict": {f"module.{n}": v for n, v in network.state_dict().items()}}, file)


def save_safetensors(network: nn.Module, file: Path) -> None:
    state = {name: value.clone() for name, value in network.state_dict().items()}
    safetensors.torch.save_file(hugging_face(state), file)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # torch.export is to replace TorchScript
def save_traced(network: nn.Module, file: Path) -> None:
    torch.jit.trace(network, torch.rand(1, 3, 64, 64)).save(file)  # type: ignore[no-untyped-call]


def save_with_dropout(network: nn.Module, file: Path) -> None:
    state = {re.sub(r"^fc\.", "fc.1.", name): v for name, v in network.state_dict().items()}
    torch.save(state, file)


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
@pytest.mark.parametrize(
    "write",
    [save_state, save_safetensors, save_traced, save_with_dropout],
    ids=lambda f: f.__name__,
)
def test_an_imported_resnet_answers_as_torchvision_s(
    write: Callable[[nn.Module, Path], None], theirs: nn.Module, tmp_path: Path
) -> None:
    """Through the server's predictor, with the pictures prepared as torchvision prepares them."""
    write(theirs, tmp_path / "weights")
    lines: list[str] = []
    made = importing.make(
        tmp_path / "weights", "ResNet-18", NAMES, networks.preset("resnet18"), None, lines.append
    )
    bundle.save(made, tmp_path / "out")
    loaded = bundle.load(tmp_path / "out")
    predictor = TorchEngine(loaded, torch.device("cpu"), threads=1)
    prepare = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.transforms()
    (tmp_path / "photo.png").write_bytes(picture(5, "PNG", (300, 260)))
    with Image.open(tmp_path / "photo.png") as image:
        expected = theirs(prepare(image.convert("RGB"))[None])
    pixels = loaded.description.transform.read((tmp_path / "photo.png").read_bytes())
    found = torch.from_numpy(predictor.predict(pixels[None]))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert loaded.description.classes == NAMES
    said = {"save_with_dropout": "is fc.1, used as fc", "save_safetensors": "Hugging Face's ResNet"}
    assert len(lines) == (write.__name__ in said)
    assert said.get(write.__name__, "") in "".join(lines)


def test_other_packages_vision_transformers(tmp_path: Path) -> None:
    """By the names of Hugging Face and of timm."""
    torch.manual_seed(0)
    source = networks.build("vit_b_32", 3, image_size=64)
    nn.init.normal_(networks.head(source).weight)
    ours = {"class_token": ("vit.embeddings.cls_token", "cls_token")}
    ours["encoder.pos_embedding"] = ("vit.embeddings.position_embeddings", "pos_embed")
    ours["conv_proj."] = ("vit.embeddings.patch_embeddings.projection.", "patch_embed.proj.")
    ours["encoder.ln."] = ("vit.layernorm.", "norm.")
    ours["heads.head."] = ("classifier.", "head.")
    ours["encoder.layers.encoder_layer_"] = ("vit.encoder.layer.", "blocks.")
    ours[".self_attention.out_proj."] = (".attention.output.dense.", ".attn.proj.")
    ours[".self_attention.in_proj_"] = (".attention.attention.", ".attn.qkv.")
    ours[".ln_1."], ours[".ln_2."] = (
        (".layernorm_before.", ".norm1."),
        (".layernorm_after.", ".norm2."),
    )
    ours[".mlp.0."] = (".intermediate.dense.", ".mlp.fc1.")
    ours[".mlp.3."] = (".output.dense.", ".mlp.fc2.")
    for package in (0, 1):
        state: dict[str, torch.Tensor] = {}
        for name, value in source.state_dict().items():
            for own, others in ours.items():
                name = name.replace(own, others[package])
            if package == 0 and ".attention.attention." in name:
                path, part = name.rsplit(".", 1)
                for key, third in zip(("query", "key", "value"), value.chunk(3), strict=True):
                    state[f"{path}.{key}.{part}"] = third.clone()
            else:
                state[name] = value
        assert "conv_proj.weight" not in state
        torch.save(state, tmp_path / "w.pth")
        made = importing.make(tmp_path / "w.pth", "ViT-B/32", ("a", "b", "c"), SMALL, None, print)
        pixels = torch.rand(2, 3, 64, 64)
        with torch.inference_mode():
            torch.testing.assert_close(made.network(pixels), source.eval()(pixels))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network = networks.build("shufflenet_v2_x0_5", 3)
    nn.init.normal_(networks.head(network).weight)
    file = tmp_path_factory.mktemp("weights") / "w.pth"
    torch.save(network.state_dict(), file)
    return file


def labelled(root: Path, each: int) -> Path:
    for number, name in enumerate(("01.Red", "02.green", "03.blue")):
        (root / name).mkdir(parents=True)
        for place in range(each):
            (root / name / f"{place}.png").write_bytes(picture(10 * number + place % 7, "PNG"))
    (root / "01.Red" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n torn")
    return root


def test_labelled_photos_give_accuracy_and_golden_inputs(small: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    photos = labelled(tmp_path / "photos", 4)
    made = importing.make(
        small, "shufflenet_v2_x0_5", ("Red", "green", "blue"), SMALL, photos, lines.append
    )
    assert len(made.golden.photos) == 4
    assert 0 <= made.description.metrics["photos:accuracy"] <= 1
    assert lines[0] == "1 photos are unreadable: torn.png"
    assert re.fullmatch(r"accuracy \d\.\d{4} on 12 photos", lines[1])
    assert lines[2] == "not calibrated: that needs 200 labelled photos"


def test_many_labelled_photos_calibrate(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "ENOUGH", 12)
    photos = labelled(tmp_path / "photos", 4)
    description = importing.make(
        small, "shufflenet_v2_x0_5", ("Red", "green", "blue"), SMALL, photos
    ).description
    assert description.temperature != 1
    assert description.novelty


def test_photos_without_classes_are_the_golden_inputs(small: Path, tmp_path: Path) -> None:
    for seed in range(6):
        (tmp_path / f"{seed}.jpg").write_bytes(picture(seed))
    (tmp_path / "notes.txt").write_text("no picture")
    made = importing.make(small, "shufflenet_v2_x0_5", ("a", "b", "c"), SMALL, tmp_path)
    assert len(made.golden.photos) == 4
    assert made.description.metrics == {}


def test_what_is_passed_over_is_said_and_unreadable_photos_are_refused(
    small: Path, tmp_path: Path
) -> None:
    lines: list[str] = []
    photos = labelled(tmp_path / "photos", 1)
    (photos / "outside.jpg").write_bytes(picture(1))
    classes = ("Red", "green", "blue")
    importing.make(small, "shufflenet_v2_x0_5", classes, SMALL, photos, lines.append)
    assert lines[0].startswith("passed over: ")
    assert "outside.jpg" in lines[0]
    for file in photos.rglob("*.png"):
        file.write_bytes(b"torn")
    with pytest.raises(DataError, match=r"none of the 4 photos can be read"):
        importing.make(small, "shufflenet_v2_x0_5", classes, SMALL, photos, lines.append)


def test_folders_of_other_classes_are_refused(small: Path, tmp_path: Path) -> None:
    photos = labelled(tmp_path / "photos", 1)
    with pytest.raises(DataError, match=r"1 folders in .* named after none of the classes \(03"):
        importing.make(small, "shufflenet_v2_x0_5", ("Red", "green", "c"), SMALL, photos)


@pytest.mark.parametrize(
    ("architecture", "classes", "problem"),
    [
        ("shufflenet_v2_x0_5", ("a", "b"), "its head is of 3 classes, and 2 are given"),
        ("resnet18", ("a", "b", "c"), r"w\.pth does not have weights of resnet18: missing 100 t"),
        ("shufflenet", ("a", "b", "c"), "unknown architecture 'shufflenet': did you mean"),
    ],
)
def test_what_does_not_fit_is_refused(
    architecture: str, classes: tuple[str, ...], problem: str, small: Path
) -> None:
    with pytest.raises(ValueError, match=problem):
        importing.make(small, architecture, classes, SMALL)


def test_weights_that_are_no_numbers_are_refused(small: Path, tmp_path: Path) -> None:
    state = torch.load(small)
    state["fc.weight"][0, 0] = float("nan")
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"not of finite numbers 1 tensors \(fc.weight\)"):
        importing.make(tmp_path / "w.pth", "shufflenet_v2_x0_5", ("a", "b", "c"), SMALL)
    state = torch.load(small)
    state["conv1.1.running_var"] -= 10
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="the logits are not finite numbers"):
        importing.make(tmp_path / "w.pth", "shufflenet_v2_x0_5", ("a", "b", "c"), SMALL)


class _Opens:
    def __reduce__(self) -> tuple[object, ...]:
        return (open, ("/tmp/kennel-was-here", "w"))  # noqa: S108


@pytest.mark.parametrize("kind", ["pickle", "torch", "TorchScript", "module"])
def test_code_in_a_file_is_not_run(kind: str, tmp_path: Path) -> None:
    file, trap = tmp_path / "w.pth", Path("/tmp/kennel-was-here")  # noqa: S108
    trap.unlink(missing_ok=True)
    if kind == "pickle":
        file.write_bytes(pickle.dumps({"a": _Opens()}))
    elif kind == "torch":
        torch.save({"a": _Opens()}, file)
    elif kind == "module":
        torch.save(nn.Linear(2, 2), file)
    else:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("w/data.pkl", pickle.dumps({"a": _Opens()}, protocol=2))
            archive.writestr("w/constants.pkl", b"")
    with pytest.raises(WeightsError, match=r"w\.pth (has more than tensors|is not a readable)"):
        importing.make(file, "resnet18", ("a", "b"), SMALL)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("contents", "problem"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras"),
        (b"\x1f\x8b\x08", "compressed with gzip"),
        (b'{"a": 1}', "JSON"),
        (b"", "is not a readable weights file"),
    ],
)
def test_other_files_are_named(contents: bytes, problem: str, tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(contents)
    with pytest.raises(WeightsError, match=problem):
        importing.make(tmp_path / "w.pth", "resnet18", ("a", "b"), SMALL)


def test_a_file_that_unfolds_in_memory_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "w.pth"
    torch.save({"fc.weight": torch.zeros(1).expand(2, 10**12)}, file)
    with pytest.raises(WeightsError, match=r"more than 1,073,741,824 numbers"):
        importing.make(file, "resnet18", ("a", "b"), SMALL)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w/data.pkl", bytes(10**6))
    with pytest.raises(WeightsError, match="a compressed archive, which torch"):
        importing.make(file, "resnet18", ("a", "b"), SMALL)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("cat\ndog\n\n", ("cat", "dog")),
        ("\ufeffcat\r\ndog\r\n", ("cat", "dog")),
        ('["cat", "dog"]', ("cat", "dog")),
        ('{"1": "dog", "0": "cat"}', ("cat", "dog")),
        ('[[0, "cat"], [1, "dog"]]', ("cat", "dog")),
        ('[[1, "cat"], [2, "dog"]]', ("cat", "dog")),
        ('{"dog": 1, "cat": 0}', ("cat", "dog")),
        ('{"0": ["n02123045", "cat"], "1": ["n02084071", "dog"]}', ("cat", "dog")),
        ('{"id2label": {"0": "cat", "1": "dog"}, "label2id": {}}', ("cat", "dog")),
    ],
)
def test_files_of_class_names(text: str, names: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "c").write_text(text)
    assert class_names.read(tmp_path / "c") == names


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("cat\ndog\ncat\n", "'cat' is the name of classes 0 and 2"),
        ("cat\n\ndog\n", "the name of class 1 is ''"),
        ("cat\n", "has 1 class: a classifier needs at least two"),
        ('{"0": "cat", "2": "dog"}', "its numbers are not 0 to 1"),
        ('{"cat": "dog"}', "neither from numbers to names nor the reverse"),
        ("[1, 2]", "1 is not a name"),
        ('[[1, "dog"], [0, "cat"]]', "its item 1 has the number 0, after 1: sort the items"),
        ("[" * 100_000, "does not have the names of classes"),
        ("a\x1b[31m\nb", "the name of class 0 is"),
    ],
)
def test_files_of_class_names_that_are_refused(text: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "c").write_text(text)
    with pytest.raises(ValueError, match=re.escape(problem)):
        class_names.read(tmp_path / "c")


def test_weights_alone_are_refused_with_the_command(tmp_path: Path) -> None:
    (tmp_path / "model.pth").touch()
    with pytest.raises(bundle.BundleError, match=r"no kennel\.json .*`kennel import model\.pth "):
        bundle.load(tmp_path)


def test_the_class_names_are_json_safe(small: Path) -> None:
    made = importing.make(small, "shufflenet_v2_x0_5", ('"', "b/c", "ö"), SMALL)
    assert json.loads(json.dumps(made.description.model_dump(mode="json")))["classes"][1] == "b/c"
