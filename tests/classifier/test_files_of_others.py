"""Weights files as other people's programs write them: what is read, and how a refusal is said."""

import io
import re
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from classifier import class_names, importing, matching, networks
from classifier.others import foreign
from classifier.statedict import WeightsError
from classifier.transform import EvaluationTransform

SMALL = EvaluationTransform(resize=72, crop=64)
NAMES = ("a", "b", "c")
State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def theirs() -> nn.Module:
    torch.manual_seed(0)
    network: nn.Module = torchvision.models.shufflenet_v2_x0_5(num_classes=3).eval()
    nn.init.normal_(networks.head(network).weight)
    return network.requires_grad_(False)


def imported(
    contents: object, folder: Path, say: Callable[[str], None] = print, name: str = "w.pth"
) -> nn.Module:
    if isinstance(contents, bytes):
        (folder / name).write_bytes(contents)
    else:
        torch.save(contents, folder / name)
    architecture = "shufflenet_v2_x0_5"
    return importing.make(folder / name, architecture, NAMES, SMALL, None, say).network


def refused(contents: object, folder: Path) -> str:
    with pytest.raises(WeightsError) as raised:
        imported(contents, folder)
    assert "w.pth" in str(raised.value)
    assert "weights_only" not in str(raised.value)  # torch's advice is to run the file's code
    return str(raised.value)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_state_dict_that_was_cast_as_a_whole_is_read(
    dtype: torch.dtype, theirs: nn.Module, tmp_path: Path
) -> None:
    """The counters of batch norm are cast too."""
    found = imported({name: one.to(dtype) for name, one in theirs.state_dict().items()}, tmp_path)
    pixels = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(found(pixels), theirs(pixels), atol=0.05, rtol=0.05)


def test_two_copies_of_one_name_are_refused(theirs: nn.Module, tmp_path: Path) -> None:
    """torch.compile's wrapper and the module in it, after one was trained further."""
    state = theirs.state_dict()
    twice = state | {f"_orig_mod.{name}": one + 1 for name, one in state.items()}
    assert "two tensors for conv1.0.weight" in refused(twice, tmp_path)
    imported(state | {f"_orig_mod.{name}": one for name, one in state.items()}, tmp_path)


def test_numbers_that_are_not_finite_are_refused_where_the_logits_hide_it(
    theirs: nn.Module, tmp_path: Path
) -> None:
    """A variance over 65,504 is infinite in float16; batch norm then gives its bias."""
    state = theirs.state_dict() | {"conv1.1.running_var": torch.full((24,), float("inf"))}
    assert "not of finite numbers 1 tensors (conv1.1.running_var)" in refused(state, tmp_path)


def without_numbers(state: State) -> object:
    return {name: one.to("meta") for name, one in state.items()}


def sparse(state: State) -> object:
    return state | {"fc.weight": state["fc.weight"].to_sparse()}


def hidden_layer(state: State) -> object:
    layers = nn.Sequential(nn.Linear(1024, 8), nn.ReLU(), nn.Linear(8, 3)).state_dict()
    return without_head(state) | {f"fc.{name}": one for name, one in layers.items()}


def head_elsewhere(state: State) -> object:
    body = {f"backbone.{name}": one for name, one in without_head(state).items()}
    return body | {"head.weight": state["fc.weight"], "head.bias": state["fc.bias"]}


def without_head(state: State) -> State:
    return {name: one for name, one in state.items() if not name.startswith("fc.")}


def numbered(state: State) -> object:
    """The names of nn.Sequential(*network.children()): `conv5` of another place begins one."""
    return {f"0.{number}.weight": one for number, one in enumerate(state.values())}


@pytest.mark.filterwarnings("ignore:Validating sparse tensor invariants")
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (without_numbers, r"of another type 3\d\d tensors \(conv1.0.weight without numbers"),
        (sparse, r"fc.weight torch.float32 sparse"),
        (hidden_layer, r"its head is of fc.0.weight, fc.0.bias, fc.2.weight, …, and Kennel's is"),
        (head_elsewhere, r"its head can be head.weight: if so, save it as fc.weight next to the"),
        (without_head, r"it has no head for 3 classes"),
        (numbered, r"unknown 3\d\d tensors \(0.0.weight"),
        (lambda state: [state], r"has a list, not a state dict: save it with torch.save\("),
    ],
)
def test_what_cannot_be_used_is_named(
    change: Callable[[State], object], problem: str, theirs: nn.Module, tmp_path: Path
) -> None:
    assert re.search(problem, refused(change(theirs.state_dict()), tmp_path))


def test_an_optimiser_s_tensors_are_not_the_head(theirs: nn.Module, tmp_path: Path) -> None:
    state = theirs.state_dict()
    moments = {"state": {0: {"exp_avg": torch.ones_like(state["fc.weight"])}}}
    contents = {"optimizer": moments, "model": head_elsewhere(state)}
    assert "its head can be model.head.weight: if so" in refused(contents, tmp_path)


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("conv_stem.weight", "timm"),  # EfficientNet, MobileNet
        ("stages.0.blocks.0.conv_dw.weight", "timm"),  # ConvNeXt
        ("stages.0.b1.conv1.conv.weight", "timm"),  # RegNet
        ("layers.0.blocks.0.norm1.weight", "timm"),  # Swin
        ("convnext.embeddings.layernorm.weight", "Hugging Face"),
        ("model.swin.layernorm.weight", "Hugging Face"),
    ],
)
def test_their_other_networks_come_with_a_cure(name: str, package: str, tmp_path: Path) -> None:
    problem = refused({name: torch.ones(8)}, tmp_path)
    assert f"its names are those of {package}, of which ResNet and ViT are read" in problem
    assert "register its network as an architecture of your own" in problem


def test_one_layer_s_name_in_another_network_is_not_two_networks(tmp_path: Path) -> None:
    blocks = {f"{place}.conv1.0.weight": torch.rand(24, 3, 3, 3) for place in ("left", "right")}
    assert "missing" in refused(blocks, tmp_path)


def test_a_head_without_a_bias_gets_zeros(theirs: nn.Module, tmp_path: Path) -> None:
    lines: list[str] = []
    state = theirs.state_dict()
    del state["fc.bias"]
    found = imported(state, tmp_path, lines.append)
    assert torch.equal(networks.head(found).bias, torch.zeros(3))
    assert lines == ["its head has no bias: zeros"]


def test_a_head_that_has_no_bias_in_torchvision_either_gets_none() -> None:
    theirs = torchvision.models.maxvit_t(num_classes=3)
    match = matching.match(theirs.state_dict(), networks.build("maxvit_t", 3), with_head=True)
    assert match.state.keys() == theirs.state_dict().keys()
    assert match.notes == []


def packed_zip(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("w.pth", data)
    return buffer.getvalue()


def packed_as(*names: str) -> Callable[[bytes], bytes]:
    def packed(data: bytes) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in names:
                archive.writestr(name, data)
        return buffer.getvalue()

    return packed


def packed_tar(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("w.pth")
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda data: data[: len(data) // 2], "its archive is cut short or damaged; fetch it"),
        (packed_zip, "an archive, but not one of torch.save: unpack it"),
        (packed_tar, "an archive of tar: unpack it first"),
        (packed_as("config.json", "model.weights.h5"), "a network of Keras: Kennel reads weights"),
        (packed_as("m/saved_model.pb"), "a SavedModel of TensorFlow: Kennel reads weights of PyT"),
        (lambda _: b'<?xml version="1.0"?><net name="m">', "OpenVINO's networks are not read"),
        (lambda _: b"BZh9" + bytes(99), "compressed with bzip2: unpack it first"),
        (lambda _: b"\x08\x08\x12\x07pytorch" + bytes(99), "neither torch.save nor safetensors"),
        (lambda _: b"\xff\xd8\xff\xe0" + bytes(99), "neither torch.save nor safetensors wrote it"),
        (lambda _: b"cat dog", "neither torch.save nor safetensors wrote it"),
        (lambda _: bytes(1000), "it is empty"),
    ],
)
def test_other_bytes_are_refused_with_what_to_do(
    change: Callable[[bytes], bytes], problem: str, tmp_path: Path
) -> None:
    torch.save({"fc.weight": torch.rand(3, 4)}, tmp_path / "good")
    assert problem in refused(change((tmp_path / "good").read_bytes()), tmp_path)


def test_a_program_of_torch_export_comes_with_the_cure(theirs: nn.Module, tmp_path: Path) -> None:
    pixels = torch.rand(2, 3, 64, 64)
    program, path = torch.export.export(theirs, (pixels,)), tmp_path / "m.pt2"
    torch.export.save(program, path)
    cure = "save its weights with torch.save(torch.export.load(path).state_dict, new_path)"
    assert cure in refused(path.read_bytes(), tmp_path)
    found = imported(torch.export.load(path).state_dict, tmp_path)
    torch.testing.assert_close(found(pixels), theirs(pixels), atol=1e-4, rtol=1e-4)


def test_a_file_of_before_torch_s_archives(theirs: nn.Module, tmp_path: Path) -> None:
    torch.save(theirs.state_dict(), tmp_path / "old", _use_new_zipfile_serialization=False)
    data = (tmp_path / "old").read_bytes()
    imported(data, tmp_path)
    assert "unexpected EOF" in refused(data[: len(data) // 2], tmp_path)


def test_a_folder_is_refused_as_one(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is a folder: give the file of weights in it"):
        importing.make(tmp_path, "resnet18", NAMES, SMALL)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(WeightsError, match=r"the file of weights in it, such as model\.safetens"):
        importing.make(tmp_path, "resnet18", NAMES, SMALL)


def test_a_bundle_is_refused_as_one(tmp_path: Path) -> None:
    """Its golden.safetensors has pictures, and no weights."""
    for name in ("kennel.json", "golden.safetensors", "model.safetensors"):
        (tmp_path / name).touch()
    with pytest.raises(WeightsError, match=r"is a bundle of Kennel already: serve it") as refused:
        importing.make(tmp_path, "resnet18", NAMES, SMALL)
    assert "golden" not in str(refused.value)


class _Prepared(nn.Module):
    """A network that prepares its input itself, as people wrap one for TorchScript."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("mask", torch.ones(3, dtype=torch.bool))
        self.register_buffer("bytes", torch.ones(3, dtype=torch.uint8))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(pixels)
        return logits


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_torchscript_with_masks_and_bytes_next_to_the_network(
    theirs: nn.Module, tmp_path: Path
) -> None:
    buffer = io.BytesIO()
    traced = torch.jit.trace(_Prepared(theirs), torch.rand(1, 3, 64, 64))  # type: ignore[no-untyped-call]
    torch.jit.save(traced, buffer)
    lines: list[str] = []
    found = imported(buffer.getvalue(), tmp_path, lines.append)
    assert torch.equal(networks.head(found).weight, networks.head(theirs).weight)
    assert lines == ["left out 3 tensors: mean, mask, bytes"]


def test_the_convolutions_in_data_parallel_as_in_pytorch_s_example(tmp_path: Path) -> None:
    state = torchvision.models.alexnet(num_classes=3).state_dict()
    wrapped = {name.replace("features.", "features.module."): one for name, one in state.items()}
    torch.save({"state_dict": wrapped}, tmp_path / "w.pth")
    found = importing.make(tmp_path / "w.pth", "alexnet", NAMES, SMALL).network
    assert torch.equal(found.state_dict()["features.0.weight"], state["features.0.weight"])


def test_the_names_of_another_package_come_with_a_word_on_its_input(tmp_path: Path) -> None:
    state = torchvision.models.vit_b_32(num_classes=3, image_size=64).state_dict()
    old = {"class_token": "cls_token", "encoder.pos_embedding": "pos_embed"}
    old |= {"conv_proj.": "patch_embed.proj.", "encoder.layers.encoder_layer_": "blocks."}
    old |= {".self_attention.out_proj.": ".attn.proj.", ".self_attention.in_proj_": ".attn.qkv."}
    old |= {".ln_1.": ".norm1.", ".ln_2.": ".norm2.", ".mlp.0.": ".mlp.fc1."}
    old |= {".mlp.3.": ".mlp.fc2.", "encoder.ln.": "norm.", "heads.head.": "head."}
    timm = {}
    for name, one in state.items():
        for ours, others in old.items():
            name = name.replace(ours, others)
        timm[name] = one
    torch.save(timm, tmp_path / "w.pth")
    lines: list[str] = []
    importing.make(tmp_path / "w.pth", "vit_b_32", NAMES, SMALL, None, lines.append)
    assert len(lines) == 1
    assert "those of timm's ViT, which often takes another input" in lines[0]


def test_a_network_of_another_package_keeps_its_own_names() -> None:
    """A registered network can be timm's itself."""
    state = {"cls_token": torch.zeros(1), "blocks.0.norm1.weight": torch.zeros(1)}
    assert foreign.translate(state, state.keys()) == (state, "")
    translated, package = foreign.translate(state, {"class_token"})
    assert translated.keys() == {"class_token", "encoder.layers.encoder_layer_0.ln_1.weight"}
    assert package == "timm's ViT"


def test_googlenet_that_does_not_rescale_its_input_is_undone_by_the_given_options(
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.googlenet(num_classes=3, aux_logits=False, init_weights=True)
    nn.init.normal_(theirs.fc.weight)
    theirs.eval().requires_grad_(False)
    torch.save(theirs.state_dict(), tmp_path / "w.pth")
    own = EvaluationTransform(resize=64, crop=64, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
    lines: list[str] = []
    importing.make(tmp_path / "w.pth", "googlenet", NAMES, own, None, lines.append)
    given = re.search(r"add --mean (\S+) --std (\S+)", lines[-1])
    assert given
    mean, std = (tuple(map(float, text.split(","))) for text in given.groups())
    undone = EvaluationTransform.model_validate(own.model_dump() | {"mean": mean, "std": std})
    found = importing.make(tmp_path / "w.pth", "googlenet", NAMES, undone).network
    colours = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8).numpy()
    expected = theirs(torch.from_numpy(own.normalise(colours)))
    torch.testing.assert_close(
        found(torch.from_numpy(undone.normalise(colours))), expected, atol=1e-3, rtol=1e-3
    )


def test_a_file_of_torchvision_has_the_input_of_its_own_weights() -> None:
    assert networks.preset("resnet50", "w.pth").resize == 256
    assert networks.preset("resnet50", "resnet50-11ad3fa6.pth").resize == 232
    swag = networks.preset("regnet_y_16gf", "regnet_y_16gf_swag-43afe44d.pth")
    assert (swag.crop, swag.interpolation) == (384, "bicubic")


@pytest.mark.parametrize(
    "data",
    [
        "caf\u00e9\nna\u00efve\n".encode("utf-16"),  # Windows PowerShell's `>`
        b"\xef\xbb\xbfcaf\xc3\xa9\r\nna\xc3\xafve\r\n",
        "cafe\u0301\nnai\u0308ve\n".encode(),  # macOS's decomposed form, as of its folders
    ],
)
def test_class_names_in_other_encodings(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(data)
    assert class_names.read(tmp_path / "c") == ("caf\u00e9", "na\u00efve")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"caf\xe9\ntea\n", r"it is not UTF-8 \(at byte 3\): save it as UTF-8"),
        (b'{"0": "cat", "1": "dog", "1": "bird"}', "it has '1' twice"),
        (b'{"1": "cat", "2": "dog"}', "outputs are counted from 0"),
        ("cafe\u0301\ncaf\u00e9\n".encode(), "is the name of classes 0 and 1"),
    ],
)
def test_class_names_that_would_go_wrong_silently(
    data: bytes, problem: str, tmp_path: Path
) -> None:
    (tmp_path / "c").write_bytes(data)
    with pytest.raises(ValueError, match=problem):
        class_names.read(tmp_path / "c")
