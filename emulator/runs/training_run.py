"""One training job while it runs: from Starting to its last status, spot interruptions included."""

import contextlib
import logging
import math
import time
from pathlib import Path
from typing import Literal

from emulator.context import Context, now
from emulator.contract import Record
from emulator.engines import opt_ml
from emulator.engines.container import Container, Mount, Network, Plan
from emulator.errors import JobError
from emulator.resources import TRAINING_JOB
from emulator.runs import hosts
from emulator.runs.hosts import Hosts
from emulator.runs.metrics import Metrics
from emulator.store import artifacts
from emulator.store.logs import Stream
from emulator.store.objects import Location
from emulator.store.paths import child, remove_child

log = logging.getLogger("kennel.emulator")

_LOG_GROUP = "/aws/sagemaker/TrainingJobs"
Request = Literal["stop", "interrupt"]
Outcome = Literal[
    "Completed", "Stopped", "MaxRuntimeExceeded", "MaxWaitTimeExceeded", "Interrupted"
]


def transition(job: Record, status: str, message: str = "") -> None:
    """Set a new SecondaryStatus, and the end time of the previous one."""
    moment = now()
    transitions = job.setdefault("SecondaryStatusTransitions", [])
    if transitions:
        transitions[-1].setdefault("EndTime", moment)
    transitions.append({"Status": status, "StartTime": moment, "StatusMessage": message})
    job["SecondaryStatus"] = status


class TrainingRun:
    """Runs one job whose record is already stored.

    Args:
        context: the emulator's context.
        name: the job's name.
    """

    def __init__(self, context: Context, name: str) -> None:
        job = context.records.get(TRAINING_JOB, name)
        assert job
        self._context, self._name, self._job = context, name, job
        self._engine = context.engines.for_image(job["AlgorithmSpecification"]["TrainingImage"])
        self._limits = context.settings.limits
        self._folder = context.folder("jobs", name)
        self._metrics = Metrics(job["AlgorithmSpecification"].get("MetricDefinitions", []))
        self._requests: set[Request] = set()
        self._trained_s = 0.0
        self._created = time.monotonic()
        self._attempt = 0
        self._roots: list[Path] = []
        self._syncs: list[artifacts.Sync] = []

    def stop(self) -> None:
        """Ask the job to stop."""
        self._transition("Stopping", "Stopping the training job")
        self._requests.add("stop")

    def interrupt(self) -> None:
        """Take the spot instances away; the job starts again on new ones."""
        self._requests.add("interrupt")

    def metric_values(self, name: str) -> list[float]:
        """Return all values of a metric so far."""
        return self._metrics.values(name)

    def run(self) -> None:
        """Run the job to its end; errors become its FailureReason."""
        try:
            outcome = self._run_once()
            while outcome == "Interrupted":
                self._transition("Interrupted", "Spot capacity was reclaimed")
                self._transition("Starting", "Launching requested ML instances again")
                outcome = self._run_once()
            self._upload(model=True)
            self._end(outcome)
        except JobError as error:
            self._fail(str(error))
        except Exception as error:
            log.exception("training job %s", self._name)
            self._fail(f"InternalServerError: the emulator could not run the job: {error!r}")
        finally:
            remove_child(self._folder.parent, self._folder.name)

    def _run_once(self) -> Outcome:
        """Run the job's containers once, until they end or are stopped.

        Raises:
            JobError: the algorithm or the platform failed.
        """
        self._requests.discard("interrupt")
        count = self._job["ResourceConfig"].get("InstanceCount", 1)
        isolated = bool(self._job.get("EnableNetworkIsolation"))
        with (
            self._engine.network(
                self._context.unique(self._name), count, isolated=isolated
            ) as network,
            contextlib.ExitStack() as removals,
        ):
            if "stop" in self._requests:
                return "Stopped"
            if not self._attempt:
                self._transition("Downloading", "Downloading input data")
            self._attempt += 1
            started = [
                self._start(network, number, removals) for number in range(len(network.hosts))
            ]
            self._transition("Training", "Training image download completed. Training in progress.")
            with self._context.records.change(TRAINING_JOB, self._name) as job:
                job.setdefault("TrainingStartTime", now())
            start = time.monotonic()
            running = Hosts(started, self._metrics.read)
            try:
                return self._watch(running, start)
            finally:
                running.kill()
                self._trained_s += time.monotonic() - start
                self._save_metrics()
                for sync in self._syncs:
                    sync.send()

    def _start(
        self, network: Network, number: int, removals: contextlib.ExitStack
    ) -> tuple[Container, Path, Stream]:
        """Prepare one host's /opt/ml and start its container."""
        job, context = self._job, self._context
        root = self._folder / str(self._attempt) / f"algo-{number + 1}"
        opt_ml.make_folders(root)
        if number == 0:
            self._roots, self._syncs = [], []
        self._roots.append(root)
        paths = self._make_synced_folders(root)
        host = network.hosts[number]
        opt_ml.write_config(root, job, network, host, paths)
        algorithm = job["AlgorithmSpecification"]
        plan = Plan(
            name=f"{context.unique(self._name)}-algo-{number + 1}",
            image=algorithm["TrainingImage"],
            verb="train",
            root=root,
            network=network,
            host=host,
            env=opt_ml.environment(job, context.region),
            mounts=tuple(self._channels(number, len(network.hosts))),
            entrypoint=tuple(algorithm.get("ContainerEntrypoint", ())),
            arguments=tuple(algorithm.get("ContainerArguments", ())),
        )
        stream = context.logs.stream(_LOG_GROUP, f"{self._name}/algo-{number + 1}-{int(now())}")
        container = self._engine.start(plan)
        removals.callback(container.remove)
        return container, root, stream

    def _make_synced_folders(self, root: Path) -> dict[str, str]:
        """Make the folders that go to S3 while the job runs; return SageMaker's path -> ours."""
        paths: dict[str, str] = {}
        for path, uri in opt_ml.synced_folders(self._job):
            # The docker engine mounts only /opt/ml; an engine refuses a path that it cannot offer.
            paths[path] = self._engine.container_path(root, path)
            folder = opt_ml.host_path(root, path)
            sync = artifacts.Sync(self._context.objects, folder, Location.parse(uri))
            sync.fetch()
            self._syncs.append(sync)
        return paths

    def _channels(self, number: int, count: int) -> list[Mount]:
        """Download the channels: one copy for all hosts, or a shard for each."""
        mounts = []
        for channel in self._job.get("InputDataConfig", []):
            name = channel["ChannelName"]
            source = channel["DataSource"]["S3DataSource"]
            shared = source.get("S3DataDistributionType") != "ShardedByS3Key"
            folder = child(self._folder / "data" / ("all" if shared else str(number)), name)
            if not folder.exists():
                opt_ml.download(self._context.objects, channel, folder, number, count)
            mounts.append(Mount(folder, f"input/data/{name}", read_only=True))
        return mounts

    def _watch(self, running: Hosts, start: float) -> Outcome:
        """Wait until the containers end; obey time limits, stop requests and interruptions."""
        stopping = self._job.get("StoppingCondition", {})
        max_runtime = stopping.get("MaxRuntimeInSeconds", 86_400) - self._trained_s
        max_wait = stopping.get("MaxWaitTimeInSeconds", math.inf)
        last_sync = time.monotonic()
        while (ending := running.wait(0.1)) is None:
            moment = time.monotonic()
            if self._context.closing.is_set():
                raise JobError("InternalServerError: the emulator was stopped while the job ran")
            if "stop" in self._requests:
                running.stop(self._limits.stop_grace_s)
                return "Stopped"
            if "interrupt" in self._requests:
                running.stop(self._limits.spot_notice_s)
                return "Stopped" if "stop" in self._requests else "Interrupted"
            too_long = moment - start > max_runtime
            if too_long or moment - self._created > max_wait:
                self._transition("Stopping", "A limit of the stopping condition was reached")
                running.stop(self._limits.stop_grace_s)
                return "MaxRuntimeExceeded" if too_long else "MaxWaitTimeExceeded"
            if moment - last_sync > self._limits.checkpoint_sync_s:
                for sync in self._syncs:
                    sync.send()
                self._save_metrics()
                last_sync = moment
        if ending.code:
            self._upload(model=False)
            raise JobError(hosts.reason(ending))
        return "Completed"

    def _upload(self, *, model: bool) -> None:
        """Upload the contents of output/data and, if `model`, of model."""
        config = self._job["OutputDataConfig"]
        compress = config.get("CompressionType", "GZIP") == "GZIP"
        target = Location.parse(config["S3OutputPath"]).join(self._name, "output")
        if not self._roots:  # stopped before it started
            return
        self._transition("Uploading", "Uploading generated training model")
        objects = self._context.objects
        data = [root / "output" / "data" for root in self._roots]
        if any(next(artifacts.files_below(folder), None) for folder in data):
            name = "output.tar.gz" if compress else "output"
            archive = self._folder / "output.tar.gz"
            artifacts.upload(objects, data, archive, target.join(name), compress=compress)
        if model:
            name = "model.tar.gz" if compress else "model"
            folders = [root / "model" for root in self._roots]
            archive = self._folder / "model.tar.gz"
            artifacts.upload(objects, folders, archive, target.join(name), compress=compress)
            where = str(target.join(name)) + ("" if compress else "/")
            self._update(ModelArtifacts={"S3ModelArtifacts": where})

    def _end(self, outcome: Outcome) -> None:
        status = "Completed" if outcome == "Completed" else "Stopped"
        message = {"Completed": "Training job completed", "Stopped": "Training job stopped"}
        self._finish(status, outcome, message.get(outcome, f"Training job stopped: {outcome}"))

    def _fail(self, reason: str) -> None:
        self._update(FailureReason=reason[:1024])
        self._finish("Failed", "Failed", reason[:1024])

    def _finish(self, status: str, secondary: str, message: str) -> None:
        self._save_metrics()
        seconds = math.ceil(self._trained_s)
        with self._context.records.change(TRAINING_JOB, self._name) as job:
            transition(job, secondary, message)
            job["SecondaryStatusTransitions"][-1]["EndTime"] = now()
            job["TrainingJobStatus"] = status
            job["TrainingEndTime"] = now()
            job["BillableTimeInSeconds"] = job["TrainingTimeInSeconds"] = seconds

    def _save_metrics(self) -> None:
        if final := self._metrics.final():
            self._update(FinalMetricDataList=final)

    def _transition(self, status: str, message: str) -> None:
        with self._context.records.change(TRAINING_JOB, self._name) as job:
            transition(job, status, message)

    def _update(self, **fields: object) -> None:
        self._context.records.update(TRAINING_JOB, self._name, **fields)
