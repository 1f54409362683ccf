"""The kinds of torchvision's networks, of which tests take the smallest."""

import torch
from torch import nn

# The smallest network of each kind: others of a kind have other widths and depths, and no other
# modules (`test_no_network_has_parts_that_none_of_these_has`).
SMALLEST = (
    *("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s"),
    *("googlenet", "inception_v3", "maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small"),
    *("regnet_x_400mf", "regnet_y_400mf", "resnet18", "resnet50", "shufflenet_v2_x0_5"),
    *("squeezenet1_1", "swin_t", "swin_v2_t", "vgg11", "vgg11_bn", "vit_b_32"),
)


def size(name: str) -> int:
    """Nearly the least that a network takes: its last batch norms see one position."""
    special = {"inception_v3": 96, "maxvit_t": 224, "vit_h_14": 28, "alexnet": 64}
    return special.get(name, 32)


def kind(network: nn.Module) -> tuple[str, frozenset[str]]:
    """Return what a network is made of: its class, and those of its modules."""
    return type(network).__name__, frozenset(type(one).__name__ for one in network.modules())


def leave(tensor: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
    """Stand in for an initialisation: memory that is not written to is not taken."""
    return tensor
