"""The bundle: loading returns what was saved; a changed bundle is refused."""

import contextlib
import hashlib
import json
import re
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from classifier import bundle, networks
from classifier.calibration import Novelty
from classifier.exporting import command
from classifier.transform import EvaluationTransform

CLASSES = ("Affenpinscher", "Beagle", "Dingo")


@pytest.fixture(scope="module")
def original() -> bundle.Bundle:
    torch.manual_seed(3)
    network = networks.build("resnet18", len(CLASSES))
    photos = np.random.default_rng(0).integers(0, 255, (2, 90, 120, 3), np.uint8)
    description = bundle.Description(
        architecture="resnet18",
        classes=CLASSES,
        folders=tuple(f"{i:03d}.{name}" for i, name in enumerate(CLASSES, 1)),
        transform=EvaluationTransform(resize=72, crop=64),
        metrics={"validation:accuracy": 0.5},
    )
    return bundle.make(network, description, [Image.fromarray(photo) for photo in photos])


@pytest.fixture
def saved(original: bundle.Bundle, tmp_path: Path) -> Path:
    bundle.save(original, tmp_path)
    return tmp_path


def test_loading_returns_what_was_saved(original: bundle.Bundle, saved: Path) -> None:
    loaded = bundle.load(saved)
    assert loaded.description == original.description
    assert loaded.golden.photos == original.golden.photos
    picture = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(loaded.network(picture), original.network(picture), rtol=0, atol=0)
    assert bundle.replay(loaded) <= 1e-6
    assert not loaded.network.training


def test_the_folder_has_three_plain_files(saved: Path) -> None:
    assert sorted(path.name for path in saved.iterdir()) == sorted(
        (bundle.MODEL, bundle.DESCRIPTION, bundle.GOLDEN)
    )
    contents = json.loads((saved / bundle.DESCRIPTION).read_text())
    assert contents["format"] == 1
    assert contents["classes"] == list(CLASSES)


def test_golden_pictures_are_small_and_without_metadata(saved: Path) -> None:
    photo = bundle.load(saved).golden.photos[0]
    assert photo.startswith(b"\xff\xd8")
    assert b"Exif" not in photo


def test_replay_detects_other_weights(saved: Path) -> None:
    loaded = bundle.load(saved)
    with torch.no_grad():
        networks.head(loaded.network).bias.add_(0.5)
    assert bundle.replay(loaded) > bundle.TOLERANCE


def test_replay_of_nan_is_never_good(saved: Path) -> None:
    loaded = bundle.load(saved)
    nan = loaded.golden.logits * float("nan")
    assert bundle.replay(loaded, lambda _: nan) == float("inf")


@pytest.mark.parametrize("name", [bundle.MODEL, bundle.GOLDEN])
def test_a_flipped_bit_is_refused(name: str, saved: Path) -> None:
    data = bytearray((saved / name).read_bytes())
    data[-5] ^= 1
    (saved / name).write_bytes(data)
    with pytest.raises(bundle.BundleError, match=f"{name} was changed or damaged"):
        bundle.load(saved)


def test_edited_classes_are_refused(saved: Path) -> None:
    path = saved / bundle.DESCRIPTION
    path.write_text(path.read_text().replace('"Beagle"', '"Poodle"'))
    with pytest.raises(bundle.BundleError, match="was changed after training"):
        bundle.load(saved)


def test_a_newer_format_is_refused(saved: Path) -> None:
    path = saved / bundle.DESCRIPTION
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 5}))
    with pytest.raises(bundle.BundleError, match=r"bundle format 5, this Kennel reads up to 4"):
        bundle.load(saved)


@pytest.mark.parametrize("name", [bundle.MODEL, bundle.GOLDEN, bundle.DESCRIPTION])
def test_a_missing_file_is_named(name: str, saved: Path) -> None:
    (saved / name).unlink()
    with pytest.raises(bundle.BundleError, match=name):
        bundle.load(saved)


@pytest.mark.parametrize(
    ("contents", "message"),
    [("[]", "has no bundle format"), ("{", "is not JSON"), ('{"format": "1"}', "no bundle")],
)
def test_json_of_another_program_is_refused(contents: str, message: str, saved: Path) -> None:
    (saved / bundle.DESCRIPTION).write_text(contents)
    with pytest.raises(bundle.BundleError, match=message):
        bundle.load(saved)


def reseal(folder: Path, **changes: object) -> None:
    """Rewrite kennel.json with changes and matching checksums, as a faulty writer might."""
    path = folder / bundle.DESCRIPTION
    contents = json.loads(path.read_text()) | changes
    contents["files"] = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in (bundle.MODEL, bundle.GOLDEN)
    }
    del contents["digest"]
    text = json.dumps(contents, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    contents["digest"] = hashlib.sha256(text.encode()).hexdigest()
    path.write_text(json.dumps(contents))


def test_a_class_count_that_does_not_match_the_weights_is_refused(saved: Path) -> None:
    reseal(saved, classes=["a", "b"], folders=["a", "b"])
    with pytest.raises(bundle.BundleError, match="is not a resnet18 with 2 classes"):
        bundle.load(saved)


def test_golden_logits_of_another_shape_are_refused(saved: Path) -> None:
    golden = safetensors.torch.load_file(saved / bundle.GOLDEN)
    golden["logits"] = golden["logits"][:, :2].contiguous()
    safetensors.torch.save_file(golden, saved / bundle.GOLDEN)
    reseal(saved)
    with pytest.raises(bundle.BundleError, match=r"2 pictures and logits of shape \(2, 2\)"):
        bundle.load(saved)


def test_an_unknown_field_is_refused(saved: Path) -> None:
    reseal(saved, preprocess="import os")
    with pytest.raises(bundle.BundleError, match="preprocess"):
        bundle.load(saved)


def test_the_error_for_an_empty_folder_says_what_a_bundle_is(tmp_path: Path) -> None:
    with pytest.raises(bundle.BundleError, match=r"found: nothing.*model\.safetensors"):
        bundle.load(tmp_path)


def test_a_bundle_needs_golden_pictures(original: bundle.Bundle) -> None:
    with pytest.raises(bundle.BundleError, match="at least one golden picture"):
        bundle.make(original.network, original.description, [])


def test_novelty_is_stored_and_raises_the_format(original: bundle.Bundle, tmp_path: Path) -> None:
    novelty = Novelty(quantiles=(-3.0, -2.0, 0.5))
    description = original.description.model_copy(update={"novelty": novelty})
    bundle.save(bundle.Bundle(description, original.network, original.golden), tmp_path)
    assert bundle.load(tmp_path).description.novelty == novelty
    assert json.loads((tmp_path / bundle.DESCRIPTION).read_text())["format"] == 2


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Stands for a full disk: what is written beyond is refused by the system."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_named_and_nothing_half_stays(
    original: bundle.Bundle, tmp_path: Path
) -> None:
    folder, target, copied = (tmp_path / name for name in ("b", "model.tar.gz", "copied"))
    bundle.save(original, folder)
    target.write_bytes(b"before")
    names = sorted(path.name for path in folder.iterdir())
    with files_of_at_most(2**16):
        with pytest.raises(OSError, match=re.escape(f"'{folder}/model.onnx'")):
            bundle.put(folder, {"model.onnx": bytes(2**20)})
        with pytest.raises(OSError, match=re.escape(f"'{target}'")):
            bundle.pack(folder, target)
        with pytest.raises(OSError, match=re.escape(f"{copied} cannot be written: [")) as raised:
            command._copy(folder, copied)
    assert "[(" not in str(raised.value)
    assert target.read_bytes() == b"before"
    assert sorted(path.name for path in folder.iterdir()) == names
    assert sorted(path.name for path in tmp_path.iterdir()) == [folder.name, target.name]
