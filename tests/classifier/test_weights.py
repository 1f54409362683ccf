"""Pretrained weights: where they are found, what is accepted, and the errors."""

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import nn

from classifier import bundle, networks
from classifier.weights import WeightsError, _choose, load_pretrained


@pytest.fixture(scope="module")
def teacher() -> nn.Module:
    torch.manual_seed(1)
    return networks.build("resnet18", 1000)


@pytest.fixture
def student() -> nn.Module:
    torch.manual_seed(2)
    return networks.build("resnet18", 4)


def same_features(one: nn.Module, other: nn.Module) -> bool:
    picture = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        return torch.equal(
            networks.features(one.eval())(picture), networks.features(other.eval())(picture)
        )


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_both_kinds_of_files(
    suffix: str, wrapped: bool, teacher: nn.Module, student: nn.Module, tmp_path: Path
) -> None:
    file = tmp_path / f"w{suffix}"
    state = {("module." * wrapped) + name: value for name, value in teacher.state_dict().items()}
    if suffix == ".pth":
        torch.save({"state_dict": state, "epoch": 3} if wrapped else state, file)
    else:
        safetensors.torch.save_file(state, file)
    head = networks.head(student).weight.clone()
    load_pretrained(student, "resnet18", file=file)
    assert same_features(teacher, student)
    assert torch.equal(networks.head(student).weight, head)  # the new head did not change


@pytest.mark.parametrize(
    ("prefix", "around"),
    [
        ("_orig_mod.", ()),
        ("module.", ("model_state_dict",)),
        ("model.", ("state_dict",)),  # Lightning's
        ("backbone.", ("model",)),
        ("net.", ("checkpoint", "weights")),
        ("module._orig_mod.", ("net",)),
        ("model.net.1.", ()),
    ],
)
def test_prefixes_and_dictionaries_around_the_tensors(
    prefix: str, around: tuple[str, ...], teacher: nn.Module, student: nn.Module, tmp_path: Path
) -> None:
    contents: dict[str, object] = {prefix + n: v for n, v in teacher.state_dict().items()}
    for key in around:
        contents = {key: contents, "epoch": 3, "optimizer": {"state": {0: torch.zeros(3)}}}
    torch.save(contents, tmp_path / "w.pth")
    load_pretrained(student, "resnet18", file=tmp_path / "w.pth")
    assert same_features(teacher, student)


def test_compiled_and_checkpointed_parts_inside_the_names(
    teacher: nn.Module, student: nn.Module, tmp_path: Path
) -> None:
    state = {
        name.replace("layer1.", "layer1._orig_mod.").replace("0.", "0._checkpoint_wrapped_module.")
        : value
        for name, value in teacher.state_dict().items()
    }  # fmt: skip
    torch.save(state, tmp_path / "w.pth")
    load_pretrained(student, "resnet18", file=tmp_path / "w.pth")
    assert same_features(teacher, student)


def test_averaged_weights_are_used_and_the_others_counted(
    teacher: nn.Module, student: nn.Module, tmp_path: Path
) -> None:
    """As torchvision's references and timm store them; the average is what they evaluate."""
    averaged = {"n_averaged": torch.tensor(9)}
    averaged |= {f"module.{name}": value for name, value in teacher.state_dict().items()}
    contents = {"model": student.state_dict(), "model_ema": averaged}
    torch.save(contents, tmp_path / "w.pth")
    origin = load_pretrained(student, "resnet18", file=tmp_path / "w.pth")
    assert same_features(teacher, student)
    assert "the averaged weights under 'model_ema.module.'" in origin
    assert "left out 123 tensors" in origin


def test_two_networks_of_the_same_names_are_refused(
    teacher: nn.Module, student: nn.Module, tmp_path: Path
) -> None:
    contents = {"student": student.state_dict(), "teacher": teacher.state_dict()}
    torch.save(contents, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"under 'student\.' and under 'teacher\.'"):
        load_pretrained(student, "resnet18", file=tmp_path / "w.pth")


def test_what_does_not_match_is_named_and_counted(
    teacher: nn.Module, student: nn.Module, tmp_path: Path
) -> None:
    state = teacher.state_dict()
    state["layer10.0.weight"] = torch.zeros(1)
    del state["layer2.0.conv1.weight"], state["layer2.0.conv2.weight"]
    state["layer1.0.conv1.weight"] = torch.zeros(64, 64, 1, 1)
    state["layer1.0.conv2.weight"] = state["layer1.0.conv2.weight"].to(torch.int8)
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(WeightsError) as raised:
        load_pretrained(student, "resnet18", file=tmp_path / "w.pth")
    assert str(raised.value) == (
        "w.pth does not have weights of resnet18: missing 2 tensors (layer2.0.conv1.weight, "
        "layer2.0.conv2.weight); unknown 1 tensors (layer10.0.weight); of another shape 1 tensors "
        "(layer1.0.conv1.weight (64, 64, 1, 1) instead of (64, 64, 3, 3)); of another type 1 "
        "tensors (layer1.0.conv2.weight torch.int8)"
    )


def test_a_vision_transformer_at_another_size_gets_interpolated_positions(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = networks.build("vit_b_32", 4, image_size=96)
    # A position is where it is in the picture, so that the right answer is known.
    across = torch.linspace(0, 1, 3)
    with torch.no_grad():
        table = source.get_parameter("encoder.pos_embedding")
        table[0, 1:, 0] = across.repeat(3)
        table[0, 1:, 1] = across.repeat_interleave(3)
    torch.save(source.state_dict(), tmp_path / "w.pth")
    target = networks.build("vit_b_32", 2, image_size=160)
    origin = load_pretrained(target, "vit_b_32", file=tmp_path / "w.pth")
    assert origin == "w.pth (its 3 x 3 positions are interpolated to 5 x 5)"
    found = target.get_parameter("encoder.pos_embedding")[0]
    finer = torch.linspace(0, 1, 5)
    torch.testing.assert_close(found[1:, 0], finer.repeat(5), atol=0.07, rtol=0)
    torch.testing.assert_close(found[1:, 1], finer.repeat_interleave(5), atol=0.07, rtol=0)
    assert torch.equal(found[0], table[0, 0])  # the class token's


@pytest.mark.parametrize("architecture", ["densenet121", "vit_b_32"])
def test_the_names_of_torchvision_s_own_older_files(architecture: str, tmp_path: Path) -> None:
    source = networks.build(architecture, 2, image_size=32)
    old = {}
    for name, value in source.state_dict().items():
        name = re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", name)
        name = re.sub(r"mlp\.0\.", "mlp.linear_1.", name)
        old[re.sub(r"mlp\.3\.", "mlp.linear_2.", name)] = value
    assert old.keys() != source.state_dict().keys()
    torch.save(old, tmp_path / "w.pth")
    target = networks.build(architecture, 3, image_size=32)
    assert load_pretrained(target, architecture, file=tmp_path / "w.pth") == "w.pth"
    state = target.state_dict()
    assert all(
        torch.equal(value, state[name])
        for name, value in source.state_dict().items()
        if not name.startswith(networks.head_name(source))
    )


@pytest.mark.parametrize("architecture", ["resnet50", "wide_resnet50_2", "vgg16", "vgg16_bn"])
def test_a_file_is_chosen_by_the_whole_name(architecture: str, tmp_path: Path) -> None:
    for name in ("resnet50-0676ba61", "wide_resnet50_2-95faca4d", "vgg16-3979", "VGG-16-BN-6c64"):
        (tmp_path / f"{name}.pth").touch()
    (tmp_path / "resnet501.pth").touch()
    found = _choose(tmp_path, architecture).name.lower().replace("-", "_")
    assert found.startswith("vgg_16_" if architecture == "vgg16_bn" else f"{architecture}_")


def test_half_precision_becomes_float32(
    teacher: nn.Module, student: nn.Module, tmp_path: Path
) -> None:
    file = tmp_path / "half.pth"
    torch.save(
        {k: v.half() if v.is_floating_point() else v for k, v in teacher.state_dict().items()}, file
    )
    load_pretrained(student, "resnet18", file=file)
    assert all(p.dtype == torch.float32 for p in student.parameters())


def test_the_file_named_after_the_network_is_chosen_in_the_channel(
    teacher: nn.Module, student: nn.Module, tmp_path: Path
) -> None:
    torch.save(teacher.state_dict(), tmp_path / "resnet18-abc.pth")
    torch.save({"x": torch.zeros(1)}, tmp_path / "vit_b_16-abc.pth")
    origin = load_pretrained(student, "resnet18", channel=tmp_path)
    assert origin == "channel pretrained: resnet18-abc.pth"
    assert same_features(teacher, student)


def test_the_error_for_an_empty_channel_says_what_it_needs(
    student: nn.Module, tmp_path: Path
) -> None:
    (tmp_path / "readme.md").write_text("no weights here")
    with pytest.raises(WeightsError, match=r"must have one weights file.*found: none"):
        load_pretrained(student, "resnet18", channel=tmp_path)


def test_the_hub_cache_is_used_before_the_download(
    teacher: nn.Module, student: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    torch.save(teacher.state_dict(), cache / "resnet18-f37072fd.pth")
    assert load_pretrained(student, "resnet18") == "hub cache: resnet18-f37072fd.pth"
    assert same_features(teacher, student)


@pytest.mark.slow
def test_without_a_network_connection_the_error_says_how_to_supply_weights(tmp_path: Path) -> None:
    """In a separate process, where a proxy that does not exist refuses every connection."""
    script = (
        "from classifier import networks, weights\n"
        "weights.load_pretrained(networks.build('resnet18', 2), 'resnet18')"
    )
    proxy = "http://127.0.0.1:9"
    result = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ
        | {"TORCH_HOME": str(tmp_path), "https_proxy": proxy, "HTTPS_PROXY": proxy, "no_proxy": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    last = result.stderr.strip().splitlines()[-1]
    assert "could not be downloaded" in last
    assert "network isolation" in last
    assert "channel named `pretrained` with resnet18-f37072fd.pth" in last


def test_another_networks_weights_are_refused(teacher: nn.Module, tmp_path: Path) -> None:
    file = tmp_path / "resnet18.pth"
    torch.save(teacher.state_dict(), file)
    with pytest.raises(WeightsError, match="does not have weights of resnet50: missing"):
        load_pretrained(networks.build("resnet50", 2), "resnet50", file=file)


def test_a_file_with_code_in_it_is_not_opened(student: nn.Module, tmp_path: Path) -> None:
    file = tmp_path / "whole-model.pth"
    torch.save(nn.Linear(2, 2), file)  # a pickled module, as torch.save(model) writes it
    with pytest.raises(WeightsError, match=r"could run code: save it again with torch\.save"):
        load_pretrained(student, "resnet18", file=file)


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_damaged_file_is_named(name: str, student: nn.Module, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"nonsense" * 9)
    with pytest.raises(WeightsError, match=f"{name}"):
        load_pretrained(student, "resnet18", file=tmp_path / name)


def test_a_missing_file_is_named(student: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no weights file at"):
        load_pretrained(student, "resnet18", file=tmp_path / "nowhere.pth")


@pytest.fixture(scope="module")
def small_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of two classes, in a folder and packed as SageMaker packs it."""
    folder = tmp_path_factory.mktemp("bundle")
    description = bundle.Description(
        architecture="resnet18",
        classes=("cat", "dog"),
        folders=("1.cat", "2.dog"),
        transform=networks.preset("resnet18").at_size(32),
    )
    torch.manual_seed(3)
    network = networks.build("resnet18", 2)
    bundle.save(bundle.make(network, description, [Image.new("RGB", (40, 40))]), folder)
    with tarfile.open(folder / "model.tar.gz", "w:gz", compresslevel=1) as archive:
        for name in (bundle.DESCRIPTION, bundle.MODEL, bundle.GOLDEN):
            archive.add(folder / name, f"./{name}")
        archive.add(folder / bundle.DESCRIPTION, "code/more.json")  # left out
    return folder


def test_an_archive_that_leaves_its_folder_is_refused(small_bundle: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz", compresslevel=1) as archive:
        for name in bundle.FILES:
            archive.add(small_bundle / name, name)
        archive.add(small_bundle / bundle.DESCRIPTION, "../outside")
    with pytest.raises(WeightsError, match=r"not a usable bundle: .*outside leaves the folder"):
        load_pretrained(networks.build("resnet18", 2), "resnet18", file=tmp_path / "model.tar.gz")


@pytest.mark.parametrize("packed", [True, False])
def test_training_continues_from_a_bundle_with_its_head(packed: bool, small_bundle: Path) -> None:
    student = networks.build("resnet18", 2)
    path = small_bundle / "model.tar.gz" if packed else small_bundle
    origin = load_pretrained(student, "resnet18", file=path, folders=("1.cat", "2.dog"))
    assert origin.endswith("(a bundle: its head too)")
    state = bundle.load(small_bundle).network.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in student.state_dict().items())


def test_a_bundle_of_other_classes_gives_all_but_its_head(small_bundle: Path) -> None:
    student = networks.build("resnet18", 3)
    origin = load_pretrained(student, "resnet18", channel=small_bundle, folders=("a", "b", "c"))
    assert origin.startswith("channel pretrained: ")
    assert "all but its head" in origin
    assert same_features(student, bundle.load(small_bundle).network)


def test_a_bundle_of_another_network_or_a_damaged_one_is_refused(
    small_bundle: Path, tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match=r"has a resnet18.*: set architecture=resnet18"):
        load_pretrained(networks.build("alexnet", 2), "alexnet", file=small_bundle)
    packed = tmp_path / "model.tar.gz"
    packed.write_bytes((small_bundle / "model.tar.gz").read_bytes()[:-1000])
    with pytest.raises(WeightsError, match="is not a usable bundle"):
        load_pretrained(networks.build("resnet18", 2), "resnet18", file=packed)
