"""The names of the supported networks, without importing torch.

torchvision's, which a test compares with its own list, and those that other packages register as
entry points (classifier.networks.Architecture).
"""

import difflib
import functools
import re
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points

ENTRY_POINTS = "kennel.architectures"

# Common names, and torchvision's.
ALIASES = {
    "resnext50": "resnext50_32x4d",
    "resnext101": "resnext101_32x8d",
    "wide_resnet50": "wide_resnet50_2",
    "wide_resnet101": "wide_resnet101_2",
}

# The smallest input in pixels, where it is more than 16; by the beginning of the name. A test tries
# them on the networks.
_LEAST = {
    "alexnet": 63,
    "convnext": 32,
    "densenet": 29,
    "inception": 75,
    "squeezenet1_0": 21,
    "squeezenet1_1": 17,
    "vgg": 32,
}
# Vision transformers cut the picture into patches; MaxViT divides what is left after its five
# halvings into windows of 7.
_MULTIPLES = {"vit_b_16": 16, "vit_l_16": 16, "vit_b_32": 32, "vit_l_32": 32, "vit_h_14": 14}
_MULTIPLES |= {"maxvit_t": 224}
_MOST_WORDS = 8  # letters or digits without a break, in a network's name

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
    """Return the name of a network: torchvision's for an alias or another spelling.

    Case and separators do not count: `ResNet50`, `resnet-50` and `ViT-B/16` are found.

    Raises:
        ValueError: no such network, or several; the message suggests names.
    """
    known = ALIASES.get(name, name)
    if known in ARCHITECTURES:
        return known
    others = registered()
    if name in others:
        return name
    names = (*ARCHITECTURES, *ALIASES, *others)
    found = _spelled(name, names)
    if len(found) == 1:
        return found.pop()
    near = sorted(found | mentioned(name)) or difflib.get_close_matches(
        name.lower(), names, n=3, cutoff=0.5
    )
    suggestion = f"did you mean {', '.join(near)}?" if near else "try resnet50."
    raise ValueError(
        f"unknown architecture {name!r}: {suggestion} A network of another package must be "
        "installed here."
    )


def mentioned(text: str) -> set[str]:
    """Return the networks whose whole name is in a text such as a file's name.

    `wide_resnet50_2-95faca4d.pth` mentions wide_resnet50_2, and neither resnet50 nor resnet5.
    """
    names = (*ARCHITECTURES, *ALIASES, *registered())
    words = list(re.finditer(r"[a-z]+|\d+", text.lower()))
    spans: dict[tuple[int, int], set[str]] = {}
    for first in range(len(words)):
        for last in range(first, min(len(words), first + _MOST_WORDS)):
            span = words[first].start(), words[last].end()
            if found := _spelled(text[slice(*span)], names):
                spans[span] = found
    longest = [
        found
        for (start, end), found in spans.items()
        if not any(a <= start and end <= b and (a, b) != (start, end) for a, b in spans)
    ]
    return set().union(*longest)


def _spelled(text: str, names: tuple[str, ...]) -> set[str]:
    """Return the networks of which a text is another spelling; several if it is ambiguous.

    A separator between two digits is compared first: `regnet_y-1.6gf` is not regnet_y_16gf.
    """
    for key in (_without_separators, _letters_and_digits):
        spelled = _keys(names, key)
        if found := spelled.get(key(text)):
            return set(found)
    return set()


@functools.cache
def _keys(names: tuple[str, ...], key: Callable[[str], str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name in names:
        found.setdefault(key(name), set()).add(ALIASES.get(name, name))
    return found


def _without_separators(text: str) -> str:
    joined = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    return re.sub(r"(?<!\d)_|_(?!\d)", "", joined)


def _letters_and_digits(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "", text.lower())


def check_size(architecture: str, size: int) -> None:
    """Check that one of torchvision's networks takes pictures of so many pixels a side.

    `networks.check_size` tries it, also for networks of other packages; this needs no torch.

    Raises:
        ValueError: it does not; the message has the sizes that it takes.
    """
    name = canonical(architecture)
    if name not in ARCHITECTURES:
        return
    least = next((n for family, n in _LEAST.items() if name.startswith(family)), 0)
    if size < least:
        raise ValueError(f"{name} takes pictures of at least {least} pixels, not {size}")
    step = _MULTIPLES.get(name, 1)
    if size % step:
        below = size // step * step
        near = f"{below} or {below + step}" if below else str(step)
        raise ValueError(f"{name} takes multiples of {step} pixels, not {size}: try {near}")
