"""The hyperparameters of a training job: type, range, default and meaning.

SageMaker passes hyperparameters as strings; all problems are reported at once. This module imports
no torch, so that the `kennel` command can check a job before it costs anything.
"""

import difflib
import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from classifier.architectures import canonical, check_size
from debugger.records import COLLECTIONS
from train import validators

# Names that people use elsewhere, and ours.
ALIASES = {
    "lr": "learning_rate",
    "backbone_lr": "backbone_learning_rate",
    "model": "architecture",
    "num_epochs": "epochs",
    "num_workers": "workers",
    "wd": "weight_decay",
}

Fraction = Annotated[float, Field(ge=0, lt=1)]
Rate = Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)]


# Text for which the empty string is a value; elsewhere it means unset.
Text = Annotated[str, BeforeValidator(lambda given: "" if given is None else str(given))]


class ConfigError(ValueError):
    """Hyperparameters that cannot be used: every problem, one on each line."""


class TrainConfig(BaseModel):
    """The hyperparameters of one training job."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: Annotated[str, AfterValidator(canonical)] = Field(
        "resnet50", description="a classification network of torchvision or of an installed package"
    )
    weights: str = Field(
        "pretrained",
        description="`pretrained` (channel `pretrained`, else hub cache, else download), "
        "`none` (random), or a file's path; from a bundle or its `model.tar.gz` training continues",
    )
    trainable: str = Field(
        "head",
        description="`head`, `all`, or a module such as `layer4`, which trains with all after it",
    )
    freeze_batch_norm: bool = Field(
        False, description="keep the batch-norm statistics of the trained part fixed too"
    )
    image_size: int | None = Field(
        None,
        ge=16,
        le=1024,
        description="input height and width in pixels; the network's own if unset",
    )

    epochs: int = Field(3, ge=1, le=10_000, description="passes over the training pictures")
    head_epochs: int = Field(
        0,
        ge=0,
        le=10_000,
        description="the first epochs train only the head, on features of the frozen backbone; the "
        "others train what `trainable` says, with a warm-up and schedule of their own",
    )
    batch_size: int = Field(
        64, ge=2, le=65_536, description="pictures in a step, over all GPUs and hosts"
    )
    accumulate: int = Field(
        1,
        ge=1,
        le=4096,
        description="parts in which a step's pictures go through the network, one after the other, "
        "if they do not fit in a GPU's memory together",
    )
    fit_batch_size: bool = Field(
        False,
        description="use the largest batch that fits in the GPUs' memory; on a CPU `batch_size`",
    )
    optimizer: Literal["sgd", "adamw"] = Field("sgd", description="`sgd` (Nesterov) or `adamw`")
    learning_rate: Rate = Field(0.01, description="peak rate of the head")
    find_learning_rate: bool = Field(
        False,
        description="find `learning_rate` in a short trial run at rising rates; the backbone's "
        "rate keeps its ratio to it",
    )
    backbone_learning_rate: Rate | None = Field(
        None, description="peak rate of the trained backbone; a tenth of the head's if unset"
    )
    momentum: Fraction = Field(0.9, description="of SGD")
    weight_decay: float = Field(
        1e-4,
        ge=0,
        le=1,
        description="of weights; never of biases, norms, position tables, class tokens and scales",
    )
    schedule: Literal["cosine", "constant"] = Field("cosine", description="after the warm-up")
    warmup_epochs: float = Field(
        0.0, ge=0, description="length of the linear warm-up; fractions are allowed"
    )
    clip_gradient_norm: float = Field(0.0, ge=0, description="0: off")
    feature_views: int | None = Field(
        None,
        ge=0,
        le=10_000,
        description="random views of each picture that a frozen backbone computes: one for each "
        "epoch if unset; fewer repeat and are cheaper; 0: no features are cached",
    )
    sweep: Annotated[Text, AfterValidator(validators.lists)] = Field(
        "",
        description="JSON with lists of values by hyperparameter, such as "
        '`{"learning_rate": [0.01, 0.1], "epochs": [2, 3]}`: this job trains all combinations; '
        "the backbone must be frozen",
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto",
        description="`auto`: bf16 (else fp16) on a GPU, fp32 on a CPU; bf16 is faster on CPUs with "
        "AMX or AVX512-BF16",
    )

    compile: bool = Field(
        False,
        description="compile the network (torch.compile), on GPUs only: minutes at the start for "
        "faster steps; needs a C++ compiler in the image",
    )

    label_smoothing: Fraction = Field(
        0.0, description="share of the target that is spread over all classes"
    )
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="`balanced`: weight each class's loss by the inverse of its count"
    )
    augment: Literal["none", "crop", "randaugment", "trivialaugment"] = Field(
        "crop", description="random crop (and policy) of the training pictures"
    )
    augment_on: Literal["auto", "workers", "device"] = Field(
        "auto",
        description="where a policy is applied: to each picture in the decoding workers, or to a "
        "batch on the device that trains; `auto`: in the workers",
    )
    horizontal_flip: bool = Field(
        True, description="mirror half of the training pictures; turn off for text and digits"
    )
    mixup: float = Field(0.0, ge=0, le=10, description="alpha of MixUp; 0: off")
    cutmix: float = Field(0.0, ge=0, le=10, description="alpha of CutMix; 0: off")
    test_time_flip: bool = Field(
        False,
        description="the finished model evaluates each picture and its mirror image and returns "
        "the mean, in the test and when serving: twice the work; not for text and digits",
    )
    export: Literal["auto", "onnx", "int8", "none"] = Field(
        "auto",
        description="also write the network for fast serving on processors: `onnx` (32 bits), "
        "`int8` (32 bits, and 8 if validation shows no loss), `none`; `auto`: as `int8`, for at "
        "most 30 seconds or 3 % of the job",
    )
    ema: Fraction = Field(
        0.0, description="decay of averaged weights, which become the result; 0: off"
    )
    patience: int = Field(
        0, ge=0, description="epochs without better validation before stopping; 0: off"
    )

    valid_fraction: Fraction = Field(
        0.15, description="share split off train if there is no `valid`"
    )
    test_fraction: Fraction = Field(
        0.15, description="share split off train if there is neither `valid` nor `test`"
    )
    max_unreadable: Fraction = Field(
        0.01, description="share of pictures that can be unreadable; the job fails above it"
    )
    shuffle_block: int = Field(
        1,
        ge=1,
        le=65_536,
        description="neighbours in packed shards that stay together in the shuffle, and are read "
        "together: 16 to 64 for FastFile",
    )
    cache_gib: float | None = Field(
        None,
        ge=0,
        le=65_536,
        description="memory on each host, in GiB, to cache decoded pictures for later epochs; "
        "half of the free memory if unset; 0: off",
    )
    workers: int | None = Field(
        None,
        ge=0,
        le=256,
        description="decoding processes for each GPU; by cores and memory if unset",
    )
    checkpoint_minutes: float = Field(
        10.0, gt=0, description="minutes between checkpoints within an epoch"
    )
    changed_data: Literal["refuse", "restart"] = Field(
        "refuse",
        description="what a second start does if the pictures, or their split, are not those of "
        "its checkpoint: fail and say so, or train anew from the beginning",
    )
    seed: int = Field(0, ge=0, lt=2**31, description="the same seed gives the same run")
    table: Text = Field(
        "",
        description="table of labels next to the pictures (CSV, JSON Lines, manifest); unset: "
        "found if there are no class folders; `none`: class folders alone",
    )
    picture_column: Text = Field(
        "", description="column of the table with the pictures' names; unset: by its usual names"
    )
    label_column: Text = Field(
        "",
        description="column with the labels, or Ground Truth's label attribute; unset: by its "
        "usual names",
    )
    split_column: Text = Field(
        "", description="column that says train, valid or test; unset: by its usual names"
    )
    split_seed: int = Field(
        0,
        ge=0,
        lt=2**31,
        description="another one splits other pictures off train; `seed` does not change the split",
    )

    debugger: bool = Field(True, description="record losses and tensors, and check them with rules")
    debugger_interval: int = Field(
        50, ge=1, description="steps between records of tensors; losses are recorded every step"
    )
    debugger_collections: Annotated[Text, AfterValidator(validators.collections)] = Field(
        ",".join(COLLECTIONS), description="which tensors are recorded"
    )
    debugger_raw: Annotated[Text, AfterValidator(validators.pattern)] = Field(
        "", description="a regular expression: tensors with matching names are also recorded whole"
    )
    debugger_rules: Annotated[Text, AfterValidator(validators.rules)] = Field(
        "",
        description="JSON with the settings of rules, such as "
        '`{"StepOutlier": {"stddev": 4, "action": "stop"}, "DeadRelu": false}`',
    )
    profiler: bool = Field(
        True, description="record the timeline, the host's metrics and the operators"
    )
    profiler_interval: float = Field(
        0.5, ge=0.1, le=60, description="seconds between samples of the host's metrics"
    )
    profiler_steps: Annotated[Text, AfterValidator(validators.window)] = Field(
        "10:13", description="steps that torch.profiler records; empty: none"
    )

    @model_validator(mode="after")
    def _check_combinations(self) -> "TrainConfig":
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs {self.warmup_epochs:g} must be less than epochs {self.epochs}"
            )
        if self.image_size:
            try:
                check_size(self.architecture, self.image_size)
            except ValueError as error:
                raise ValueError(f"image_size: {error}") from error
        if 2 * self.accumulate > self.batch_size:
            raise ValueError(
                f"accumulate {self.accumulate} leaves fewer than two pictures for a part: "
                f"at most half of batch_size {self.batch_size}"
            )
        if self.head_epochs:
            self._check_stages()
        if self.valid_fraction + self.test_fraction > 0.9:
            raise ValueError("valid_fraction and test_fraction together must leave 0.1 for train")
        if self.weights == "none" and self.trainable == "head":
            raise ValueError(
                "trainable=head does not train the backbone, and weights=none makes it random: "
                "set trainable=all, or give weights"
            )
        if self.sweep:
            self._check_sweep()
        return self

    def _check_stages(self) -> None:
        if self.trainable == "head":
            raise ValueError(
                "head_epochs come before epochs that train more than the head, but trainable is "
                "head: set trainable=all or a module's name"
            )
        if self.head_epochs >= self.epochs:
            raise ValueError(
                f"head_epochs {self.head_epochs} must be less than epochs {self.epochs}"
            )
        if self.warmup_epochs >= min(self.head_epochs, self.epochs - self.head_epochs):
            raise ValueError(
                f"warmup_epochs {self.warmup_epochs:g} must be less than the epochs of each stage: "
                f"{self.head_epochs} of the head, then {self.epochs - self.head_epochs}"
            )

    def _check_sweep(self) -> None:
        if self.trainable != "head":
            raise ValueError(
                f"sweep trains many heads on one frozen backbone, but trainable is "
                f"{self.trainable}: set trainable=head, or use a tuning job"
            )
        for name in ("mixup", "cutmix", "ema", "find_learning_rate", "fit_batch_size"):
            if getattr(self, name):
                raise ValueError(f"sweep cannot be combined with {name}: leave it out")
        if self.feature_views == 0:
            raise ValueError("sweep trains on features, but feature_views is 0: unset it")
        for _ in self.trials():
            pass

    def trials(self) -> Iterator["TrainConfig"]:
        """Yield the config of each trial of a sweep as a job's; without a sweep, this config.

        Raises:
            ValueError: a trial has values that a job would refuse.
        """
        own = self.model_dump() | {"sweep": ""}
        lists: dict[str, list[Any]] = json.loads(self.sweep or "{}")
        for values in itertools.product(*lists.values()):
            tried = dict(zip(lists, values, strict=True))
            try:
                yield TrainConfig.model_validate(own | tried)
            except ValidationError as error:
                shown = ", ".join(f"{name} {value}" for name, value in tried.items())
                reason = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
                raise ValueError(f"{reason} (a trial with {shown})") from error

    @property
    def part_size(self) -> int:
        """Pictures in one pass through the network, over all processes."""
        return -(-self.batch_size // self.accumulate)

    @property
    def backbone_rate(self) -> float:
        """The backbone's peak learning rate."""
        return self.backbone_learning_rate or self.learning_rate / 10


def from_hyperparameters(given: Mapping[str, Any]) -> TrainConfig:
    """Read SageMaker's hyperparameters.

    Values can be JSON (as the SDKs encode them) or plain strings. In names `-` counts as `_`. Names
    that belong to SageMaker (`sagemaker_*`, `_tuning_*`) are ignored.

    Raises:
        ConfigError: with every unknown name and every value of a wrong type or out of range.
    """
    values: dict[str, Any] = {}
    problems: list[str] = []
    for raw, value in given.items():
        if raw.startswith(("sagemaker_", "_tuning_")):
            continue
        name = raw.replace("-", "_")
        name = ALIASES.get(name, name)
        if name not in TrainConfig.model_fields:
            near = difflib.get_close_matches(name, [*TrainConfig.model_fields, *ALIASES], n=1)
            offer = f" (did you mean {near[0]}?)" if near else ""
            problems.append(f"{raw}: no such hyperparameter{offer}")
        elif name in values:
            problems.append(f"{raw}: {name} is given twice")
        else:
            values[name] = _plain(value)
    try:
        config = TrainConfig.model_validate(values)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            where = ".".join(str(part) for part in item["loc"]) or "together"
            what = item["msg"].removeprefix("Value error, ")
            shown = f" (given {item['input']!r})" if item["loc"] else ""
            problems.append(f"{where}: {what}{shown}")
    if problems:
        raise ConfigError("hyperparameters that cannot be used:\n  " + "\n  ".join(problems))
    return config


def _plain(value: Any) -> Any:
    """Undo JSON encoding; `null`, `None` and the empty string mean unset."""
    if isinstance(value, str):
        text = value.strip()
        try:
            decoded = json.loads(text)
        except ValueError:
            decoded = text
        # JSON also reads 1e5 and true; any other word stays text
        value = decoded if not isinstance(decoded, dict | list) else text
        if value in ("", "None"):
            return None
    return value
