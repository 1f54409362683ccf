"""A bundle is a stranger: whatever is wrong with it, loading it raises a BundleError."""

import hashlib
import io
import json
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from PIL import Image

from classifier import bundle, networks
from classifier.transform import EvaluationTransform

ARCHITECTURE = "shufflenet_v2_x0_5"
TRANSFORM = EvaluationTransform(resize=36, crop=32).model_dump()


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    description = bundle.Description(
        architecture=ARCHITECTURE,
        classes=("cat", "dog"),
        folders=("cat", "dog"),
        transform=EvaluationTransform(resize=36, crop=32),
    )
    network = networks.build(ARCHITECTURE, 2)
    bundle.save(bundle.make(network, description, [Image.new("RGB", (40, 40))]), folder)
    return folder


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "bundle"))


def reseal(folder: Path, **changes: object) -> None:
    """Write kennel.json with changes and checksums that match; what is None is left out."""
    path = folder / bundle.DESCRIPTION
    contents = json.loads(path.read_text())
    del contents["digest"]
    contents["files"] = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in (bundle.MODEL, bundle.GOLDEN)
    }
    contents = {name: one for name, one in (contents | changes).items() if one is not None}
    text = json.dumps(contents, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    contents["digest"] = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    path.write_text(json.dumps(contents))


def replace(folder: Path, name: str, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Write changed tensors, with a checksum that matches."""
    tensors = safetensors.torch.load((folder / name).read_bytes())
    change(tensors)
    (folder / name).write_bytes(safetensors.torch.save(tensors))
    reseal(folder)


def photo(data: bytes) -> torch.Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


def png(width: int, height: int) -> bytes:
    """A PNG whose header promises a size."""
    buffer = io.BytesIO()
    Image.new("RGB", (1, 1)).save(buffer, "PNG")
    data = bytearray(buffer.getvalue())
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


NAMES = [str(number) for number in range(200_000)]
DESCRIPTIONS: dict[str, tuple[dict[str, object], str]] = {
    "format true": ({"format": True}, "has no bundle format"),
    "format 0": ({"format": 0}, "has no bundle format"),
    "format -1": ({"format": -1}, "has no bundle format"),
    "format 10**400": ({"format": 10**400}, "this Kennel reads up to"),
    "too many classes": ({"classes": NAMES, "folders": NAMES}, "at most 100000"),
    "more classes than weights": (
        {"classes": NAMES[:90_000], "folders": NAMES[:90_000]},
        "with 90000 classes: no weights have this many rows",
    ),
    "numbers as classes": ({"classes": [1, 2]}, "valid string"),
    "a class that is not UTF-8": ({"classes": ["\udcff", "dog"]}, "does not load"),
    "fewer folders": ({"folders": ["cat"]}, "1 folders for 2 classes"),
    "no classes": ({"classes": None}, "classes"),
    "huge crop": ({"transform": TRANSFORM | {"crop": 10**6, "resize": 10**6}}, "at most 2048"),
    "huge resize": ({"transform": TRANSFORM | {"resize": 10**6}}, "at most 2048 and 4096"),
    "resize 10**30": ({"transform": TRANSFORM | {"resize": 10**30}}, "resize"),
    "crop 0": ({"transform": TRANSFORM | {"crop": 0}}, "crop"),
    "mean is no number": ({"transform": TRANSFORM | {"mean": [float("nan")] * 3}}, "finite"),
    "infinite std": ({"transform": TRANSFORM | {"std": [float("inf")] * 3}}, "finite"),
    "std 0": ({"transform": TRANSFORM | {"std": [0, 1, 1]}}, "std"),
    "interpolation": ({"transform": TRANSFORM | {"interpolation": "eval"}}, "interpolation"),
    "temperature 0": ({"temperature": 0}, "temperature"),
    "temperature -1": ({"temperature": -1}, "temperature"),
    "infinite temperature": ({"temperature": float("inf")}, "temperature"),
    "temperature is no number": ({"temperature": float("nan")}, "temperature"),
    "quantiles": ({"novelty": {"quantiles": [float("nan")] * 3}}, "finite"),
    "unknown network": ({"architecture": "../../etc/passwd"}, "passwd"),
    "network of a module": ({"architecture": "os.system"}, "os.system"),
    "an empty name": ({"architecture": ""}, "bundle"),
    "another network": ({"architecture": "resnet18"}, "is not a resnet18 with 2 classes"),
    "no checksums": ({"files": None}, "was changed after training"),
    "checksums of another kind": ({"files": {bundle.MODEL: [1]}}, "was changed or damaged"),
    "deep provenance": (
        {"training": json.loads('{"a":' * 300 + "1" + "}" * 300)},
        "does not describe|does not load|is not JSON",
    ),
}


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_hostile_descriptions_are_refused(name: str, folder: Path) -> None:
    changes, message = DESCRIPTIONS[name]
    reseal(folder, **changes)
    with pytest.raises(bundle.BundleError, match=message):
        bundle.load(folder)


TENSORS: dict[str, tuple[str, Callable[[dict[str, torch.Tensor]], object], str]] = {
    "photo is no picture": (
        bundle.GOLDEN,
        lambda golden: golden.update({"photo.0": photo(b"no picture")}),
        "not a usable picture",
    ),
    "photo is empty": (
        bundle.GOLDEN,
        lambda golden: golden.update({"photo.0": torch.empty(0, dtype=torch.uint8)}),
        "the picture is empty",
    ),
    "photo of 4 gigapixels": (
        bundle.GOLDEN,
        lambda golden: golden.update({"photo.0": photo(png(65_000, 65_000))}),
        "not a usable picture: .*pixels",
    ),
    "photo of floats": (
        bundle.GOLDEN,
        lambda golden: golden.update({"photo.0": torch.zeros(9)}),
        "is not the bytes of a picture",
    ),
    "photo of two dimensions": (
        bundle.GOLDEN,
        lambda golden: golden.update({"photo.0": golden["photo.0"][None]}),
        "is not the bytes of a picture",
    ),
    "other names": (
        bundle.GOLDEN,
        lambda golden: golden.update({"photo.7": golden.pop("photo.0")}),
        r"does not have photo\.0",
    ),
    "thousands of photos": (
        bundle.GOLDEN,
        lambda golden: golden.update(
            {f"photo.{index}": photo(b"x") for index in range(3000)}
            | {"logits": torch.zeros(3000, 2)}
        ),
        "at most 16 pictures",
    ),
    "no logits": (bundle.GOLDEN, lambda golden: golden.pop("logits"), "logits of shape"),
    "logits are no numbers": (
        bundle.GOLDEN,
        lambda golden: golden["logits"].fill_(float("nan")),
        "not finite float32",
    ),
    "logits of another type": (
        bundle.GOLDEN,
        lambda golden: golden.update(logits=golden["logits"].long()),
        "not finite float32",
    ),
    "weights of float64": (
        bundle.MODEL,
        lambda state: state.update({"fc.weight": state["fc.weight"].double()}),
        r"fc\.weight is torch\.float64",
    ),
    "weights of int8": (
        bundle.MODEL,
        lambda state: state.update({"conv1.0.weight": state["conv1.0.weight"].to(torch.int8)}),
        "is torch.int8",
    ),
    "weights are missing": (
        bundle.MODEL,
        lambda state: state.pop("conv1.0.weight"),
        "is not a shufflenet_v2_x0_5 with 2 classes",
    ),
    "weights of another shape": (
        bundle.MODEL,
        lambda state: state.update({"conv1.0.weight": torch.zeros(1, 1)}),
        "is not a shufflenet_v2_x0_5 with 2 classes",
    ),
    "more weights": (
        bundle.MODEL,
        lambda state: state.update({"more": torch.zeros(1)}),
        "is not a shufflenet_v2_x0_5 with 2 classes",
    ),
}


@pytest.mark.parametrize("name", TENSORS)
def test_hostile_tensors_are_refused(name: str, folder: Path) -> None:
    file, change, message = TENSORS[name]
    replace(folder, file, change)
    with pytest.raises(bundle.BundleError, match=message):
        bundle.load(folder)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 8,
        struct.pack("<Q", 2**40),
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 70)
        + b'{"a":{"dtype":"F32","shape":[9999999999],"data_offsets":[0,4]}}'.ljust(70),
    ],
    ids=["empty", "no length", "a header of a terabyte", "a list", "more numbers than bytes"],
)
@pytest.mark.parametrize("name", [bundle.MODEL, bundle.GOLDEN])
def test_damaged_files_with_good_checksums_are_refused(
    name: str, data: bytes, folder: Path
) -> None:
    (folder / name).write_bytes(data)
    reseal(folder)
    with pytest.raises(bundle.BundleError, match=name):
        bundle.load(folder)


@pytest.mark.parametrize(
    "text",
    ['{"a":' * 100_000, "[" * 100_000, '{"format": 1' + "0" * 5000 + "}", "\x00", "\udcff", ""],
    ids=["deep objects", "deep lists", "a long number", "a zero", "not UTF-8", "empty"],
)
def test_hostile_json_is_refused(text: str, folder: Path) -> None:
    (folder / bundle.DESCRIPTION).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(bundle.BundleError, match="is not JSON"):
        bundle.load(folder)


def test_a_huge_description_is_not_read(folder: Path) -> None:
    with (folder / bundle.DESCRIPTION).open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(bundle.BundleError, match="bytes: use the original"):
        bundle.load(folder)


def test_folders_instead_of_files_are_refused(folder: Path) -> None:
    (folder / bundle.GOLDEN).unlink()
    (folder / bundle.GOLDEN).mkdir()
    with pytest.raises(bundle.BundleError, match="is missing"):
        bundle.load(folder)


def test_the_good_bundle_loads(folder: Path) -> None:
    reseal(folder)
    assert bundle.replay(bundle.load(folder)) < bundle.TOLERANCE
