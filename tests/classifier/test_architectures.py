"""The known names are torchvision's, and a wrong one gets a suggestion."""

import pytest
import torchvision

from classifier.architectures import ALIASES, ARCHITECTURES, canonical, mentioned


def test_the_list_equals_torchvisions() -> None:
    theirs = torchvision.models.list_models(module=torchvision.models)
    assert sorted(ARCHITECTURES) == sorted(theirs)


def test_every_alias_is_the_name_of_a_network() -> None:
    assert all(canonical(alias) in ARCHITECTURES for alias in ALIASES)


def test_a_wrong_name_is_refused_with_a_suggestion() -> None:
    with pytest.raises(ValueError, match=r"unknown architecture 'resnet5'.*resnet50"):
        canonical("resnet5")


def test_a_name_like_no_other_gets_a_default_suggestion() -> None:
    with pytest.raises(ValueError, match="try resnet50"):
        canonical("!!!!")


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        *(
            (spelling, "resnet50")
            for spelling in ("ResNet50", "resnet-50", "RESNET_50", " ResNet 50")
        ),
        *((spelling, "vit_b_16") for spelling in ("ViT-B/16", "vitb16", "ViT_B_16")),
        ("EfficientNet-B0", "efficientnet_b0"),
        ("EfficientNetV2-S", "efficientnet_v2_s"),
        ("VGG16-BN", "vgg16_bn"),
        ("RegNetY-1.6GF", "regnet_y_1_6gf"),
        ("RegNetY-16GF", "regnet_y_16gf"),
        ("MNASNet1.0", "mnasnet1_0"),
        ("ResNeXt-50 (32x4d)", "resnext50_32x4d"),
        ("Wide-ResNet-50", "wide_resnet50_2"),
        ("Swin-T", "swin_t"),
    ],
)
def test_other_spellings_of_a_name(spelling: str, name: str) -> None:
    assert canonical(spelling) == name


def test_every_name_is_found_in_capitals_with_dashes() -> None:
    for name in ARCHITECTURES:
        assert canonical(name.upper().replace("_", "-")) == name


@pytest.mark.parametrize("name", ["MobileNetV3", "microsoft/resnet-50", "ResNet"])
def test_what_could_be_several_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"unknown architecture .*did you mean .*(mobile|res)"):
        canonical(name)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("wide_resnet50_2-95faca4d.pth", {"wide_resnet50_2"}),
        ("my-ResNet-50_best.pth", {"resnet50"}),
        ("mnasnet0.5_top1_67.823-3ffadce67e.pth", {"mnasnet0_5"}),
        ("regnet_x_16gf.pth", {"regnet_x_16gf"}),
        ("resnet501.pth", set()),
        ("from-resnet18-to-resnet50.pth", {"resnet18", "resnet50"}),
    ],
)
def test_the_networks_that_a_text_mentions(text: str, names: set[str]) -> None:
    assert mentioned(text) == names
