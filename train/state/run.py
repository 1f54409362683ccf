"""A run: what stays the same throughout it, and how it is set up."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.utils.data import DataLoader

from classifier import networks, weights
from classifier.precision import computes_bf16
from classifier.transform import EvaluationTransform
from debugger.records import EVALUATION
from pictures.channels import PRETRAINED
from pictures.picture import DataError, Picture, Splits
from train.batches import data
from train.batches.decoded import Room
from train.config import ConfigError, TrainConfig
from train.learning import frozen, optimizer, parallel
from train.learning.evaluate import Scores, evaluate
from train.platform.stop import Stop
from train.recording.hooks import Hooks

if TYPE_CHECKING:
    from train.features.features import Features
    from train.job import Job

CALIBRATION = 10_000  # validation pictures at most


@dataclass(frozen=True)
class Run:
    """What stays the same throughout a run; what changes is in TrainState."""

    config: TrainConfig
    splits: Splits
    job: "Job"
    stop: Stop
    hooks: Hooks
    device: torch.device
    precision: torch.dtype | None  # of autocast; None is float32 throughout
    transform: EvaluationTransform
    workers: int
    origin: str  # of the pretrained weights
    decoded: Room | None = None  # for pictures that are looked at again
    unreadable: data.Unreadable = field(init=False)

    def __post_init__(self) -> None:
        total = sum(map(len, (self.splits.train, self.splits.valid, self.splits.test)))
        unreadable = data.Unreadable(self.config.max_unreadable, total)
        object.__setattr__(self, "unreadable", unreadable)

    def told(self, config: TrainConfig) -> "Run":
        """Return the same run with other hyperparameters, as one trial of a sweep has."""
        workers, _ = data.worker_count(config, self.transform.crop, self.job.local_world)
        other = replace(self, config=config, workers=workers)
        object.__setattr__(other, "unreadable", self.unreadable)
        return other

    @property
    def chief(self) -> bool:
        """Whether this process speaks and writes for all."""
        return self.job.rank == 0

    def say(self, text: str) -> None:
        """Print a line, once for all processes."""
        if self.chief:
            print(text, flush=True)

    @property
    def augments_on_device(self) -> bool:
        """Whether a policy is left to the device, a batch at once."""
        wanted = self.config.augment_on
        return wanted == "device" or (wanted == "auto" and self.device.type == "cuda")

    @property
    def training_transform(self) -> data.Transform:
        """The random transform of the training pictures."""
        on_device = self.augments_on_device
        return data.training_transform(self.config, self.transform, on_device=on_device)

    def autocast(self) -> torch.autocast:
        """Return a context for forward passes."""
        return torch.autocast(
            self.device.type, self.precision or torch.bfloat16, enabled=self.precision is not None
        )

    def loader(
        self, pictures: Sequence[Picture], transform: data.Transform, *, shuffle: bool
    ) -> tuple[DataLoader[data.Item], data.Order]:
        """Return this process's batches of `pictures`, and the order that says where to begin."""
        seed = self.config.seed
        order = data.Order(
            len(pictures),
            self.config.batch_size if shuffle else max(self.config.together, data.LEAST_BATCH),
            seed=seed if shuffle else None,
            rank=self.job.rank,
            world=self.job.world,
            lay=data.lay(pictures) if shuffle and self.config.shuffle_block > 1 else None,
            block=self.config.shuffle_block,
        )
        return self.batches(pictures, transform, order), order

    def batches(
        self,
        pictures: Sequence[Picture],
        transform: data.Transform,
        order: data.Order | Sequence[list[data.Key]],
        *,
        again: bool = True,
    ) -> DataLoader[data.Item]:
        """Return batches of `pictures` in an order; `again`: they will be looked at again."""
        room = self.decoded if again else None
        decoded = room.of(pictures, transform.at_least) if room else None
        dataset = data.Pictures(pictures, transform, self.config.seed, decoded)
        return data.loader(dataset, order, workers=self.workers)

    def measure(self, network: nn.Module, pictures: Sequence[Picture]) -> Scores:
        """Evaluate; raises Interrupted when asked to stop."""
        keep = -(-len(pictures) // CALIBRATION) if pictures is self.splits.valid else 0
        return self.score(network, self.loader(pictures, self.transform, shuffle=False)[0], keep)

    def measure_head(
        self, network: nn.Module, kept: "Features", pictures: Sequence[Picture]
    ) -> Scores:
        """Evaluate a network whose backbone is that of `kept`; raises as `measure`."""
        kept.view(pictures, None)
        job = self.job
        order = data.Order(
            len(pictures), data.LEAST_BATCH, seed=None, rank=job.rank, world=job.world
        )
        keep = -(-len(pictures) // CALIBRATION)
        return self.score(frozen.split(network)[1], kept.batches(pictures, order), keep)

    def score(self, network: nn.Module, batches: Iterable[data.Batch], keep: int) -> Scores:
        """Evaluate on batches; raises Interrupted when asked to stop."""
        with self.hooks.phase(EVALUATION):
            scores = evaluate(
                network,
                self.stop.watch(batches),
                len(self.splits.classes),
                self.device,
                self.autocast(),
                self.unreadable,
                self.hooks,
                keep,
            )
        scores = parallel.gather(scores)
        if not scores.count:
            raise DataError("none of the pictures to be measured could be read")
        self.hooks.scored(scores)
        return scores


def set_up(
    config: TrainConfig, splits: Splits, job: "Job", stop: Stop, hooks: Hooks
) -> tuple[Run, nn.Module]:
    """Build the network, on its device and with its frozen part, and say what will happen."""
    device = torch.device(f"cuda:{job.local_rank}" if torch.cuda.is_available() else "cpu")
    transform = networks.preset(config.architecture)
    if config.image_size:
        transform = transform.at_size(config.image_size)
    torch.manual_seed(config.seed)
    network = networks.build(config.architecture, len(splits.classes), image_size=transform.crop)
    origin = "random"
    if config.weights != "none":
        origin = weights.load_pretrained(
            network,
            config.architecture,
            file=None if config.weights == "pretrained" else Path(config.weights),
            channel=job.channels.get(PRETRAINED),
            folders=splits.folders,
        )
    optimizer.freeze(network, config.trainable)
    network.to(device)
    network.to(memory_format=torch.channels_last)  # the faster order on GPUs and CPUs alike
    if job.world > 1:
        parallel.check_alike(splits)
        network = parallel.synchronise_batch_norm(network, device)
    workers, limited = data.worker_count(config, transform.crop, job.local_world)
    precision = choose_precision(config.precision, device)
    run = Run(
        *(config, splits, job, stop, hooks, device, precision, transform, workers, origin),
        decoded=make_room(config, splits, workers, job.local_world),
    )
    hooks.watch(run, network)
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    run.say(
        f"{config.architecture} for {len(splits.classes)} classes on {device}, "
        f"{precision or torch.float32}, weights: {origin}; "
        f"training {config.trainable}, {trained:,} parameters"
    )
    run.say(
        f"pictures: {len(splits.train)} train, {len(splits.valid)} valid, {len(splits.test)} test; "
        f"{workers} decoding workers, {job.world} training processes"
    )
    for note in (*splits.notes, limited):
        if note:
            run.say(note)
    return run, network


def make_room(config: TrainConfig, splits: Splits, workers: int, processes: int) -> Room | None:
    """Return the memory for decoded pictures; None where none are looked at twice, or wanted."""
    if max(trial.epochs for trial in config.trials()) == 1 or config.cache_gib == 0:
        return None
    wanted = None if config.cache_gib is None else int(config.cache_gib * 2**30)
    return Room((splits.train, splits.valid), workers, processes, wanted)


def choose_precision(wanted: str, device: torch.device) -> torch.dtype | None:
    """Return autocast's type, None for float32.

    Raises:
        ConfigError: the device cannot compute in it.
    """
    if wanted == "auto" and device.type == "cpu":
        wanted = "fp32"  # which all processors compute in, and much the same way
    elif wanted == "auto":
        wanted = "bf16" if computes_bf16(device) else "fp16"
    if wanted == "fp16" and device.type == "cpu":
        raise ConfigError("precision=fp16 needs a GPU: use auto, fp32 or bf16")
    return {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[wanted]
