"""One experiment: the whole TOML file as frozen models, and the checks across sections."""

import json
from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, field_validator

from pictures.layouts.splits import assigned
from pictures.picture import DataError
from scripts.spec import managed
from scripts.spec.debugger import Debugger, Profiler, wrong_rules
from scripts.spec.endpoint import Endpoint, Serverless
from scripts.spec.instances import has_gpu
from scripts.spec.section import Conflicts, S3Uri, Scalar, Section
from scripts.spec.training import Channel, Images, Training, Vpc
from scripts.spec.tuning import Tuning, canonical
from train.config import ConfigError, from_hyperparameters

ChannelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


def _problems(hyperparameters: dict[str, Scalar]) -> list[tuple[str, str]]:
    """The errors that the training job would report: (name, what is wrong)."""
    if wrong := wrong_rules(hyperparameters.get("debugger_rules")):
        return [("debugger_rules", what) for what in wrong]
    try:
        from_hyperparameters(hyperparameters)
    except ConfigError as error:
        lines = [line.strip().partition(": ") for line in str(error).splitlines()[1:]]
        return [(name, what) for name, _, what in lines]
    return []


class Experiment(Section):
    """One experiment. If `region` is not set, AWS_REGION or the profile decides."""

    name: str = Field(
        pattern=r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,39}$",
        description="the start of job names, and the endpoint's name",
    )
    region: str | None = Field(
        None,
        pattern=r"^[a-z]{2}(-[a-z]+)+-\d$",
        description="unset: `AWS_REGION`, or the profile's region",
    )
    role: str = Field(
        pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+$",
        description="ARN of the role that SageMaker assumes; `kennel setup` creates it",
    )
    output: S3Uri = Field(description="S3 folder for bundles and outputs")
    kms_key: str | None = Field(
        None,
        pattern=r"^[a-zA-Z0-9:/_-]+$",
        description="key that encrypts outputs and volumes; local NVMe disks encrypt themselves",
    )
    tags: dict[str, str] = Field(
        {}, max_length=40, description="tags of everything that `kennel` creates"
    )
    vpc: Vpc | None = Field(None, description="run jobs and endpoints in a private network")
    images: Images = Field(description="the images")
    data: dict[ChannelName, Channel] = Field(
        min_length=1, max_length=20, description="an S3 folder for each channel"
    )
    hyperparameters: dict[str, Scalar] = Field({}, description="hyperparameters of the job")
    training: Training = Field(description="the machines of a training job, and of each trial")
    tuning: Tuning | None = Field(
        None, description="the trials; without this table there is no `kennel tune`"
    )
    debugger: Debugger | None = Field(
        None, description="what the job records, and the rules that check it"
    )
    profiler: Profiler | None = Field(
        None, description="how the job measures its time and its host"
    )
    endpoint: Endpoint | None = Field(
        None, description="how the bundle is served; without this table there is no `kennel deploy`"
    )

    @field_validator("hyperparameters")
    @classmethod
    def _checked_as_in_the_job(cls, given: dict[str, Scalar]) -> dict[str, Scalar]:
        found = _problems(given)
        if found:
            raise Conflicts(found)
        return given

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Trials that the job would refuse, and what a job without a network cannot download."""
        recorded = list(self._recording_conflicts())
        yield from recorded
        if not recorded:
            yield from self._refused_trials()
        yield from self._channel_conflicts()
        weights = from_hyperparameters(self.hyperparameters).weights
        isolated = self.training.network_isolation
        if isolated and weights == "pretrained" and "pretrained" not in self.data:
            yield (
                "data.pretrained",
                "with network isolation the job cannot download pretrained weights: add this "
                'channel with the weights file, or set hyperparameters.weights = "none"',
            )
        if self.vpc and isinstance(self.endpoint, Serverless):
            yield "vpc", "serverless endpoints cannot be in a VPC: remove it, or change the kind"

    def _channel_conflicts(self) -> Iterator[tuple[str, str]]:
        """Channels that the job would refuse, and one prefix that is given twice."""
        if "sagemaker_program" in self.hyperparameters:
            return  # the user's own script knows its channels
        try:
            by_split = assigned(list(self.data))
        except DataError as error:
            yield "data", str(error)
            return
        prefixes = {name: self.data[name].uri.rstrip("/") + "/" for name in by_split.values()}
        for one, outer in prefixes.items():
            for other, inner in prefixes.items():
                if one != other and inner.startswith(outer) and (inner != outer or one < other):
                    yield (
                        f"data.{other}",
                        f"{inner} is also given to {one}, or is inside it: give each channel its "
                        "own pictures, or give `train` alone",
                    )

    def _recording_conflicts(self) -> Iterator[tuple[str, str]]:
        """Errors in [debugger] and [profiler], and regions where AWS has no rules."""
        named = {canonical(name) for name in self.hyperparameters}
        for section, one in (("debugger", self.debugger), ("profiler", self.profiler)):
            keys = one.hyperparameters() if one else {}
            wrong = dict(_problems(dict(keys.values())))
            for key, (name, _value) in keys.items():
                if name in wrong:
                    yield f"{section}.{key}", wrong[name]
                if name in named:
                    yield f"hyperparameters.{name}", f"{section}.{key} sets it too: remove one"
        if self.debugger and self.debugger.managed_rules:
            if self.region is None:
                yield (
                    "region",
                    "debugger.managed_rules needs it: AWS's rules depend on it",
                )
            elif managed.image(self.region) is None:
                yield (
                    "debugger.managed_rules",
                    f"AWS has none in {self.region}: remove them",
                )

    def _refused_trials(self) -> Iterator[tuple[str, str]]:
        if self.tuning and self.tuning.strategy == "sweep":
            for name, what in _problems(self.swept()):
                place = (
                    "tuning.strategy"
                    if name in ("sweep", "together")
                    else f"hyperparameters.{name}"
                )
                yield place, what
            return
        reported = set()
        for trial in self.tuning.trials() if self.tuning else ():
            for problem in _problems(self.fixed() | trial):
                if problem not in reported:
                    reported.add(problem)
                    name, what = problem
                    values = ", ".join(f"{key} {value}" for key, value in trial.items())
                    where = f"tuning.ranges.{name}" if name in trial else "tuning.ranges"
                    yield where, what if name in trial else f"{what} (a trial with {values})"

    @property
    def serving_image(self) -> str:
        """The image that the endpoint runs: `serve_cpu` where there is no GPU, if it is given."""
        machine = getattr(self.endpoint, "instance_type", None)
        small = self.images.serve_cpu
        return self.images.serve if small is None or (machine and has_gpu(machine)) else small

    def settings(self) -> dict[str, Scalar]:
        """All hyperparameters of the job: `[hyperparameters]`, [debugger] and [profiler]."""
        recorded = [one.hyperparameters() for one in (self.debugger, self.profiler) if one]
        return self.hyperparameters | {
            name: value for keys in recorded for name, value in keys.values()
        }

    def swept(self) -> dict[str, Scalar]:
        """The hyperparameters of the single job that trains the grid of `[tuning]`."""
        assert self.tuning is not None
        return self.fixed() | {"sweep": self.tuning.lists}

    @property
    def could_sweep(self) -> bool:
        """Whether one job could train the whole grid: the backbone is frozen."""
        grid = self.tuning is not None and self.tuning.strategy == "grid"
        return grid and not _problems(self.swept())

    def fixed(self) -> dict[str, Scalar]:
        """The hyperparameters that all trials of the tuning job share."""
        tuned = {canonical(name) for name in self.tuning.ranges} if self.tuning else set()
        return {
            name: value for name, value in self.settings().items() if canonical(name) not in tuned
        }


def encoded(value: Scalar) -> str:
    """A hyperparameter as the string that SageMaker takes: JSON, as the SDKs write it."""
    return json.dumps(value)
