"""Which parameters are trained, at which rate; frozen ones do not change."""

import pytest
import torch
from torch import nn

from classifier import networks
from train.config import ConfigError, TrainConfig
from train.learning.optimizer import build_optimizer, freeze, schedule, set_rates, set_training_mode


def trained(network: nn.Module) -> set[str]:
    return {n.split(".")[0] for n, p in network.named_parameters() if p.requires_grad}


@pytest.mark.parametrize(
    ("trainable", "parts"),
    [
        ("head", {"fc"}),
        ("layer4", {"layer4", "fc"}),
        ("layer3", {"layer3", "layer4", "fc"}),
        ("all", {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc"}),
    ],
)
def test_trainable_selects_the_parts(trainable: str, parts: set[str]) -> None:
    network = networks.build("resnet18", 3)
    freeze(network, trainable)
    assert trained(network) == parts


def test_trainable_can_name_a_nested_module() -> None:
    network = networks.build("mobilenet_v3_small", 3)
    freeze(network, "features.11")
    names = [name for name, p in network.named_parameters() if p.requires_grad]
    assert all(name.startswith(("features.11.", "features.12.", "classifier.")) for name in names)
    assert any(name.startswith("features.11.") for name in names)


def test_an_unknown_module_is_refused_with_the_known_names() -> None:
    with pytest.raises(ConfigError, match=r"no module 'layer5'.*layer1, layer2, layer3, layer4"):
        freeze(networks.build("resnet18", 3), "layer5")


@pytest.mark.parametrize(
    ("architecture", "module", "near"),
    [
        ("resnet18", "maxpool", "conv1, bn1, layer1, layer2, layer3, layer4, fc"),
        ("resnet18", "layer4.0.relu", r"layer4\.0\.conv1, layer4\.0\.bn1"),
        ("resnet18", "avgpool.nothing", "conv1, bn1, layer1"),
        ("squeezenet1_1", "classifier.0", r"classifier\.3"),
    ],
)
def test_a_module_without_parameters_is_refused_with_those_that_have(
    architecture: str, module: str, near: str
) -> None:
    problem = rf"module '{module}' (has nothing to train|in this network): .*{near}"
    with pytest.raises(ConfigError, match=problem):
        freeze(networks.build(architecture, 3), module)


def test_weight_decay_is_for_weights_only() -> None:
    """Every parameter without decay, by its own name, in networks that have all kinds of them."""
    decayed: set[str] = set()
    others: set[str] = set()
    for architecture, size in (("convnext_tiny", 32), ("vit_b_32", 32), ("swin_v2_t", 32)):
        network = networks.build(architecture, 3, image_size=size)
        names = {id(parameter): name for name, parameter in network.named_parameters()}
        freeze(network, "all")
        for group in build_optimizer(network, TrainConfig()).param_groups:
            kinds = decayed if group["weight_decay"] else others
            kinds |= {names[id(one)] for one in group["params"] if one.ndim > 1}
    assert {name.rsplit(".", 1)[-1] for name in decayed} == {"weight", "in_proj_weight"}
    assert not any("cpb_mlp" in name for name in decayed)
    scales = {"layer_scale", "logit_scale", "class_token", "pos_embedding"}
    assert {name.rsplit(".", 1)[-1] for name in others} == scales | {"weight"}
    assert all("cpb_mlp" in name for name in others if name.endswith("weight"))
    tables = networks.blank("swin_t", 3)
    freeze(tables, "all")
    plain = [
        g for g in build_optimizer(tables, TrainConfig()).param_groups if not g["weight_decay"]
    ]
    tables_left_out = {p.shape[0] for g in plain for p in g["params"] if p.ndim > 1}
    assert tables_left_out == {13 * 13}  # relative positions in a window of 7 x 7


def statistics(network: nn.Module) -> dict[str, torch.Tensor]:
    return {n: b.clone() for n, b in network.named_buffers() if n.endswith("running_mean")}


@pytest.mark.parametrize("frozen_norm", [False, True])
def test_frozen_batch_norm_keeps_its_statistics(frozen_norm: bool) -> None:
    torch.manual_seed(0)
    network = networks.build("resnet18", 3)
    freeze(network, "layer4")
    set_training_mode(network, freeze_batch_norm=frozen_norm)
    before = statistics(network)
    network(torch.rand(4, 3, 64, 64) + 3)
    changed = {n for n, b in statistics(network).items() if not torch.equal(b, before[n])}
    assert {name.split(".")[0] for name in changed} == (set() if frozen_norm else {"layer4"})


def test_dropout_is_active_in_the_trained_part_only() -> None:
    network = networks.build("mobilenet_v3_small", 3)
    freeze(network, "head")
    set_training_mode(network, freeze_batch_norm=False)
    assert network.get_submodule("classifier.2").training  # the dropout before the head
    assert not network.get_submodule("features").training


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_head_and_backbone_have_separate_rates(optimizer: str) -> None:
    network = networks.build("resnet18", 3)
    freeze(network, "layer4")
    config = TrainConfig.model_validate(
        {"optimizer": optimizer, "learning_rate": 0.1, "backbone_learning_rate": 0.001}
    )
    groups = build_optimizer(network, config).param_groups
    rate = {id(p): g["lr"] for g in groups for p in g["params"]}
    decay = {id(p): g["weight_decay"] for g in groups for p in g["params"]}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert rate[id(parameter)] == (0.1 if name.startswith("fc.") else 0.001)
            assert decay[id(parameter)] == (1e-4 if parameter.ndim > 1 else 0)
        else:
            assert id(parameter) not in rate


def test_the_backbones_default_rate_is_a_tenth() -> None:
    assert TrainConfig(learning_rate=0.05).backbone_rate == pytest.approx(0.005)


def test_the_schedule_warms_up_and_then_follows_a_cosine() -> None:
    config = TrainConfig(epochs=10, warmup_epochs=2)
    factors = [schedule(config, step, 100) for step in range(1000)]
    assert factors[:200] == sorted(factors[:200])
    assert factors[200:] == sorted(factors[200:], reverse=True)
    assert factors[0] < 0.01
    assert factors[200] == 1
    assert factors[600] == pytest.approx(0.5, abs=0.01)
    assert factors[-1] < 0.001


def test_the_constant_schedule_is_constant() -> None:
    config = TrainConfig(schedule="constant")
    assert {schedule(config, step, 10) for step in range(30)} == {1.0}


def test_rates_follow_the_schedule() -> None:
    network = networks.build("resnet18", 3)
    freeze(network, "all")
    config = TrainConfig(epochs=2, learning_rate=0.2)
    optimizer = build_optimizer(network, config)
    set_rates(optimizer, config, step=10, steps_per_epoch=10)
    assert {round(g["lr"], 6) for g in optimizer.param_groups} == {0.1, 0.01}
