"""One attempt at a training job: its hosts' folders and containers, and what they leave behind."""

import contextlib
from pathlib import Path

from emulator.context import Context, now
from emulator.contract import Record
from emulator.engines import opt_ml
from emulator.engines.container import Container, Engine, Mount, Network, Plan
from emulator.store import artifacts
from emulator.store.logs import Stream
from emulator.store.objects import Location
from emulator.store.paths import child

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
Started = tuple[Container, Path, Stream]


class Attempt:
    """The hosts of one attempt.

    Args:
        context: the emulator's context.
        job: the job's record.
        engine: starts the containers.
        folder: the job's folder.
        number: of the attempt, from 1.
    """

    def __init__(
        self, context: Context, job: Record, engine: Engine, folder: Path, number: int
    ) -> None:
        self._context, self._job, self._engine = context, job, engine
        self._folder, self._number = folder, number
        self._name: str = job["TrainingJobName"]
        self._roots: list[Path] = []
        self._syncs: list[artifacts.Sync] = []

    def start(
        self, network: Network, removals: contextlib.ExitStack, env: dict[str, str]
    ) -> list[Started]:
        """Download the data and start a container on each host.

        Args:
            network: of the hosts.
            removals: removes the containers when it closes.
            env: variables in addition to the job's own.

        Raises:
            JobError: there is no data, or a container cannot be started.
        """
        return [self._start(network, number, removals, env) for number in range(len(network.hosts))]

    def send(self) -> None:
        """Upload what is new in checkpoints, tensors and profiles."""
        for sync in self._syncs:
            sync.send()

    def upload(self, *, model: bool) -> None:
        """Upload the contents of output/data and, if `model`, of model.

        Raises:
            JobError: the bucket is missing.
        """
        config = self._job["OutputDataConfig"]
        packed = config.get("CompressionType", "GZIP") == "GZIP"
        target = Location.parse(config["S3OutputPath"]).join(self._name, "output")
        objects = self._context.objects
        for kind, wanted in (("output", self._has_output()), ("model", model)):
            if not wanted:
                continue
            inside = "output/data" if kind == "output" else kind
            name = f"{kind}.tar.gz" if packed else kind
            artifacts.upload(
                objects,
                [root / inside for root in self._roots],
                self._folder / f"{kind}.tar.gz",
                target.join(name),
                compress=packed,
            )

    def _has_output(self) -> bool:
        data = [root / "output" / "data" for root in self._roots]
        return any(next(artifacts.files_below(folder), None) for folder in data)

    def _start(
        self, network: Network, number: int, removals: contextlib.ExitStack, env: dict[str, str]
    ) -> Started:
        """Prepare one host's /opt/ml and start its container."""
        job, context = self._job, self._context
        root = self._folder / str(self._number) / f"algo-{number + 1}"
        opt_ml.make_folders(root)
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
            env=env | opt_ml.environment(job, context.region),
            mounts=tuple(self._channels(number, len(network.hosts))),
            entrypoint=tuple(algorithm.get("ContainerEntrypoint", ())),
            arguments=tuple(algorithm.get("ContainerArguments", ())),
        )
        stream = context.logs.stream(LOG_GROUP, f"{self._name}/algo-{number + 1}-{int(now())}")
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
