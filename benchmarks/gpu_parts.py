"""The parts of benchmarks/gpu.py: what each measures, as rows of its table."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2

from benchmarks.measuring import spread
from benchmarks.training import job_in, noise
from classifier import bundle
from pictures.picture import Picture, Splits
from serve.engines.torch_engine import TorchEngine
from train import loop
from train.batches import policy
from train.config import TrainConfig
from train.platform.stop import Stop
from train.recording import recorder
from train.recording.hooks import Hooks
from train.stages import fitting
from train.stages.stage import begin_stage
from train.state.run import Run
from train.state.setup import initial_state, set_up

CLASSES = 10
Rows = dict[str, object]


@dataclass
class Bench:
    """Sizes, folders and photos of a run."""

    root: Path
    dry: bool
    rounds: int = field(init=False)
    device: torch.device = field(init=False)

    def __post_init__(self) -> None:
        self.rounds = 1 if self.dry else 3
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    @property
    def architecture(self) -> str:
        return "resnet18" if self.dry else "resnet50"

    @property
    def batch_size(self) -> int:
        return 8 if self.dry else 256

    @property
    def side(self) -> int:
        return 32 if self.dry else 224

    @cached_property
    def splits(self) -> Splits:
        """Made-up photos: smooth, as photos are, so that a JPEG of 500 x 375 has about 40 KB."""
        count, size = (32, (80, 60)) if self.dry else (2560, (500, 375))
        jobs = [(self.root / f"{number}.jpg", number, size) for number in range(count)]
        with ProcessPoolExecutor() as pool:
            list(pool.map(paint, jobs, chunksize=16))
        photos = tuple(Picture(path, number % CLASSES) for path, number, _ in jobs)
        held = count // 8
        names = tuple(str(number) for number in range(CLASSES))
        return Splits(names, names, photos[2 * held :], photos[:held], photos[held : 2 * held])

    def run(self, hooks: Hooks | None = None, **settings: object) -> tuple[Run, torch.nn.Module]:
        given: dict[str, object] = {
            **{"architecture": self.architecture, "weights": "none", "trainable": "all"},
            **{"batch_size": self.batch_size, "image_size": self.side, "cache_gib": 0},
            **({"workers": 0} if self.dry else {}),
            **{"precision": "bf16", "debugger": False, "profiler": False, "epochs": 3},
        }
        config = TrainConfig.model_validate(given | settings)
        job = job_in(self.root, None)
        return set_up(
            config, self.splits, job, Stop(), hooks or recorder.start(config, job, Stop())
        )

    def rate(self, *, ready: bool = False, **settings: object) -> float:
        """Return the pictures a second of a second epoch, on photos or on ready tensors."""
        run, network = self.run(**settings)
        state, stage = initial_state(run, network), begin_stage(run, network, 0)
        if ready:
            stage.batches = [noise(run, len(keys)) for keys in stage.order]
        with run.hooks:
            for epoch in range(2):
                state.epoch, state.batch, state.seconds = epoch, 0, 0.0
                self.wait()
                began = time.perf_counter()
                loop.train_epoch(run, state, stage, lambda: None, time.monotonic())
                self.wait()
                took = time.perf_counter() - began
        return len(self.splits.train) / took

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def paint(given: tuple[Path, int, tuple[int, int]]) -> None:
    """Write a photo."""
    path, number, size = given
    draw = np.random.default_rng(number)
    small = draw.integers(0, 256, (size[1] // 12, size[0] // 12, 3), dtype=np.uint8)
    Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(path, quality=90)


def turns(bench: Bench, variants: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Measure the variants in turns, `rounds` times."""
    found: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(bench.rounds):
        for name, measure in variants.items():
            found[name].append(measure())
    return found


def compared(found: dict[str, list[float]], over: str) -> Rows:
    """Return each variant's pictures a second, and its ratio to another one of the same round."""
    rows: Rows = {f"{name}, pictures/s": spread(values) for name, values in found.items()}
    for name, values in found.items():
        if name != over:
            pairs = zip(values, found[over], strict=True)
            rows[f"{name} / {over}"] = spread([one / other for one, other in pairs])
    return rows


def steps(bench: Bench) -> Rows:
    """Training: photos against ready tensors, and bf16 against fp32."""
    ready = "bf16 on ready tensors"
    return compared(
        turns(
            bench,
            {
                ready: lambda: bench.rate(ready=True),
                "bf16 on photos": bench.rate,
                "fp32 on ready tensors": lambda: bench.rate(ready=True, precision="fp32"),
            },
        ),
        ready,
    )


def policies(bench: Bench) -> Rows:
    """Where a policy is applied: speed, and whether the device computes what torchvision does."""
    given = {"augment": "trivialaugment"}
    workers = "policy in the workers"
    rows = compared(
        turns(
            bench,
            {
                workers: lambda: bench.rate(augment_on="workers", **given),
                "policy on the device": lambda: bench.rate(augment_on="device", **given),
            },
        ),
        workers,
    )
    draws = 20 if bench.dry else 400
    for name in policy.ON_DEVICE:
        draw = torch.Generator().manual_seed(0)
        image = torch.randint(0, 256, (3, 96, 96), generator=draw, dtype=torch.uint8)
        operations, expected = [], []
        for seed in range(draws):
            torch.manual_seed(seed)
            operations.append(policy.draw(policy.ON_DEVICE[name](), image))
            torch.manual_seed(seed)
            kind = policy.ON_WORKERS[name](interpolation=v2.InterpolationMode.BILINEAR)
            expected.append(kind(image))
        batch = image.expand(draws, -1, -1, -1).to(bench.device)
        got = policy.apply(batch, operations, "bilinear").cpu().int()
        off = (got - torch.stack(expected).int()).abs()
        rows[f"{name}: values that differ from torchvision's"] = float((off > 0).float().mean())
        alone = [int(one.max()) for one, own in zip(off, operations, strict=True) if len(own) < 2]
        rows[f"{name}: largest difference after one operation"] = max(alone, default=0)
    return rows


def memory(bench: Bench) -> Rows:
    """`fit_batch_size`, and the memory that a step of the batch it finds takes."""
    run, network = bench.run(fit_batch_size=True)
    began = time.perf_counter()
    size = fitting.batch_size(run, network)
    rows: Rows = {"batch that fits": size, "seconds to find it": time.perf_counter() - began}
    if bench.device.type == "cuda":
        for batch in (bench.batch_size, size):
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            fitting.step(run, network, batch)
            network.zero_grad(set_to_none=True)
            rows[f"GPU memory of a step of {batch}, GiB"] = torch.cuda.max_memory_reserved() / 2**30
        rows["GPU memory in all, GiB"] = (
            torch.cuda.get_device_properties(bench.device).total_memory / 2**30
        )
    return rows


def hooks(bench: Bench) -> Rows:
    """What recording costs an epoch on ready tensors, with the default settings."""
    plain = "without hooks"
    on = {"debugger": True, "profiler": True, "profiler_steps": ""}
    return compared(
        turns(
            bench,
            {
                plain: lambda: bench.rate(ready=True),
                "recorded": lambda: bench.rate(ready=True, **on),
            },
        ),
        plain,
    )


def whole_job(bench: Bench) -> Rows:
    """A recorded job from photos to bundle; golden answers on CPU and GPU; serving's predictor."""
    job = job_in(bench.root / "job", None)
    settings: dict[str, object] = {"epochs": 1, "debugger": True, "profiler": True}
    settings |= {"debugger_interval": 5, "profiler_steps": "1:2"}
    run, _ = bench.run(**settings)
    began = time.perf_counter()
    hooks = recorder.start(run.config, job, Stop())
    with hooks:
        loop.train(run.config, bench.splits, job, Stop(), hooks)
    rows: Rows = {"seconds of a recorded job": time.perf_counter() - began}
    report = json.loads((job.output_dir / "report.json").read_text())
    rows["devices with operators in the report"] = [one["device"] for one in report["operators"]]
    rows["system metrics of GPUs in the report"] = sorted(
        {one["name"] for one in report["system"] if one["name"].startswith("gpu")}
    )
    loaded = bundle.load(job.model_dir)
    cpu = torch.device("cpu")
    kinds = [(cpu, "fp32"), (bench.device, "fp32"), (bench.device, "bf16")]
    pictures = torch.randn(64 if bench.dry else 1024, 3, bench.side, bench.side).numpy()
    for device, precision in dict.fromkeys(kinds):
        engine = TorchEngine(loaded, device, torch.get_num_threads(), precision)
        name = f"{device.type} {precision}"
        rows[f"golden answers, {name}: largest difference"] = bundle.replay(loaded, engine.predict)
        if device == bench.device:
            engine.predict(pictures)
            began = time.perf_counter()
            engine.predict(pictures)
            rows[f"serving's engine, {name}, pictures/s"] = len(pictures) / (
                time.perf_counter() - began
            )
    return rows


PARTS: dict[str, Callable[[Bench], Rows]] = {
    **{"job": whole_job, "memory": memory, "steps": steps, "policies": policies, "hooks": hooks}
}
