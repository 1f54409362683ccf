"""What a job records: typed records, in the order they happened.

A recording is a stream of these. Rules and the report are folds over it, so that they work while
the job runs and afterwards alike. Times are seconds since 1970 (UTC), lengths of time seconds,
`step` counts training steps of the whole run from 0 (evaluation carries the step it followed).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Mode = Literal["train", "eval"]

# Phases of a job. Those of a step lie inside a Step; the others are records of their own.
INITIALISATION = "initialisation"  # process start to the first step's data wait
DATA_WAIT = "data_wait"  # the loop waits for its next batch
COPY = "copy"  # host memory to device memory
FORWARD = "forward"
BACKWARD = "backward"
OPTIMIZER = "optimizer"
EVALUATION = "evaluation"  # one pass over validation or test pictures
FEATURES = "features"  # pictures through a frozen backbone, for the steps that follow
CHECKPOINT = "checkpoint"
FINALISATION = "finalisation"  # the last step's or evaluation's end to the job's end
RECORDING = "recording"  # what the recorder itself takes, which no other phase counts
STEP_PHASES = (DATA_WAIT, COPY, FORWARD, BACKWARD, OPTIMIZER)

# Collections of tensors: smdebug's names.
LOSSES = "losses"
WEIGHTS = "weights"
GRADIENTS = "gradients"
ACTIVATIONS = "activations"
INPUTS = "inputs"
COLLECTIONS = (LOSSES, WEIGHTS, GRADIENTS, ACTIVATIONS, INPUTS)


@dataclass(frozen=True, slots=True)
class Record:
    """Anything recorded: when, and by which process of the job (rank in `world`) on which host."""

    at: float
    rank: int = field(default=0, kw_only=True)
    host: str = field(default="algo-1", kw_only=True)


@dataclass(frozen=True, slots=True)
class Start(Record):
    """A process of the job began; a job started again (spot) has several of each rank.

    `process_started` is when the operating system started it. `facts` says what ran: any of
    architecture, device, precision, batch_size, workers, cores, world, classes, class_names,
    hyperparameters, versions, layers (module name to class name, in order of execution), settings.
    """

    job: str
    world: int
    process_started: float
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Span:
    """A phase of a step: its name, when it began, how long it took on the device."""

    name: str
    start: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Step(Record):
    """One batch through the loop; `at` is its end, `start` the beginning of its data wait.

    `loss` is its mean loss where one was recorded; `size` its number of pictures.
    """

    mode: Mode
    step: int
    epoch: int
    start: float
    spans: tuple[Span, ...]
    size: int
    loss: float | None = None

    @property
    def seconds(self) -> float:
        """From the beginning of the data wait to the end, less what the recorder took."""
        return self.at - self.start - self.took(RECORDING)

    def took(self, phase: str) -> float:
        """Return the seconds in a phase, 0 where it did not happen."""
        return sum(span.seconds for span in self.spans if span.name == phase)


@dataclass(frozen=True, slots=True)
class Phase(Record):
    """A phase outside the steps: initialisation, features, evaluation, checkpoint, finalisation."""

    name: str
    start: float
    step: int

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.at - self.start


@dataclass(frozen=True, slots=True)
class Scalar(Record):
    """A figure such as `validation:loss`, under the name that CloudWatch knows it by."""

    name: str
    step: int
    epoch: int
    value: float


@dataclass(frozen=True, slots=True)
class Statistics:
    """A tensor in a few numbers. Taken over its finite elements, save `nonfinite`.

    `zeros` and `nonfinite` are shares of all elements. What only some tensors have is None
    elsewhere: `change` (weights: l2 of the last optimizer step's update over l2 before it), `dead`
    (ReLU outputs: share of channels active in fewer than 1 % of places), `saturated` (sigmoid and
    tanh: share of channels in their flat part in more than 99 % of places).
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
    """A whole tensor; `file` is a .npy file beside the stream, relative to the recording."""

    mode: Mode
    step: int
    collection: str
    name: str
    file: str


@dataclass(frozen=True, slots=True)
class Confusion(Record):
    """Answers against truth: counts as (true class, answered class, pictures); others are 0."""

    mode: Mode
    step: int
    epoch: int
    classes: int
    counts: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class System(Record):
    """A sample of a host, by name.

    Percentages: `cpu` (all cores), `cpu/0`… (each), `iowait`, `memory`, `gpu/0`…, `gpu_memory/0`…
    Bytes: `process_memory` (the job's processes, each for itself). Bytes a second: `disk_read`,
    `disk_written`, `network_received`, `network_sent`.
    """

    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator's calls in a profiled window; seconds of its own, and with what it called."""

    name: str
    calls: int
    self_seconds: float
    total_seconds: float


@dataclass(frozen=True, slots=True)
class Operators(Record):
    """What torch.profiler saw in `steps` steps from `step` on: the dearest operators first."""

    device: Literal["cpu", "gpu"]
    step: int
    steps: int
    seconds: float
    operators: tuple[Operator, ...]


@dataclass(frozen=True, slots=True)
class Note(Record):
    """Something the recorder itself says, such as that it is degraded and why."""

    text: str


@dataclass(frozen=True, slots=True)
class Fired(Record):
    """A rule fired while the job ran; `evidence` holds the figures that the text names."""

    rule: str
    step: int
    text: str
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class End(Record):
    """A process of the job ended in good order; without this record it ended abruptly."""

    status: Literal["completed", "stopped", "failed"]
    reason: str = ""
