"""What stands in files next to the weights, as of Hugging Face and timm: compared, not ignored."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import safetensors.torch
import torch
import torchvision
from torch import nn

from classifier import importing, matching, networks
from classifier.others import configs, foreign
from classifier.statedict import WeightsError
from classifier.transform import EvaluationTransform
from tests.classifier.test_importing import hugging_face

SMALL = EvaluationTransform(resize=72, crop=64)
NAMES = ("a", "b", "c")
# As transformers 4 and 5 write it of ResNetForImageClassification.
RESNET: dict[str, object] = {
    "model_type": "resnet",
    "hidden_act": "relu",
    "downsample_in_bottleneck": False,
    "downsample_in_first_stage": False,
    "id2label": {"0": "a", "1": "b", "2": "c"},
}
PICTURES: dict[str, object] = {
    "do_normalize": True,
    "image_mean": list(SMALL.mean),
    "image_std": list(SMALL.std),
    "resample": 2,
    "size": {"shortest_edge": 64},
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    torch.manual_seed(0)
    network = torchvision.models.resnet18(num_classes=3)
    state = {name: one.clone() for name, one in network.state_dict().items()}
    return safetensors.torch.save(hugging_face(state))


def imported(weights: bytes, folder: Path, **files: Mapping[str, object]) -> list[str]:
    """Import the file with others next to it; return the lines after that of the package."""
    (folder / "model.safetensors").write_bytes(weights)
    for name, contents in files.items():
        (folder / f"{name}.json").write_text(json.dumps(contents))
    lines: list[str] = []
    importing.make(folder / "model.safetensors", "resnet18", NAMES, SMALL, None, lines.append)
    return [line for line in lines if "the names are those of Hugging Face" not in line]


def test_files_that_agree_are_no_obstacle(weights: bytes, tmp_path: Path) -> None:
    assert imported(weights, tmp_path, config=RESNET, preprocessor_config=PICTURES) == []
    defaults = RESNET | {"id2label": {str(n): f"LABEL_{n}" for n in range(3)}}
    assert imported(weights, tmp_path, config=defaults) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"downsample_in_bottleneck": True},
        {"downsample_in_first_stage": True},
        {"hidden_act": "gelu"},
    ],
)
def test_a_network_that_computes_something_else_is_refused(
    changed: dict[str, object], weights: bytes, tmp_path: Path
) -> None:
    """The weights alone look the same."""
    (name,) = changed
    with pytest.raises(WeightsError, match=f"{name} .*would give other answers") as raised:
        imported(weights, tmp_path, config=RESNET | changed)
    assert "model.safetensors" in str(raised.value)


def test_the_heads_of_attention_are_compared(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "vit", "num_attention_heads": 8}')
    with pytest.raises(WeightsError, match=r"num_attention_heads 8, and .* computes with 2"):
        configs.check(tmp_path / "w.bin", vision_transformer())
    (tmp_path / "config.json").write_text('{"model_type": "vit", "num_attention_heads": 2}')
    configs.check(tmp_path / "w.bin", vision_transformer())


def test_classes_in_another_order_are_refused(weights: bytes, tmp_path: Path) -> None:
    config = RESNET | {"id2label": {"0": "b", "1": "a", "2": "c"}}
    with pytest.raises(WeightsError, match=r"another order than in its own 'config\.json\.id2lab"):
        imported(weights, tmp_path, config=config)


@pytest.mark.parametrize(
    ("changed", "options"),
    [
        ({"image_mean": [0.5] * 3, "image_std": [0.5] * 3}, "--mean 0.5,0.5,0.5 --std 0.5,0.5,0."),
        ({"do_normalize": False}, "--mean 0,0,0 --std 1,1,1"),
    ],
)
def test_another_mean_and_std_are_refused_with_the_options(
    changed: dict[str, object], options: str, weights: bytes, tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match=f"give them as {re.escape(options)}"):
        imported(weights, tmp_path, preprocessor_config=PICTURES | changed)


def test_another_size_and_filter_are_said(weights: bytes, tmp_path: Path) -> None:
    pictures = PICTURES | {"resample": 3, "size": {"height": 96, "width": 96}}
    said = " ".join(imported(weights, tmp_path, preprocessor_config=pictures))
    assert "interpolation' is bicubic, and the input here is made with bilinear" in said
    assert "image_size' is 96, and the input here is 64 pixels" in said
    cropped = PICTURES | {"size": 80, "do_center_crop": True, "crop_size": {"height": 64}}
    assert imported(weights, tmp_path, preprocessor_config=cropped) == []


def test_timm_s_own_file_is_compared(weights: bytes, tmp_path: Path) -> None:
    """A network with blurred pools has the names of a plain one."""
    timm: dict[str, object] = {
        "architecture": "resnetblur18",
        "pretrained_cfg": {"input_size": [3, 64, 64]},
    }
    (line,) = imported(weights, tmp_path, config=timm)
    assert line.startswith("its own 'config.json.architecture' is resnetblur18, and resnet18 is")
    timm["architecture"] = "resnet18"
    assert imported(weights, tmp_path, config=timm) == []
    timm["pretrained_cfg"] = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    with pytest.raises(WeightsError, match=r"give them as --mean 0\.5,0\.5,0\.5"):
        imported(weights, tmp_path, config=timm)


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"id2label": 3}', "[" * 100_000, "\xff"])
def test_other_files_of_these_names_say_nothing(text: str, weights: bytes, tmp_path: Path) -> None:
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_text(text, encoding="latin-1")
    assert imported(weights, tmp_path) == []


@pytest.mark.parametrize(
    "picture",
    [
        {"size": "large", "image_mean": None, "image_std": 3, "resample": [2]},
        {"size": {}, "image_mean": ["a", 1, 2], "resample": True},
        {"crop_size": [], "do_center_crop": True, "size": {"height": {}}},
    ],
)
def test_values_of_other_kinds_say_nothing(
    picture: dict[str, object], weights: bytes, tmp_path: Path
) -> None:
    config = {"model_type": ["resnet"], "pretrained_cfg": 3, "id2label": {}, "architecture": 5}
    assert imported(weights, tmp_path, config=config, preprocessor_config=picture) == []


def vision_transformer() -> nn.Module:
    torch.manual_seed(0)
    network: nn.Module = torchvision.models.VisionTransformer(32, 16, 2, 2, 8, 16, num_classes=3)
    nn.init.normal_(networks.head(network).weight)
    return network.eval().requires_grad_(False)


def test_a_state_dict_of_transformers_5_has_other_names_than_its_saved_files() -> None:
    network = vision_transformer()
    theirs: dict[str, torch.Tensor] = {}
    names = {
        "class_token": "vit.embeddings.cls_token",
        "encoder.pos_embedding": "vit.embeddings.position_embeddings",
        "conv_proj.": "vit.embeddings.patch_embeddings.projection.",
        "encoder.layers.encoder_layer_": "vit.layers.",
        ".self_attention.out_proj.": ".attention.o_proj.",
        ".ln_1.": ".layernorm_before.",
        ".ln_2.": ".layernorm_after.",
        ".mlp.0.": ".mlp.fc1.",
        ".mlp.3.": ".mlp.fc2.",
        "encoder.ln.": "vit.layernorm.",
        "heads.head.": "classifier.",
    }
    for name, one in network.state_dict().items():
        for ours, other in names.items():
            name = name.replace(ours, other)
        path, found, part = name.partition(".self_attention.in_proj_")
        if found:
            for letter, third in zip("qkv", one.chunk(3), strict=True):
                theirs[f"{path}.attention.{letter}_proj.{part}"] = third
        else:
            theirs[name] = one
    assert "vit.layers.1.attention.k_proj.bias" in theirs
    match = matching.match(theirs, network, with_head=True)
    assert match.package == "Hugging Face's ViT"
    for name, one in network.state_dict().items():
        assert torch.equal(match.state[name], one)
    assert foreign.translate(theirs, theirs.keys()) == (theirs, "")
