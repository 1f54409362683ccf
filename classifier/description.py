"""What a bundle says about itself: kennel.json, and the checksums of the other files.

Without torch, so that a server without it reads bundles too.
"""

import contextlib
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from classifier import unbundled
from classifier.calibration import Novelty
from classifier.transform import EvaluationTransform
from pictures.text import printable

# Format 2 adds `novelty`, 3 `test_time_flip`, 4 `export`. A bundle without them is written in the
# older format, which older servers can read.
FORMAT = 4
FILES = MODEL, DESCRIPTION, GOLDEN = "model.safetensors", "kennel.json", "golden.safetensors"
# The network in the open format: as trained, and quantised to 8 bits.
EXPORTS = ONNX, ONNX_INT8 = "model.onnx", "model.int8.onnx"
PACKED = (".tar.gz", ".tgz")  # how the name of a bundle's archive ends
_OTHERS = (".tar", ".zip", ".gz", ".bz2", ".xz", ".7z")
# The largest that a bundle can ask for. Training writes crops up to 1024.
_MOST_CLASSES = 100_000
_MOST_CROP, _MOST_RESIZE = 2048, 4096
_MOST_JSON = 2**26  # bytes
_MOST_ONNX = 2**31 - 1  # bytes: what protobuf can hold

Finite = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


class BundleError(ValueError):
    """A bundle that cannot be used; the message has the reason and the fix."""


class Int8(BaseModel):
    """How good the network is in 8 bits.

    Args:
        accuracy: top-1 on the validation pictures.
        accuracy_fp32: the same in float32.
        pictures: how many.
        difference: of the golden logits, relative as in `golden.difference`.
        method: how it was quantised.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    accuracy: Share
    accuracy_fp32: Share
    pictures: int = Field(ge=0)
    difference: Finite
    method: str = Field(max_length=1000)


class Export(BaseModel):
    """The network in the open format, `model.onnx`.

    Args:
        opset: of ONNX.
        parity: largest difference of the golden logits from torch's, as in `golden.difference`.
        head: the name of the linear head's weight in model.safetensors, where the network ends in
            feature maps, their mean and one linear layer: then `maps` is an output too.
        int8: of `model.int8.onnx`; None without it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    opset: int = Field(ge=7, le=99)
    parity: Finite
    head: str | None = Field(default=None, max_length=500)
    int8: Int8 | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """The names of its files."""
        return (ONNX, ONNX_INT8) if self.int8 else (ONNX,)


class Description(BaseModel):
    """The contents of kennel.json, without the checksums."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    architecture: str
    # Display names, in the order of the outputs.
    classes: tuple[str, ...] = Field(min_length=2, max_length=_MOST_CLASSES)
    folders: tuple[str, ...]  # the folder of each class in the training data
    transform: EvaluationTransform
    # Probabilities are softmax(logits / temperature).
    temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    novelty: Novelty | None = None  # how different a picture is from the training pictures
    test_time_flip: bool = False  # logits are the mean of the picture and its mirror image
    export: Export | None = None  # the network in the open format
    training: dict[str, JsonValue] = {}  # provenance: hyperparameters, data counts, versions
    metrics: dict[str, float] = {}

    @model_validator(mode="after")
    def _one_folder_a_class(self) -> "Description":
        if len(self.folders) != len(self.classes):
            raise ValueError(f"{len(self.folders)} folders for {len(self.classes)} classes")
        return self

    @model_validator(mode="after")
    def _bounded(self) -> "Description":
        transform = self.transform
        if transform.crop > _MOST_CROP or transform.resize > _MOST_RESIZE:
            raise ValueError(
                f"crop {transform.crop} and resize {transform.resize}: "
                f"at most {_MOST_CROP} and {_MOST_RESIZE} are possible"
            )
        quantiles = self.novelty.quantiles if self.novelty else ()
        if not all(map(math.isfinite, (*transform.mean, *transform.std, *quantiles))):
            raise ValueError("mean, std and the quantiles of novelty must be finite numbers")
        return self

    def encode(self, files: Mapping[str, bytes]) -> bytes:
        """Return kennel.json, with the checksums of the other files of the bundle."""
        since = {"novelty": 2, "test_time_flip": 3, "export": 4}
        absent = {name for name in since if not getattr(self, name)}
        contents = {
            "format": max([1, *(since[name] for name in since.keys() - absent)]),
            **self.model_dump(mode="json", exclude=absent),
            "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        }
        contents["digest"] = _digest(contents)
        return (json.dumps(contents, indent=1, ensure_ascii=False) + "\n").encode()


@dataclass(frozen=True)
class Described:
    """A bundle of which kennel.json is read and checked; its other files are not."""

    directory: Path
    description: Description
    hashes: Mapping[str, Any]

    def contents(self, name: str) -> bytes:
        """Read a file, and check it.

        Raises:
            BundleError: missing, damaged, or too large to be what it should be.
        """
        path = self._path(name)
        data = path.read_bytes()
        self._compare(path, hashlib.sha256(data).hexdigest())
        return data

    def checked(self, name: str) -> Path:
        """Check a file without keeping it in memory, and return its path.

        Raises:
            BundleError: as `contents`.
        """
        path = self._path(name)
        with path.open("rb") as opened:
            self._compare(path, hashlib.file_digest(opened, "sha256").hexdigest())
        return path

    def _path(self, name: str) -> Path:
        path = self.directory / name
        if not path.is_file():
            raise BundleError(f"{name} is missing from {self.directory}: fetch the bundle again")
        if name in EXPORTS and path.stat().st_size > _MOST_ONNX:
            raise BundleError(f"{path} has more than {_MOST_ONNX:,} bytes: not an ONNX file")
        return path

    def _compare(self, path: Path, digest: str) -> None:
        if digest != self.hashes.get(path.name):
            raise BundleError(
                f"{path} was changed or damaged after training (its checksum does not match): "
                "fetch the bundle again"
            )


def check_name(out: Path) -> None:
    """Raise ValueError if a bundle's new name is that of an archive of another kind."""
    if out.name.lower().endswith(_OTHERS) and not out.name.endswith(PACKED):
        raise ValueError(f"{out}: a bundle is a folder or a .tar.gz: give another name")


def describe(directory: Path) -> Description:
    """Read kennel.json alone, for a model that is not the bundle's network.

    Raises:
        BundleError: missing, damaged, edited or of a newer format.
    """
    return read(directory).description


def read(directory: Path) -> Described:
    """Read and check kennel.json.

    Raises:
        BundleError: missing, damaged, edited or of a newer format.
    """
    path = directory / DESCRIPTION
    if not path.is_file():
        inside = ", ".join(sorted(p.name for p in directory.glob("*"))[:5]) or "nothing"
        if how := unbundled.explain(directory):
            raise BundleError(f"no {DESCRIPTION} in {directory}: {how}")
        raise BundleError(
            f"no {DESCRIPTION} in {directory} (found: {inside}): a bundle has {DESCRIPTION}, "
            f"{MODEL} and {GOLDEN} at its root, as in a Kennel training job's model.tar.gz"
        )
    if path.stat().st_size > _MOST_JSON:
        raise BundleError(f"{path} has more than {_MOST_JSON:,} bytes: use the original")
    try:
        contents: Any = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} is not JSON ({error}): fetch the bundle again") from error
    version = contents.get("format") if isinstance(contents, dict) else None
    if type(version) is not int or version < 1:
        raise BundleError(f"{path} has no bundle format: it was not written by Kennel")
    if version > FORMAT:
        raise BundleError(
            f"{path} has bundle format {version}, this Kennel reads up to {FORMAT}: "
            "serve it with an image at least as new as the one that trained it"
        )
    digest, files = contents.pop("digest", None), contents.get("files")
    if digest != _digest(contents) or not isinstance(files, dict):
        raise BundleError(
            f"{path} was changed after training (its checksum does not match): use the original"
        )
    fields = {name: contents[name] for name in contents if name not in ("format", "files")}
    try:
        return Described(directory, Description.model_validate(fields), files)
    except ValidationError as error:
        raise BundleError(f"{path} does not describe a classifier: {error}") from error


@contextlib.contextmanager
def loading(directory: Path) -> Iterator[None]:
    """Turn whatever fails while a bundle loads into a BundleError: a bundle can be anything."""
    try:
        yield
    except BundleError:
        raise
    except Exception as error:
        reason = printable(f"{type(error).__name__}: {error}"[:500])
        raise BundleError(
            f"{directory} does not load ({reason}): fetch the bundle again"
        ) from error


def _digest(contents: dict[str, Any]) -> str:
    canonical = json.dumps(contents, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
