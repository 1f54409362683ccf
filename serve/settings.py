"""All settings of the server, from the environment; all problems are reported together.

SageMaker's names come from its inference toolkit. `make docs` writes docs/reference/settings.md
from the descriptions.
"""

import os
from collections.abc import Mapping
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    IPvAnyAddress,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails
from sagemaker_inference import parameters

from serve import machine
from serve.errors import RequestError
from serve.formats import accepting, answers

Port = Annotated[int, Field(ge=1, le=65535)]
# The model server stores its ports in a Java short.
InnerPort = Annotated[int, Field(ge=1024, le=32766)]
Positive = Annotated[int, Field(ge=1)]
_HOUR = 3600  # as long as SageMaker waits at most, for an asynchronous endpoint
Seconds = Annotated[int, Field(ge=1, le=_HOUR)]
# nginx compares the number of digits: a body of 10 MB or more is large.
_MAX_DIRECT_BODY = 9_999_999
# A unix socket's path has at most 107 bytes (unix(7)); the workers' sockets are two folders deeper.
_MAX_RUN_DIR = 64


class SettingsError(ValueError):
    """Invalid environment variables; the message has one line for each."""


class Settings(BaseModel):
    """The server's settings. Each field's alias is its environment variable."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    # SageMaker's own
    port: Port = Field(8080, alias=parameters.BIND_TO_PORT_ENV, description="port of nginx")
    base_dir: Path = Field(
        Path("/opt/ml"),
        alias=parameters.BASE_PATH_ENV,
        description="the bundle is in its folder `model`",
    )
    workers_wanted: Annotated[int, Field(ge=1, le=256)] | None = Field(
        None,
        alias=parameters.MODEL_SERVER_WORKERS_ENV,
        description=(
            "worker processes; by default two per GPU, else one per eight cores plus one, as "
            "memory allows"
        ),
    )
    timeout_seconds: Seconds | None = Field(
        None,
        alias=parameters.MODEL_SERVER_TIMEOUT_SECONDS_ENV,
        description="limit for loading, and for one batch in a worker; 240 by default",
    )
    timeout_minutes: Positive | None = Field(
        None,
        alias=parameters.MODEL_SERVER_TIMEOUT_ENV,
        description="the same limit in minutes, as in the toolkit; more than an hour is an hour",
    )
    max_payload_mb: Annotated[int, Field(ge=1, le=1024)] = Field(
        6,
        alias=parameters.MAX_REQUEST_SIZE,
        description=(
            "largest body, MiB, up to 1024; `kennel deploy` sets it for an asynchronous endpoint "
            "(1024) and a transform job (its `max_payload_mb`)"
        ),
    )
    default_accept: str = Field(
        answers.JSON,
        alias=parameters.DEFAULT_INVOCATIONS_ACCEPT_ENV,
        description="for clients without `Accept`",
    )
    vm_args: str = Field(
        "", alias=parameters.MODEL_SERVER_VMARGS, description="more options for Java"
    )
    multi_model: bool = Field(
        False,
        alias=parameters.MULTI_MODEL_ENV,
        description="`true`: many bundles, loaded and unloaded by name",
    )
    # Set by SageMaker in the container of a batch transform.
    is_batch: bool = Field(
        False,
        alias="SAGEMAKER_BATCH",
        description=(
            "SageMaker sets it in a batch transform: stray files such as `.DS_Store` get an "
            "answer that names them, see docs/requests.md"
        ),
    )

    # Kennel's
    address: IPvAnyAddress = Field(
        IPv4Address("0.0.0.0"),  # noqa: S104
        alias="KENNEL_BIND_ADDRESS",
        description=(
            "address of nginx, `::` for IPv6 and IPv4; `127.0.0.1` outside containers, where "
            "others could reach it"
        ),
    )
    metrics_port: Port | None = Field(
        None,
        alias="KENNEL_METRICS_PORT",
        description="port of `/metrics` on loopback, for Prometheus; none if unset",
    )
    emf_s: Annotated[int, Field(ge=0)] = Field(
        0,
        alias="KENNEL_EMF_SECONDS",
        description=(
            "interval of the lines in CloudWatch's embedded metric format in the log; 0 is never"
        ),
    )
    code: str | None = Field(
        None,
        alias="KENNEL_CODE",
        description="a module or .py file with your own code, or `bundle`",
    )
    run_dir: Path | None = Field(
        None,
        alias="KENNEL_RUN_DIR",
        description=(
            "parent of the private run-time directory; by default the system's temporary directory"
        ),
    )
    model_server_port: InnerPort | None = Field(
        None,
        alias="KENNEL_MODEL_SERVER_PORT",
        description="port of the model server on loopback; by default a free one",
    )
    batch_wanted: Annotated[int, Field(ge=1, le=256)] | None = Field(
        None,
        alias="KENNEL_BATCH_SIZE",
        description="most requests in one batch; by default 32 with a GPU, else 8",
    )
    # A batch fills while the previous one is computed, so a longer delay only slows down a single
    # request. With 0 the model server puts at most two requests in a batch (Model.pollBatch).
    batch_delay_ms: Annotated[int, Field(ge=0, le=60_000)] = Field(
        1,
        alias="KENNEL_MAX_BATCH_DELAY_MS",
        description=(
            "how long a batch, and so a single request, waits for more requests; under load a "
            "batch fills while the previous one is computed. With 0 no batch has more than two"
        ),
    )
    queue_size: Annotated[int, Field(ge=1, le=10_000)] = Field(
        100, alias="KENNEL_QUEUE_SIZE", description="waiting requests; more get 503"
    )
    threads: Annotated[int, Field(ge=1, le=1024)] | None = Field(
        None,
        alias="KENNEL_THREADS",
        description=(
            "processor threads of a worker; by default its share of the cores, without counting "
            "the extra worker"
        ),
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", alias="KENNEL_DEVICE", description="what computes the network"
    )
    engine: Literal["auto", "openvino", "torch"] = Field(
        "auto",
        alias="KENNEL_ENGINE",
        description=(
            "`openvino`, `torch`, or `auto`: torch on a GPU, else OpenVINO, or torch "
            "for bundles without `model.onnx`"
        ),
    )
    precision: Literal["auto", "fp32", "bf16", "int8"] = Field(
        "auto",
        alias="KENNEL_PRECISION",
        description=(
            "`fp32`, `bf16`, `int8`, or `auto`: the first of int8 (bundles with `model.int8.onnx`, "
            "where it is faster), bf16 (processors with AVX512-BF16 or AMX, GPUs) and fp32 with "
            "which the golden inputs agree"
        ),
    )
    max_pixels: Annotated[int, Field(ge=1, le=2**30)] = Field(
        2**26, alias="KENNEL_MAX_PIXELS", description="width times height of a picture"
    )
    max_request_pixels: Annotated[int, Field(ge=1, le=2**30)] = Field(
        2**26,
        alias="KENNEL_MAX_REQUEST_PIXELS",
        description=(
            "width times height of all pictures of a request together; at least `KENNEL_MAX_PIXELS`"
        ),
    )
    max_pictures: Annotated[int, Field(ge=1, le=1024)] = Field(
        32, alias="KENNEL_MAX_PICTURES", description="pictures in one request"
    )
    decode_s: Annotated[int, Field(ge=1, le=50)] = Field(
        10,
        alias="KENNEL_DECODE_SECONDS",
        description=(
            "processor time for decoding the pictures of one request in the lane; over it the "
            "answer is 422"
        ),
    )
    # In bf16 0.02 allows a difference as large as the largest logit: the check would prove nothing.
    golden_tolerance: Annotated[float, Field(gt=0, lt=0.02)] = Field(
        1e-3,
        alias="KENNEL_GOLDEN_TOLERANCE",
        description=(
            "allowed difference from the golden logits in fp32, relative to the largest; in bf16 "
            "fifty times as much, in int8 also what `kennel.json` says"
        ),
    )
    drain_s: Annotated[int, Field(ge=1, le=28)] = Field(
        25,
        alias="KENNEL_DRAIN_SECONDS",
        description="limit for open requests after SIGTERM; SageMaker kills after 30",
    )
    recovery_s: Seconds = Field(
        60, alias="KENNEL_RECOVERY_SECONDS", description="without a healthy worker, before exit 1"
    )
    hung_s: Seconds = Field(
        30,
        alias="KENNEL_HUNG_SECONDS",
        description="for one step of a batch, before the worker is killed",
    )
    worker_memory_mb: Positive | None = Field(
        None,
        alias="KENNEL_WORKER_MEMORY_MB",
        description=(
            "resident memory at which a worker is replaced; by default its share of 85 % of the "
            "memory"
        ),
    )

    @field_validator("default_accept")
    @classmethod
    def _is_offered(cls, accept: str) -> str:
        try:
            accepting.choose(accept)
        except RequestError as error:
            raise ValueError(f"{error.message}: {error.hint}") from None
        return accept

    @model_validator(mode="after")
    def _code_or_many_models(self) -> "Settings":
        if self.multi_model and self.code:
            raise ValueError("KENNEL_CODE and SAGEMAKER_MULTI_MODEL exclude each other: unset one")
        return self

    @model_validator(mode="after")
    def _engine_is_possible(self) -> "Settings":
        if self.engine != "auto" and not machine.has(self.engine):
            raise ValueError(
                f"KENNEL_ENGINE={self.engine}, but this image does not have it: unset it"
            )
        if self.device == "cuda" and not machine.has("torch"):
            raise ValueError(
                "KENNEL_DEVICE=cuda, but this image has no torch, which computes on GPUs: "
                "use the image kennel-serve, or set KENNEL_DEVICE=auto"
            )
        if self.device == "cuda" and self.engine == "openvino":
            raise ValueError(
                "KENNEL_ENGINE=openvino computes on processors, but KENNEL_DEVICE=cuda: unset one"
            )
        if self.precision == "int8" and (self.engine == "torch" or self.device == "cuda"):
            raise ValueError(
                "KENNEL_PRECISION=int8 is OpenVINO's, on processors: "
                "unset KENNEL_ENGINE=torch and KENNEL_DEVICE=cuda, or take another precision"
            )
        return self

    @field_validator("run_dir")
    @classmethod
    def _is_usable(cls, run_dir: Path | None) -> Path | None:
        if run_dir and len(os.fsencode(run_dir.absolute())) > _MAX_RUN_DIR:
            raise ValueError(f"longer than {_MAX_RUN_DIR} bytes, too long for the sockets in it")
        if run_dir and not (run_dir.is_dir() and os.access(run_dir, os.W_OK)):
            raise ValueError("not a writable directory: create it, or unset this")
        return run_dir.absolute() if run_dir else None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read the settings; an empty variable counts as unset.

        Raises:
            SettingsError: one line for each invalid variable.
        """
        given = {name: value for name, value in environment.items() if value.strip()}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise SettingsError("\n".join(map(_line, error.errors()))) from None

    @property
    def timeout_s(self) -> int:
        """The limit for loading and for one batch, in seconds."""
        if self.timeout_seconds is None and self.timeout_minutes is not None:
            return min(60 * self.timeout_minutes, _HOUR)
        return self.timeout_seconds or 240

    @property
    def model_dir(self) -> Path:
        """Where SageMaker unpacks the bundle."""
        return self.base_dir / "model"

    @property
    def models_dir(self) -> Path:
        """Below which SageMaker unpacks the bundles of a multi-model endpoint."""
        return self.base_dir / "models"

    @property
    def request_pixels(self) -> int:
        """The most pixels of all pictures of a request: one picture can always have its own."""
        return max(self.max_request_pixels, self.max_pixels)

    @property
    def max_body(self) -> int:
        """The largest request body, in bytes."""
        return self.max_payload_mb * 1024 * 1024

    @property
    def max_direct_body(self) -> int:
        """The largest body that goes through the model server's memory; a larger one does not."""
        return self.max_body if self.code else min(self.max_body, _MAX_DIRECT_BODY)

    @property
    def layout(self) -> machine.Layout:
        """Workers, threads and batch size: the settings, else chosen for the machine."""
        # Bundles that share weights must be in one process.
        wanted = 1 if self.multi_model else self.workers_wanted
        chosen = machine.layout(
            machine.cores(),
            self.gpus,
            machine.memory_mb(),
            wanted,
            worker_mb=machine.worker_mb(),
        )
        return machine.Layout(
            chosen.workers, self.threads or chosen.threads, self.batch_wanted or chosen.batch_size
        )

    @property
    def gpus(self) -> int:
        """How many GPUs are used."""
        return machine.gpus() if self.can_use_gpus else 0

    @property
    def can_use_gpus(self) -> bool:
        """Whether GPUs would be used if there are any."""
        return self.device != "cpu" and self.engine != "openvino" and machine.has("torch")

    @property
    def worker_memory(self) -> int:
        """The resident bytes allowed for a worker: the setting, else its share of the memory."""
        shared = machine.memory_mb() * 85 // 100 // self.layout.workers
        return (self.worker_memory_mb or shared) * 2**20

    @property
    def lane_slots(self) -> int:
        """How many costly requests are decoded at the same time: each can take over a GiB."""
        return max(1, min(machine.cores() // 2, machine.memory_mb() // 4096))

    @property
    def listen(self) -> str:
        """The address of nginx: `0.0.0.0:8080`; `[::]:8080` is of both families."""
        if self.address.version == 6:
            both = " ipv6only=off" if self.address.is_unspecified else ""
            return f"[{self.address}]:{self.port}{both}"
        return f"{self.address}:{self.port}"

    @property
    def default_format(self) -> answers.Format:
        """The format for clients without an `Accept` header."""
        return accepting.choose(self.default_accept)


def _line(problem: ErrorDetails) -> str:
    reason = problem["msg"].removeprefix("Value error, ")
    return f"{problem['loc'][0]}={problem['input']}: {reason}" if problem["loc"] else reason
