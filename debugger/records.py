"""What a job records: typed records, in the order they happened.

A recording is a stream of these records. Rules and the report read the stream once, in order, so
they work both while the job runs and afterwards. Times are seconds since 1970 (UTC); durations are
in seconds. `step` counts the training steps of the whole run from 0. A record of an evaluation has
the number of the training step before it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Mode = Literal["train", "eval"]

# Phases of a job. The phases of a step are spans of its Step record; the others are Phase records.
INITIALISATION = "initialisation"  # from process start to the data wait of the first step
DATA_WAIT = "data_wait"  # the loop waits for its next batch
COPY = "copy"  # host memory to device memory
FORWARD = "forward"
BACKWARD = "backward"
OPTIMIZER = "optimizer"
EVALUATION = "evaluation"  # one pass over the validation or test pictures
FEATURES = "features"  # pictures through a frozen backbone, for the steps that follow
CHECKPOINT = "checkpoint"
FINALISATION = "finalisation"  # from the end of the last step or evaluation to the end of the job
RECORDING = "recording"  # time of the recorder itself; no other phase includes it
STEP_PHASES = (DATA_WAIT, COPY, FORWARD, BACKWARD, OPTIMIZER)

# Collections of tensors, with the names that smdebug uses.
LOSSES = "losses"
WEIGHTS = "weights"
GRADIENTS = "gradients"
ACTIVATIONS = "activations"
INPUTS = "inputs"
COLLECTIONS = (LOSSES, WEIGHTS, GRADIENTS, ACTIVATIONS, INPUTS)


@dataclass(frozen=True, slots=True)
class Record:
    """Base of all records: the time, and the process (rank and host) that wrote it."""

    at: float
    rank: int = field(default=0, kw_only=True)
    host: str = field(default="algo-1", kw_only=True)


@dataclass(frozen=True, slots=True)
class Start(Record):
    """A process of the job started; after a restart (spot) there are several for each rank.

    `process_started` is when the operating system started it. `facts` describes the job: any of
    architecture, device, precision, batch_size, workers, cores, instance_type, input_modes (of the
    channels), world, classes, class_names,
    hyperparameters, versions, layers (module name to class name, in order of execution), settings.
    """

    job: str
    world: int
    process_started: float
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Span:
    """A phase of a step: its name, its start, and how long it took on the device."""

    name: str
    start: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Step(Record):
    """One batch in the loop; `at` is its end, `start` the beginning of its data wait.

    `loss` is the mean loss of the batch, if it was recorded; `size` is the number of pictures;
    `learning_rate` is that of the head.
    """

    mode: Mode
    step: int
    epoch: int
    start: float
    spans: tuple[Span, ...]
    size: int
    loss: float | None = None
    learning_rate: float | None = None

    @property
    def seconds(self) -> float:
        """From the beginning of the data wait to the end, without the time of the recorder."""
        return self.at - self.start - self.took(RECORDING)

    def took(self, phase: str) -> float:
        """Return the seconds in a phase; 0 if the step did not have it."""
        return sum(span.seconds for span in self.spans if span.name == phase)


@dataclass(frozen=True, slots=True)
class Phase(Record):
    """A phase outside of steps: initialisation, features, evaluation, checkpoint, finalisation."""

    name: str
    start: float
    step: int

    @property
    def seconds(self) -> float:
        """How long the phase took."""
        return self.at - self.start


@dataclass(frozen=True, slots=True)
class Scalar(Record):
    """A metric such as `validation:loss`, with its name in CloudWatch."""

    name: str
    step: int
    epoch: int
    value: float


@dataclass(frozen=True, slots=True)
class Best(Record):
    """The epoch whose weights are in the bundle, counted from 1, and its metrics by name."""

    epoch: int
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Trial(Record):
    """A trial of a sweep after one of its epochs, which ended with training step `step`.

    `hyperparameters` are those that differ between trials; `epoch` counts from 1; `values` are the
    metrics of the epoch. The last record of a trial has another status than "running": "finished",
    "lost" (its loss is not a number) or "best" (it is in the bundle); `epoch` is then its best one,
    0 if there is none.
    """

    number: int
    status: Literal["running", "finished", "lost", "best"]
    hyperparameters: Mapping[str, Any]
    step: int
    epoch: int
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Mistake(Record):
    """A picture with a wrong answer, at the end of the job; classes are numbers.

    `probability` is that of the answer, 0 to 1; `thumbnail` is a small JPEG in base64.
    """

    split: str
    name: str
    truth: int
    answer: int
    probability: float
    thumbnail: str


@dataclass(frozen=True, slots=True)
class Statistics:
    """Statistics of a tensor, over its finite elements (except `zeros` and `nonfinite`).

    `zeros` and `nonfinite` are shares of all elements. The last three exist only for some tensors
    and are None for the others. `change` (weights): l2 norm of the last update, divided by the l2
    norm of the weight before it. `dead` (ReLU): share of channels that are active in less than 1 %
    of positions. `saturated` (sigmoid, tanh): share of channels that are in the flat part of the
    function in more than 99 % of positions.
    """

    mean: float
    std: float
    min: float
    max: float
    l2: float
    mean_abs: float
    zeros: float
    nonfinite: float
    size: int
    change: float | None = None
    dead: float | None = None
    saturated: float | None = None


@dataclass(frozen=True, slots=True)
class Tensors(Record):
    """Statistics of a collection's tensors at a step, by parameter or module name, in order."""

    mode: Mode
    step: int
    collection: str
    values: Mapping[str, Statistics]


@dataclass(frozen=True, slots=True)
class RawTensor(Record):
    """A complete tensor; `file` is a .npy file, with its path relative to the recording."""

    mode: Mode
    step: int
    collection: str
    name: str
    file: str


@dataclass(frozen=True, slots=True)
class Confusion(Record):
    """A confusion matrix: (true class, predicted class, pictures) for each count above 0.

    `split` names the pictures of an evaluation: "validation" or "test".
    """

    mode: Mode
    step: int
    epoch: int
    classes: int
    counts: tuple[tuple[int, int, int], ...]
    split: str = ""


@dataclass(frozen=True, slots=True)
class System(Record):
    """A sample of a host's metrics, by name.

    Percentages: `cpu` (all cores), `cpu/0`… (each core), `iowait`, `memory`, `gpu/0`…,
    `gpu_memory/0`… Bytes: `process_memory` (sum over the processes of the job). Bytes per second:
    `disk_read`, `disk_written`, `network_received`, `network_sent`. Number: `processes` of the job.
    The first sample covers the time since the start of the job's first process.
    """

    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator in a profiled window; `total_seconds` includes the operators that it calls."""

    name: str
    calls: int
    self_seconds: float
    total_seconds: float


@dataclass(frozen=True, slots=True)
class Operators(Record):
    """Result of torch.profiler for `steps` steps from `step` on; most expensive operators first."""

    device: Literal["cpu", "gpu"]
    step: int
    steps: int
    seconds: float
    operators: tuple[Operator, ...]


@dataclass(frozen=True, slots=True)
class Note(Record):
    """A message of the recorder itself, such as: recording is degraded, and why."""

    text: str


@dataclass(frozen=True, slots=True)
class Fired(Record):
    """A rule fired while the job ran; `evidence` holds the numbers that the text names."""

    rule: str
    step: int
    text: str
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class End(Record):
    """A process of the job ended normally; without this record it ended abruptly."""

    status: Literal["completed", "stopped", "failed"]
    reason: str = ""
