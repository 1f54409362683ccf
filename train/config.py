"""What a training job can be told: every hyperparameter, its type, range, default and meaning.

SageMaker hands hyperparameters over as strings; all that is wrong with them is reported at once.
Imports no torch, so that the launcher can check a job before it costs anything.
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

from classifier.architectures import canonical
from debugger.records import COLLECTIONS
from train import validators

# Names people bring along, and ours.
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


# Words for which the empty string, which otherwise means unset, says something.
Words = Annotated[str, BeforeValidator(lambda given: "" if given is None else str(given))]


class ConfigError(ValueError):
    """Hyperparameters that cannot be used: every problem, one to a line."""


class TrainConfig(BaseModel):
    """The hyperparameters of one training job."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: Annotated[str, AfterValidator(canonical)] = Field(
        "resnet50", description="a torchvision classification network"
    )
    weights: str = Field(
        "pretrained",
        description="`pretrained` (channel `pretrained`, else hub cache, else download), "
        "`none` (random), or a file's path; a bundle or its `model.tar.gz` is gone on from",
    )
    trainable: str = Field(
        "head",
        description="`head`, `all`, or the module from which on to train, such as `layer4`",
    )
    freeze_batch_norm: bool = Field(
        False, description="keep batch-norm statistics fixed in the trained part too"
    )
    image_size: int | None = Field(
        None,
        ge=16,
        le=1024,
        description="input height and width, pixels; the network's own if unset",
    )

    epochs: int = Field(3, ge=1, le=10_000, description="passes over the training pictures")
    head_epochs: int = Field(
        0,
        ge=0,
        le=10_000,
        description="the first of them train the head alone, on a frozen backbone's features; the "
        "rest what `trainable` says, with a warm-up and schedule of their own",
    )
    batch_size: int = Field(
        64, ge=2, le=65_536, description="pictures a step, over all GPUs and hosts together"
    )
    accumulate: int = Field(
        1,
        ge=1,
        le=4096,
        description="parts that a step's pictures go through the network in, one after the other, "
        "where a GPU's memory does not hold them together",
    )
    fit_batch_size: bool = Field(
        False,
        description="take the largest batch that the GPUs' memory holds instead; on a CPU "
        "`batch_size`",
    )
    optimizer: Literal["sgd", "adamw"] = Field("sgd", description="`sgd` (Nesterov) or `adamw`")
    learning_rate: Rate = Field(0.01, description="peak rate of the head")
    find_learning_rate: bool = Field(
        False,
        description="find it in a short trial run at rising rates instead; the backbone's keeps "
        "its ratio to it",
    )
    backbone_learning_rate: Rate | None = Field(
        None, description="peak rate of the trained backbone; a tenth of the head's if unset"
    )
    momentum: Fraction = Field(0.9, description="of SGD")
    weight_decay: float = Field(1e-4, ge=0, le=1, description="of weights; never biases and norms")
    schedule: Literal["cosine", "constant"] = Field("cosine", description="after the warm-up")
    warmup_epochs: float = Field(0.0, ge=0, description="linear warm-up; part epochs allowed")
    clip_gradient_norm: float = Field(0.0, ge=0, description="0: off")
    feature_views: int | None = Field(
        None,
        ge=0,
        le=10_000,
        description="random views of each picture that a frozen backbone computes; one an epoch "
        "if unset, fewer come round again and are cheaper; 0: no features are kept",
    )
    sweep: Annotated[Words, AfterValidator(validators.lists)] = Field(
        "",
        description="lists of values by hyperparameter as JSON, such as "
        '`{"learning_rate": [0.01, 0.1], "epochs": [2, 3]}`: all combinations are trained in this '
        "one job; the backbone must be frozen",
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto",
        description="`auto`: bf16 (else fp16) on a GPU, fp32 on a CPU; bf16 is faster on CPUs with "
        "AMX or AVX512-BF16",
    )

    compile: bool = Field(
        False,
        description="compile the network first (torch.compile): minutes at the start for faster "
        "steps; needs a C++ compiler in the image",
    )

    label_smoothing: Fraction = Field(
        0.0, description="share of the target spread over all classes"
    )
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="`balanced`: each class's loss by the inverse of its count"
    )
    augment: Literal["none", "crop", "randaugment", "trivialaugment"] = Field(
        "crop", description="random crop (and policy) of the training pictures"
    )
    augment_on: Literal["auto", "workers", "device"] = Field(
        "auto",
        description="where a policy is done: picture by picture in the decoding workers, or for a "
        "batch at once on the device that trains; `auto`: there if it is a GPU",
    )
    horizontal_flip: bool = Field(True, description="mirror half of them; off for text and digits")
    mixup: float = Field(0.0, ge=0, le=10, description="alpha of MixUp; 0: off")
    cutmix: float = Field(0.0, ge=0, le=10, description="alpha of CutMix; 0: off")
    test_time_flip: bool = Field(
        False,
        description="the finished model looks at each picture as it is and mirrored, and answers "
        "the mean, when tested and when serving: twice the work; off for text and digits",
    )
    ema: Fraction = Field(0.0, description="decay of averaged weights, used for the result; 0: off")
    patience: int = Field(
        0, ge=0, description="epochs without better validation before stopping; 0: off"
    )

    valid_fraction: Fraction = Field(0.15, description="split off train where there is no `valid`")
    test_fraction: Fraction = Field(
        0.15, description="split off train where there is neither `valid` nor `test`"
    )
    max_unreadable: Fraction = Field(
        0.01, description="share of unreadable pictures skipped before the job fails"
    )
    shuffle_block: int = Field(
        1,
        ge=1,
        le=65_536,
        description="pictures that stay together in the shuffle of packed shards and are read at "
        "once: 16 to 64 for FastFile",
    )
    cache_gib: float | None = Field(
        None,
        ge=0,
        le=65_536,
        description="memory for decoded pictures, GiB a host, which later epochs need not decode; "
        "half of what is free if unset; 0: off",
    )
    workers: int | None = Field(
        None, ge=0, le=256, description="decoding processes a GPU; by cores and memory if unset"
    )
    checkpoint_minutes: float = Field(
        10.0, gt=0, description="time between checkpoints inside an epoch"
    )
    seed: int = Field(0, ge=0, lt=2**31, description="the same seed gives the same run")

    debugger: bool = Field(True, description="record losses and tensors, and watch them by rules")
    debugger_interval: int = Field(
        50, ge=1, description="steps between records of tensors; losses are recorded every step"
    )
    debugger_collections: Annotated[Words, AfterValidator(validators.collections)] = Field(
        ",".join(COLLECTIONS), description="which tensors are recorded"
    )
    debugger_raw: Annotated[Words, AfterValidator(validators.pattern)] = Field(
        "", description="a regular expression: tensors of these names are recorded whole too"
    )
    debugger_rules: Annotated[Words, AfterValidator(validators.rules)] = Field(
        "",
        description="settings by rule as JSON, such as "
        '`{"StepOutlier": {"stddev": 4, "action": "stop"}, "DeadRelu": false}`',
    )
    profiler: bool = Field(True, description="record the timeline, the host and the operators")
    profiler_interval: float = Field(
        0.5, ge=0.1, le=60, description="seconds between samples of the host"
    )
    profiler_steps: Annotated[Words, AfterValidator(validators.window)] = Field(
        "10:13", description="steps that torch.profiler watches; empty: none"
    )

    @model_validator(mode="after")
    def _together(self) -> "TrainConfig":
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs {self.warmup_epochs:g} must be less than epochs {self.epochs}"
            )
        if 2 * self.accumulate > self.batch_size:
            raise ValueError(
                f"accumulate {self.accumulate} leaves fewer than two pictures a part: "
                f"at most half of batch_size {self.batch_size}"
            )
        if self.head_epochs:
            self._two_stages()
        if self.valid_fraction + self.test_fraction > 0.9:
            raise ValueError("valid_fraction and test_fraction together must leave 0.1 for train")
        if self.weights == "none" and self.trainable == "head":
            raise ValueError(
                "trainable=head keeps the backbone as it is, and weights=none makes it random: "
                "set trainable=all, or give weights"
            )
        if self.sweep:
            self._sweepable()
        return self

    def _two_stages(self) -> None:
        if self.trainable == "head":
            raise ValueError(
                "head_epochs come before those that train more than the head, and trainable is "
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

    def _sweepable(self) -> None:
        if self.trainable != "head":
            raise ValueError(
                f"sweep trains many heads on one frozen backbone, and trainable is "
                f"{self.trainable}: set trainable=head, or use a tuning job"
            )
        for name in ("mixup", "cutmix", "ema", "find_learning_rate", "fit_batch_size"):
            if getattr(self, name):
                raise ValueError(f"sweep does not go with {name}: leave it out")
        if self.feature_views == 0:
            raise ValueError("sweep trains on features, and feature_views is 0: unset it")
        for _ in self.trials():
            pass

    def trials(self) -> Iterator["TrainConfig"]:
        """Yield what each trial of a sweep would be told as a job of its own; else this one.

        Raises:
            ValueError: a job of its own would not take it.
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

    Values may be JSON (as the SDKs encode them) or plain strings; `-` counts as `_` in names;
    names that belong to SageMaker (`sagemaker_*`, `_tuning_*`) are passed over.

    Raises:
        ConfigError: with every unknown name and ill-typed or impossible value.
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
        # json reads 1e5 and true; a word stays a word, also in another encoding's quotes
        value = decoded if not isinstance(decoded, dict | list) else text
        if value in ("", "None"):
            return None
    return value
