"""What other people's files have next to a network: read, said, or refused with what to do."""

import argparse
import re
from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torch.nn.utils import parametrizations, prune

from classifier import class_names, importing, networks
from classifier.statedict import WeightsError
from classifier.transform import EvaluationTransform

SMALL = EvaluationTransform(resize=72, crop=64)
NAMES = ("a", "b", "c")
State = dict[str, torch.Tensor]
Change = Callable[[State], object]


def fresh() -> nn.Module:
    torch.manual_seed(0)
    network: nn.Module = torchvision.models.shufflenet_v2_x0_5(num_classes=3).eval()
    nn.init.normal_(networks.head(network).weight)
    return network.requires_grad_(False)


@pytest.fixture(scope="module")
def theirs() -> nn.Module:
    return fresh()


def imported(
    contents: object,
    folder: Path,
    say: Callable[[str], None] = print,
    transform: EvaluationTransform = SMALL,
    name: str = "w.pth",
) -> nn.Module:
    torch.save(contents, folder / name)
    return importing.make(folder / name, "shufflenet_v2_x0_5", NAMES, transform, None, say).network


def refused(contents: object, folder: Path, name: str = "w.pth") -> str:
    with pytest.raises(WeightsError, match=re.escape(name)) as raised:
        imported(contents, folder, name=name)
    return str(raised.value)


@pytest.mark.parametrize(
    "beside",
    [
        argparse.Namespace(lr=0.1, output_dir=Path("out")),  # torchvision's and timm's scripts
        np.float64(91.5),
        np.zeros((2, 3)),
        Path("checkpoints"),
        defaultdict(list, {"loss": [1.0, 2.0]}),
        defaultdict(float, {"loss": 1.0}),
    ],
    ids=lambda one: type(one).__name__,
)
@pytest.mark.parametrize("archive", [True, False])
def test_plain_values_next_to_the_weights_are_no_obstacle(
    beside: object, archive: bool, theirs: nn.Module, tmp_path: Path
) -> None:
    contents = {"args": beside, "model": theirs.state_dict(), "best": beside}
    torch.save(contents, tmp_path / "w.pth", _use_new_zipfile_serialization=archive)
    made = importing.make(tmp_path / "w.pth", "shufflenet_v2_x0_5", NAMES, SMALL)
    pixels = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(made.network(pixels), theirs(pixels), atol=1e-4, rtol=1e-4)


def test_other_objects_are_still_refused(theirs: nn.Module, tmp_path: Path) -> None:
    contents = {"model": theirs.state_dict(), "loss": nn.CrossEntropyLoss()}
    assert "could run code" in refused(contents, tmp_path)


@pytest.mark.parametrize("extra", ["sigma", "lora_A", "weight_fake_quant.scale", "1.weight"])
def test_what_changes_a_head_s_numbers_is_refused(
    extra: str, theirs: nn.Module, tmp_path: Path
) -> None:
    """Such as the scale of a cosine classifier, which has no bias either."""
    state = theirs.state_dict() | {f"fc.{extra}": torch.ones(1)}
    assert f"unknown 1 tensors (fc.{extra})" in refused(state, tmp_path)
    del state["fc.bias"]
    assert f"unknown 1 tensors (fc.{extra})" in refused(state, tmp_path)


def test_one_output_for_two_classes_comes_with_the_cure(tmp_path: Path) -> None:
    network = torchvision.models.shufflenet_v2_x0_5(num_classes=1).eval().requires_grad_(False)
    pixels, state = torch.rand(2, 3, 64, 64), network.state_dict()
    for cured in (False, True):
        torch.save(state, tmp_path / "w.pth")
        if not cured:
            with pytest.raises(WeightsError, match=r"save fc\.weight and fc\.bias with zeros for"):
                importing.make(tmp_path / "w.pth", "shufflenet_v2_x0_5", ("a", "b"), SMALL)
        for name in ("fc.weight", "fc.bias"):
            state[name] = torch.cat([torch.zeros_like(state[name][:1]), state[name][-1:]])
    made = importing.make(tmp_path / "w.pth", "shufflenet_v2_x0_5", ("a", "b"), SMALL)
    shares = made.network(pixels).softmax(1)[:, 1:]
    torch.testing.assert_close(shares, network(pixels).sigmoid())


def under(state: State, prefix: str = "net.") -> State:
    return {prefix + name: one for name, one in state.items()}


@pytest.mark.parametrize(
    ("layer", "shape", "place"),
    [
        ("to_rgb.weight", (3, 1, 1, 1), "before"),
        ("first.running_mean", (3,), "before"),
        ("out.weight", (3, 3), "after"),
    ],
)
def test_a_layer_before_or_after_the_network_is_refused(
    layer: str, shape: tuple[int, ...], place: str, theirs: nn.Module, tmp_path: Path
) -> None:
    state = under(theirs.state_dict())
    problem = refused(state | {layer: torch.ones(shape)}, tmp_path)
    assert f"{layer} {shape}, which can be a layer {place} it" in problem
    assert problem.endswith("save the state dict of the network alone")
    imported(state | {"projector.weight": torch.ones(8, 1024)}, tmp_path)
    imported(state | {"loss.weight": torch.ones(3)}, tmp_path)


def test_its_own_mean_and_std_are_those_of_the_input(theirs: nn.Module, tmp_path: Path) -> None:
    for scale in (1.0, 255.0):
        own = {
            "normalise.mean": torch.tensor([0.5, 0.4, 0.3]).reshape(1, 3, 1, 1) * scale,
            "normalise.std": torch.full((1, 3, 1, 1), 0.25) * scale,
        }
        state = under(theirs.state_dict()) | own
        problem = refused(state, tmp_path)
        assert "give them as --mean 0.5,0.4,0.3 --std 0.25,0.25,0.25" in problem
        given = SMALL.model_copy(update={"mean": (0.5, 0.4, 0.3), "std": (0.25, 0.25, 0.25)})
        imported(state, tmp_path, transform=given)
    stated = {"norm_mean": [0.5, 0.4, 0.3], "norm_std": (0.25, 0.25, 0.25)}
    for more in (stated, {"normalize": stated}):
        problem = refused({"model": theirs.state_dict()} | more, tmp_path)
        assert "give them as --mean 0.5,0.4,0.3 --std 0.25,0.25,0.25" in problem
        imported({"model": theirs.state_dict()} | more, tmp_path, transform=given)
    without_numbers = {name: one.to("meta") for name, one in own.items()}
    imported(under(theirs.state_dict()) | without_numbers, tmp_path)


class _Prepares(nn.Module):
    """A network that prepares its input, as people script one: torchvision's own advice."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.transform = torchvision.transforms.Normalize([0.5, 0.4, 0.3], [0.25, 0.25, 0.25])
        self.network = network
        self.classes = ["a", "b", "c"]

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(self.transform(pixels))
        return logits


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_what_torchscript_does_with_its_input_is_compared(tmp_path: Path) -> None:
    scripted = torch.jit.script(_Prepares(fresh()))
    torch.jit.save(scripted, tmp_path / "w.pt")
    own = {"mean": (0.5, 0.4, 0.3), "std": (0.25, 0.25, 0.25)}
    for given, names, problem in (
        ({}, NAMES, "give them as --mean 0.5,0.4,0.3 --std 0.25,0.25,0.25"),
        (own, ("b", "a", "c"), "another order than in its own 'classes'"),
        (own, NAMES, ""),
    ):
        transform = SMALL.model_copy(update=given)
        with pytest.raises(WeightsError, match=problem) if problem else nullcontext():
            importing.make(tmp_path / "w.pt", "shufflenet_v2_x0_5", names, transform)


def test_another_size_than_the_file_s_own_is_said(theirs: nn.Module, tmp_path: Path) -> None:
    lines: list[str] = []
    sizes: list[object] = [64, 96, (3, 64, 64), 25088, 10**400, [], None]
    for size in sizes:
        contents = {
            "model": theirs.state_dict(),
            "img_size": size,
            "mean": [10**400] * 3,
            "std": "x",
        }
        imported(contents, tmp_path, lines.append)
    assert lines == ["its own 'img_size' is 96, and the input here is 64 pixels"]


def test_few_tensors_that_are_left_out_are_named_before_an_optimiser_s_many(
    theirs: nn.Module, tmp_path: Path
) -> None:
    lines: list[str] = []
    optimiser = {"state": {n: {"exp_avg": torch.ones(2)} for n in range(50)}}
    state = under(theirs.state_dict()) | {"decoder.weight": torch.ones(4, 4)}
    imported({"state_dict": state, "optimiser": optimiser}, tmp_path, lines.append)
    assert lines[0].startswith("left out 51 tensors: state_dict.decoder.weight, optimiser.state.")


def test_tensors_in_lists_are_named_too(theirs: nn.Module, tmp_path: Path) -> None:
    """Averaged weights without names; and a list can hold itself."""
    lines: list[str] = []
    shadow: list[object] = [torch.ones(2), torch.ones(3)]
    shadow += [shadow, shadow]
    states = {"optimizer_states": [{"state": {0: torch.ones(2)}}], "opt": {"state": [shadow]}}
    contents = {"model": theirs.state_dict(), "ema": {"shadow_params": shadow}} | states
    imported(contents, tmp_path, lines.append)
    assert lines == ["left out 2 tensors: ema.shadow_params.0, ema.shadow_params.1"]


def test_another_network_in_the_file_s_own_words_is_said(theirs: nn.Module, tmp_path: Path) -> None:
    """A network with blurred pools has the names of a plain one."""
    lines: list[str] = []
    for said in ("ShuffleNet_V2_x0.5", "resnetblur50", 3):
        imported({"arch": said, "state_dict": theirs.state_dict()}, tmp_path, lines.append)
    assert len(lines) == 1
    assert lines[0].startswith("its own 'arch' is resnetblur50, and shufflenet_v2_x0_5 is given")


def pruned(layer: nn.Module) -> object:
    return prune.l1_unstructured(layer, "weight", 0.3)  # type: ignore[no-untyped-call]


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize("place", ["conv1.0", "fc"])
@pytest.mark.parametrize(
    ("change", "cure"),
    [
        (pruned, r"call torch\.nn\.utils\.prune\.remove\(layer, 'weight'\), and save the state"),
        (parametrizations.weight_norm, r"call torch\.nn\.utils\.parametrize\.remove_param"),
        (nn.utils.weight_norm, r"call torch\.nn\.utils\.remove_weight_norm\(layer\)"),
        (nn.utils.spectral_norm, r"call torch\.nn\.utils\.remove_spectral_norm\(layer\)"),
    ],
)
def test_weights_that_are_computed_from_others_come_with_the_cure(
    change: Callable[[nn.Module], object], cure: str, place: str, tmp_path: Path
) -> None:
    network = fresh()
    change(network.get_submodule(place))
    assert re.search(cure, refused(network.state_dict(), tmp_path))


def test_numbers_as_names_and_parts_come_with_the_cure(theirs: nn.Module, tmp_path: Path) -> None:
    numbered = nn.Sequential(*theirs.children()).state_dict()
    assert "names are the numbers of nn.Sequential" in refused(numbered, tmp_path)
    of_fastai = {"model": numbered, "opt": {"state": [{"mom": torch.ones(2)}]}}
    assert "names are the numbers of nn.Sequential" in refused(of_fastai, tmp_path)
    part = dict(list(theirs.state_dict().items())[:50])
    assert "load all parts" in refused(part, tmp_path, "model-00001-of-00002.bin")


@pytest.mark.parametrize(
    "stated",
    [
        {"class_to_idx": {"b": 0, "a": 1, "c": 2}},
        {"classes": ("b", "a", "c")},
        {"hyper_parameters": {"id2label": {0: "b", 1: "a", 2: "c"}}},
    ],
)
def test_another_order_of_the_classes_than_the_file_s_own_is_refused(
    stated: dict[str, object], theirs: nn.Module, tmp_path: Path
) -> None:
    problem = refused({"model": theirs.state_dict()} | stated, tmp_path)
    assert "output 0 is 'b' there, and 'a' is given" in problem


def test_the_file_s_own_classes_are_compared_and_said(theirs: nn.Module, tmp_path: Path) -> None:
    lines: list[str] = []
    for stated in ({"c": 2, "b": 1, "a": 0}, {"n1": 0, "n2": 1, "n3": 2}, 3, ["n1", 2, None]):
        contents = {"class_to_idx": stated, "state_dict": theirs.state_dict()}
        imported(contents, tmp_path, lines.append)
    assert len(lines) == 1
    assert lines[0].startswith("its own 'class_to_idx' has other names, n1, n2, n3: compare")


@pytest.mark.parametrize(
    "text",
    [
        "1,dog\n0,cat\n2,bird\n",
        'index,name\n0,"cat"\n2,"bird"\n1,"dog"\n',
        "bird;2\r\ncat;0\r\ndog;1\r\n",
        "0: cat\n1: dog\n2: bird\n",
        "cat\t0\nbird\t2\ndog\t1\n",
    ],
)
def test_a_table_of_classes_is_read_by_its_numbers(text: str, tmp_path: Path) -> None:
    (tmp_path / "c").write_text(text)
    assert class_names.read(tmp_path / "c") == ("cat", "dog", "bird")


@pytest.mark.parametrize("text", ["dog 1\ncat 0\n", "2 dog\n1 cat\n", "2,dog\n1,cat\n"])
def test_numbers_in_another_order_than_the_lines_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "c").write_text(text)
    with pytest.raises(ValueError, match="in another order than the lines: sort them by the num"):
        class_names.read(tmp_path / "c")


def test_a_table_of_numbers_alone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("0,1\n1,2\n2,0\n")
    with pytest.raises(ValueError, match="both columns are numbers"):
        class_names.read(tmp_path / "c")


@pytest.mark.parametrize(
    "text",
    ["class 1\nclass 0\n", "2 euro\n1 euro\n", "001.ak47\n002.flag\n", "1 cat\n2 dog\n", "7\n3\n"],
)
def test_numbers_that_are_part_of_names_stay(text: str, tmp_path: Path) -> None:
    (tmp_path / "c").write_text(text)
    assert class_names.read(tmp_path / "c") == tuple(text.splitlines())
