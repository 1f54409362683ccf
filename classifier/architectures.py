"""The names of the supported networks, without importing torch.

torchvision's, which a test compares with its own list, and those that other packages register as
entry points (classifier.networks.Architecture).
"""

import difflib
from importlib.metadata import EntryPoint, entry_points

ENTRY_POINTS = "kennel.architectures"

# Common names, and torchvision's.
ALIASES = {
    "resnext50": "resnext50_32x4d",
    "resnext101": "resnext101_32x8d",
    "wide_resnet50": "wide_resnet50_2",
    "wide_resnet101": "wide_resnet101_2",
}

ARCHITECTURES: tuple[str, ...] = tuple(
    """
    alexnet
    convnext_base convnext_large convnext_small convnext_tiny
    densenet121 densenet161 densenet169 densenet201
    efficientnet_b0 efficientnet_b1 efficientnet_b2 efficientnet_b3
    efficientnet_b4 efficientnet_b5 efficientnet_b6 efficientnet_b7
    efficientnet_v2_l efficientnet_v2_m efficientnet_v2_s
    googlenet inception_v3 maxvit_t
    mnasnet0_5 mnasnet0_75 mnasnet1_0 mnasnet1_3
    mobilenet_v2 mobilenet_v3_large mobilenet_v3_small
    regnet_x_16gf regnet_x_1_6gf regnet_x_32gf regnet_x_3_2gf
    regnet_x_400mf regnet_x_800mf regnet_x_8gf
    regnet_y_128gf regnet_y_16gf regnet_y_1_6gf regnet_y_32gf
    regnet_y_3_2gf regnet_y_400mf regnet_y_800mf regnet_y_8gf
    resnet101 resnet152 resnet18 resnet34 resnet50
    resnext101_32x8d resnext101_64x4d resnext50_32x4d
    shufflenet_v2_x0_5 shufflenet_v2_x1_0 shufflenet_v2_x1_5 shufflenet_v2_x2_0
    squeezenet1_0 squeezenet1_1
    swin_b swin_s swin_t swin_v2_b swin_v2_s swin_v2_t
    vgg11 vgg11_bn vgg13 vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn
    vit_b_16 vit_b_32 vit_h_14 vit_l_16 vit_l_32
    wide_resnet101_2 wide_resnet50_2
    """.split()
)


def registered() -> dict[str, EntryPoint]:
    """Return the architectures of other packages by name. They are not imported.

    Raises:
        ValueError: two packages, or a package and torchvision, use the same name.
    """
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=ENTRY_POINTS):
        if point.name in (*ARCHITECTURES, *ALIASES, *found):
            raise ValueError(f"architecture {point.name!r} of {point.value} needs another name")
        found[point.name] = point
    return found


def canonical(name: str) -> str:
    """Return the name of a network: torchvision's name for an alias, else the name itself.

    Raises:
        ValueError: no such network; the message suggests similar names.
    """
    known = ALIASES.get(name, name)
    if known in ARCHITECTURES:
        return known
    others = registered()
    if name in others:
        return name
    names = (*ARCHITECTURES, *ALIASES, *others)
    near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
    suggestion = f"did you mean {', '.join(near)}?" if near else "try resnet50."
    raise ValueError(
        f"unknown architecture {name!r}: {suggestion} A network of another package must be "
        "installed here."
    )
