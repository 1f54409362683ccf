"""Advice with numbers: what costs time, how much, and what to do about it.

The rules report problems of the model; advice is about time only. Below the thresholds there is
little to gain.
"""

from collections.abc import Iterator
from typing import Any

from debugger.report import facts
from debugger.report.analysis import processor
from debugger.report.wording import count, measure, part, seconds, share

_OTHERS, _WAIT, _EVALUATION, _CHECKPOINT = 0.10, 0.10, 0.15, 0.03
_INITIALISATION, _INITIALISATION_SECONDS = 0.05, 30.0
_OUTLIERS, _IDLE_GPU, _RECORDING, _COPY = 0.01, 50.0, 0.03, 0.05


def find(
    time: facts.Time,
    steps: facts.Steps | None,
    system: list[facts.Usage],
    operators: list[facts.Operators],
    about: dict[str, Any],
    *,
    used: float | None = None,
    cost: facts.Cost | None = None,
) -> list[facts.Advice]:
    """Return the advice, most expensive first.

    Args:
        time: the time split.
        steps: the training steps, if there are any.
        system: use of the machines.
        operators: the profiled operators.
        about: facts of the job.
        used: percent of the cores in the loop, of a job without a GPU.
        cost: prices, if they are known.
    """
    took = {item.name: item for item in time.parts}
    saturated = processor.advice(used, time, about, cost)
    found = [*saturated, *_loop_advice(time, took, about, saturated=bool(saturated))]
    found += _start_and_end_advice(took, about)
    if steps:
        found += _outlier_advice(steps)
    found += _gpu_advice(system, time, about)
    found += _operator_advice(operators, time)
    return sorted(found, key=lambda item: -item.seconds)


def _loop_advice(
    time: facts.Time, took: dict[str, facts.Part], about: dict[str, Any], *, saturated: bool
) -> Iterator[facts.Advice]:
    loop = time.loop or 1.0
    if time.others > _OTHERS * loop:
        parts = {
            "waiting for data": took["data_wait"].seconds,
            "writing checkpoints": took["checkpoint"].seconds,
            "recording": took["recording"].seconds if "recording" in took else 0.0,
        }
        parts["between the steps"] = max(time.others - sum(parts.values()), 0.0)
        ordered = sorted(parts.items(), key=lambda item: -item[1])
        details = ", ".join(
            f"{seconds(item)} {name}" for name, item in ordered if item > 0.005 * loop
        )
        yield facts.Advice(
            seconds=time.others,
            finding=f"{share(time.others / loop)} of the loop was neither TRAIN nor EVAL: "
            f"{seconds(time.others)} of {seconds(time.loop)}"
            + (f" ({details})." if details else "."),
            remedy="Start with the largest part. Between the steps, the loop runs code such as "
            "logging, metrics or your own hooks.",
        )
    wait = took["data_wait"].seconds
    if wait > _WAIT * loop:
        workers, cores = about.get("workers"), about.get("cores")
        have = f" There were {workers} workers on {cores} cores." if workers is not None else ""
        yield facts.Advice(
            seconds=wait,
            finding=f"The loop waited for data {share(wait / loop)} of the time: "
            f"{seconds(wait)} of {seconds(time.loop)}.{have}",
            remedy=_load_faster(about, saturated=saturated),
        )
    if (copy := took["copy"].seconds) > _COPY * loop:
        yield facts.Advice(
            seconds=copy,
            finding=f"Copying batches to the device took {share(copy / loop)} of the loop: "
            f"{seconds(copy)}.",
            # Kennel copies bytes from pinned memory; on a processor, the copy is the normalisation.
            remedy="A smaller image_size copies less."
            if _is_ours(about)
            else "Use pinned memory and non-blocking copies. Copy bytes (uint8), not floats.",
        )
    if time.evaluation > _EVALUATION * loop:
        yield facts.Advice(
            seconds=time.evaluation,
            finding=f"Evaluation took {share(time.evaluation / loop)} of the loop: "
            f"{seconds(time.evaluation)}, compared with {seconds(time.train)} of training steps.",
            remedy="An evaluation follows each epoch: give fewer validation pictures, or a smaller "
            "valid_fraction."
            if _is_ours(about)
            else "Evaluate fewer pictures, or less often. Evaluation needs no gradients, so its "
            "batches can be larger.",
        )
    if (saving := took["checkpoint"].seconds) > _CHECKPOINT * loop:
        yield facts.Advice(
            seconds=saving,
            finding=f"Writing checkpoints took {share(saving / loop)} of the loop: "
            f"{seconds(saving)}.",
            remedy="Raise checkpoint_minutes to the amount of work that you can afford to lose.",
        )
    if "recording" in took and (own := took["recording"].seconds) > _RECORDING * loop:
        yield facts.Advice(
            seconds=own,
            finding=f"Recording took {share(own / loop)} of the loop: {seconds(own)}.",
            remedy="Raise debugger_interval, or record fewer collections.",
        )


def _is_ours(about: dict[str, Any]) -> bool:
    """Whether Kennel trained: its recorder stores its settings."""
    return "settings" in about


def _setting(about: dict[str, Any], name: str) -> Any:
    known = about.get("hyperparameters")
    return known.get(name) if isinstance(known, dict) else None


def _load_faster(about: dict[str, Any], *, saturated: bool) -> str:
    """Return how to wait less for data, without what the job does already."""
    workers, cores = about.get("workers"), about.get("cores")
    if saturated:
        begin = "The processor was busy, so more workers do not help: "
    elif isinstance(workers, int) and isinstance(cores, int) and workers >= cores:
        begin = "There are as many workers as cores: "
    else:
        begin = "Raise workers up to the number of cores, "
    text = f"{begin}make the pictures smaller before the upload, or use a machine with more cores."
    frozen = _setting(about, "trainable") == "head"
    return text if frozen else f"{text} With trainable=head, each picture is decoded only once."


def _start_and_end_advice(
    took: dict[str, facts.Part], about: dict[str, Any]
) -> Iterator[facts.Advice]:
    begin, end = took["initialisation"], took["finalisation"]
    if begin.seconds > _INITIALISATION_SECONDS or (
        begin.share > _INITIALISATION and begin.seconds > 5
    ):
        yield facts.Advice(
            seconds=begin.seconds,
            finding=f"Initialisation took {seconds(begin.seconds)}, {share(begin.share)} of the "
            "job, before the first batch.",
            remedy=_start_faster(about),
        )
    if end.share > 0.05 and end.seconds > 5:
        yield facts.Advice(
            seconds=end.seconds,
            finding=f"Finalisation took {seconds(end.seconds)}, {share(end.share)} of the job.",
            remedy="Check what the job writes at its end. Write large files earlier.",
        )


def _start_faster(about: dict[str, Any]) -> str:
    parts = []
    if _setting(about, "weights") != "none":
        parts.append("Provide pretrained weights as a channel instead of downloading them.")
    if "File" in about.get("input_modes", ["File"]):
        parts.append("Use FastFile mode for large datasets.")
    return " ".join(parts) or "Imports and the first batch take this time in any job."


def _outlier_advice(steps: facts.Steps) -> Iterator[facts.Advice]:
    total = steps.durations.mean * steps.durations.count
    if not steps.outlier_count or steps.outlier_seconds < _OUTLIERS * total:
        return
    causes: dict[str, int] = {}
    for item in steps.outliers:
        if item.longer:
            causes[item.longer[0].phase] = causes.get(item.longer[0].phase, 0) + 1
    most = max(causes, key=lambda name: causes[name]) if causes else ""
    listed = len(steps.outliers)
    if most and causes[most] < listed:
        which = f"{causes[most]} of the {listed} slowest"
    else:
        which = "all of them" if listed == steps.outlier_count else f"all of the {listed} slowest"
    which = "it" if listed == 1 else which
    reason = "time in no phase" if most == "other" else part(most).lower()
    why = f" The main reason in {which} was {reason}." if most else ""
    every = steps.outlier_every
    period = f" They occur mostly every {every} steps." if every else ""
    yield facts.Advice(
        seconds=steps.outlier_seconds,
        finding=f"{count(steps.outlier_count, 'step')} of {steps.durations.count:,} took over "
        f"{seconds(steps.outlier_threshold)} (the mean is {seconds(steps.durations.mean)}). "
        f"This cost {seconds(steps.outlier_seconds)}.{why}{period}",
        remedy="The table of outlier steps shows which phase took longer in each step, and the "
        "state of the machine. Regular outliers come from work that the code does regularly.",
    )


def _gpu_advice(
    system: list[facts.Usage], time: facts.Time, about: dict[str, Any]
) -> Iterator[facts.Advice]:
    gpus = [item for item in system if item.name.startswith("gpu/")]
    if not gpus:
        return
    mean = sum(item.figures.mean for item in gpus) / len(gpus)
    if mean >= _IDLE_GPU:
        return
    memory = [item.figures.p95 for item in system if item.name.startswith("gpu_memory/")]
    fitted = _setting(about, "fit_batch_size")
    room = f" At most {measure(max(memory), '%')} of its memory was used (p95)." if memory else ""
    yield facts.Advice(
        seconds=(1 - mean / 100) * time.loop,
        finding=f"The GPU was busy {measure(mean, '%')} of the time on average: up to "
        f"{seconds((1 - mean / 100) * time.loop)} of the loop were not used.{room}",
        remedy="First remove what the GPU waits for. Then "
        + ("" if fitted else "raise batch_size as far as memory allows, or ")
        + "use a smaller GPU.",
    )


def _operator_advice(operators: list[facts.Operators], time: facts.Time) -> Iterator[facts.Advice]:
    for device in ("gpu", "cpu"):
        windows = [item for item in operators if item.device == device and item.operators]
        if not windows:
            continue
        slowest = windows[-1].operators[0]
        if slowest.share > 0.5 and any(word in slowest.name for word in ("copy", "_to", "memcpy")):
            yield facts.Advice(
                seconds=slowest.share * time.train,
                finding=f"{slowest.name} took {share(slowest.share)} of the {device.upper()}'s "
                "operator time in the profiled steps. It moves data and computes nothing.",
                remedy="Keep tensors on one device, in one memory format and one data type.",
            )
        return
