"""How a run begins: network, weights, device, precision, memory; and the log lines that say so."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from classifier import networks, weights
from classifier.inference import computes_bf16
from pictures.channels import PRETRAINED
from pictures.picture import Splits
from train.batches import loading
from train.batches.batch import Unreadable
from train.batches.decoded import DecodedCache
from train.config import ConfigError, TrainConfig
from train.learning import batch_norm, frozen, optimizer, parallel
from train.platform.environment import Job
from train.platform.stop import Stop
from train.recording.hooks import Facts, Hooks
from train.state.run import Run
from train.state.state import TrainState


def set_up(
    config: TrainConfig, splits: Splits, job: Job, stop: Stop, hooks: Hooks
) -> tuple[Run, nn.Module]:
    """Build the network, on its device and with its frozen part, and log what will happen.

    Raises:
        ConfigError, DataError, WeightsError: with what to fix.
    """
    device = torch.device(f"cuda:{job.local_rank}" if torch.cuda.is_available() else "cpu")
    if config.compile and device.type == "cpu":
        raise ConfigError("compile=true needs a GPU, where it pays; leave compile=false")
    transform = networks.preset(config.architecture)
    if config.image_size:
        transform = transform.at_size(config.image_size)
        check_size(config.architecture, transform.crop)
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
    if config.weights == "none" and frozen.only_head_is_trained(network):
        raise ConfigError(
            f"trainable={config.trainable} trains the head only, and weights=none makes the rest "
            "random: set trainable=all, or give weights"
        )
    network.to(device)
    network.to(memory_format=torch.channels_last)  # the faster layout on GPUs and CPUs
    if job.world_size > 1:
        parallel.check_same_pictures(splits)
        network = batch_norm.synchronise(network, device)
    workers, limited = loading.worker_count(config, transform.crop, job.local_world_size)
    precision = choose_precision(config.precision, device)
    run = Run(
        config=config,
        splits=splits,
        job=job,
        stop=stop,
        hooks=hooks,
        device=device,
        precision=precision,
        transform=transform,
        workers=workers,
        origin=origin,
        unreadable=Unreadable(
            config.max_unreadable, sum(map(len, (splits.train, splits.valid, splits.test)))
        ),
        decoded=make_cache(config, splits, workers, job.local_world_size),
    )
    hooks.watch(Facts(config.architecture, splits.classes, device, precision, workers), network)
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    job.log(
        f"{config.architecture} for {len(splits.classes)} classes on {device}, "
        f"{precision or torch.float32}, weights: {origin}; "
        f"training {config.trainable}, {trained:,} parameters"
    )
    job.log(
        f"pictures: {len(splits.train)} train, {len(splits.valid)} valid, {len(splits.test)} test; "
        f"{workers} decoding workers, {job.world_size} training processes"
    )
    for note in (*splits.notes, limited):
        if note:
            job.log(note)
    return run, network


def check_size(architecture: str, size: int) -> None:
    """Raise ConfigError if the network cannot take pictures of this size."""
    try:
        networks.check_size(architecture, size)
    except ValueError as error:
        raise ConfigError(f"image_size: {error}") from error


def with_config(run: Run, config: TrainConfig) -> Run:
    """Return the run with other hyperparameters, for example those of one trial of a sweep."""
    count, _ = loading.worker_count(config, run.transform.crop, run.job.local_world_size)
    return replace(run, config=config, workers=count)


def initial_state(run: Run, network: nn.Module) -> TrainState:
    """Return the state before the first step."""
    config = run.config
    state = TrainState(
        network,
        optimizer.build_optimizer(network, config),
        torch.amp.GradScaler(run.device.type, enabled=run.precision is torch.float16),
        torch.zeros(3, dtype=torch.float64, device=run.device),
    )
    if config.ema:
        state.ema = AveragedModel(
            network,
            multi_avg_fn=get_ema_multi_avg_fn(config.ema),  # type: ignore[no-untyped-call]
            use_buffers=True,
        )
    return state


def make_cache(
    config: TrainConfig, splits: Splits, workers: int, processes: int
) -> DecodedCache | None:
    """Return the cache of decoded pictures; None if `cache_gib` is 0 or none is used twice."""
    if max(trial.epochs for trial in config.trials()) == 1 or config.cache_gib == 0:
        return None
    wanted = None if config.cache_gib is None else int(config.cache_gib * 2**30)
    return DecodedCache((splits.train, splits.valid), workers, processes, wanted)


def choose_precision(wanted: str, device: torch.device) -> torch.dtype | None:
    """Return autocast's type, None for float32.

    Raises:
        ConfigError: the device cannot compute in it.
    """
    if wanted == "auto" and device.type == "cpu":
        wanted = "fp32"  # every processor computes in it, with nearly equal results
    elif wanted == "auto":
        wanted = "bf16" if computes_bf16(device) else "fp16"
    if wanted == "fp16" and device.type == "cpu":
        raise ConfigError("precision=fp16 needs a GPU: use auto, fp32 or bf16")
    return {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[wanted]
