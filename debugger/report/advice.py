"""Advice in plain sentences with figures: what costs time, what it costs, what to do about it.

What is wrong with the model is the rules' to say; this is about the time. Thresholds are those
below which there is little to be won.
"""

from collections.abc import Iterator

from debugger.report import facts
from debugger.report.wording import count, measure, part, seconds, share

_OTHERS, _WAIT, _EVALUATION, _CHECKPOINT = 0.10, 0.10, 0.15, 0.03
_INITIALISATION, _INITIALISATION_SECONDS = 0.05, 30.0
_OUTLIERS, _IDLE_GPU, _RECORDING, _COPY = 0.01, 50.0, 0.03, 0.05


def find(
    time: facts.Time,
    steps: facts.Steps | None,
    system: list[facts.Usage],
    operators: list[facts.Operators],
    about: dict[str, object],
) -> list[facts.Advice]:
    """Return it, dearest first."""
    took = {one.name: one for one in time.parts}
    found = [*_of_loop(time, took, about), *_of_ends(took)]
    if steps:
        found += _of_outliers(steps)
    found += _of_gpu(system, time)
    found += _of_operators(operators, time)
    return sorted(found, key=lambda one: -one.seconds)


def _of_loop(
    time: facts.Time, took: dict[str, facts.Part], about: dict[str, object]
) -> Iterator[facts.Advice]:
    loop = time.loop or 1.0
    if time.others > _OTHERS * loop:
        parts = {
            "waiting for data": took["data_wait"].seconds,
            "writing checkpoints": took["checkpoint"].seconds,
            "recording": took["recording"].seconds if "recording" in took else 0.0,
        }
        parts["between the steps"] = max(time.others - sum(parts.values()), 0.0)
        ordered = sorted(parts.items(), key=lambda one: -one[1])
        told = ", ".join(f"{seconds(one)} {name}" for name, one in ordered if one > 0.005 * loop)
        yield facts.Advice(
            seconds=time.others,
            finding=f"{share(time.others / loop)} of the loop was neither TRAIN nor EVAL: "
            f"{seconds(time.others)} of {seconds(time.loop)}" + (f", {told}." if told else "."),
            remedy="Begin with the largest part. What lies between the steps is code of the loop: "
            "logging, metrics, a hook of your own.",
        )
    wait = took["data_wait"].seconds
    if wait > _WAIT * loop:
        workers, cores = about.get("workers"), about.get("cores")
        have = f" It had {workers} workers on {cores} cores." if workers is not None else ""
        yield facts.Advice(
            seconds=wait,
            finding=f"The loop waited for data {share(wait / loop)} of the time: "
            f"{seconds(wait)} of {seconds(time.loop)}.{have}",
            remedy="Raise workers up to the number of cores, shrink the pictures before uploading "
            "them, or take a machine with more cores; with a frozen backbone, cache its features.",
        )
    if (copy := took["copy"].seconds) > _COPY * loop:
        yield facts.Advice(
            seconds=copy,
            finding=f"Copying batches to the device took {share(copy / loop)} of the loop: "
            f"{seconds(copy)}.",
            remedy="Copy from pinned memory and without blocking; send bytes, not floats.",
        )
    if time.evaluation > _EVALUATION * loop:
        yield facts.Advice(
            seconds=time.evaluation,
            finding=f"Evaluation took {share(time.evaluation / loop)} of the loop: "
            f"{seconds(time.evaluation)} beside {seconds(time.train)} of training steps.",
            remedy="Evaluate on fewer pictures, or less often; its batches need no gradients and "
            "may be larger.",
        )
    if (saving := took["checkpoint"].seconds) > _CHECKPOINT * loop:
        yield facts.Advice(
            seconds=saving,
            finding=f"Writing checkpoints took {share(saving / loop)} of the loop: "
            f"{seconds(saving)}.",
            remedy="Raise checkpoint_minutes: a checkpoint need only be as young as the work that "
            "may be lost.",
        )
    if "recording" in took and (own := took["recording"].seconds) > _RECORDING * loop:
        yield facts.Advice(
            seconds=own,
            finding=f"The recorder itself took {share(own / loop)} of the loop: {seconds(own)}.",
            remedy="Raise debugger_interval, or record fewer collections.",
        )


def _of_ends(took: dict[str, facts.Part]) -> Iterator[facts.Advice]:
    begin, end = took["initialisation"], took["finalisation"]
    if begin.seconds > _INITIALISATION_SECONDS or (
        begin.share > _INITIALISATION and begin.seconds > 5
    ):
        yield facts.Advice(
            seconds=begin.seconds,
            finding=f"Initialisation took {seconds(begin.seconds)}, {share(begin.share)} of the "
            "job, before the first batch was asked for.",
            remedy="Bring pretrained weights as a channel instead of downloading them, and use "
            "FastFile mode for large datasets.",
        )
    if end.share > 0.05 and end.seconds > 5:
        yield facts.Advice(
            seconds=end.seconds,
            finding=f"Finalisation took {seconds(end.seconds)}, {share(end.share)} of the job.",
            remedy="See what the job writes at its end; large files are better written on the way.",
        )


def _of_outliers(steps: facts.Steps) -> Iterator[facts.Advice]:
    total = steps.durations.mean * steps.durations.count
    if not steps.outlier_count or steps.outlier_seconds < _OUTLIERS * total:
        return
    causes: dict[str, int] = {}
    for one in steps.outliers:
        if one.longer:
            causes[one.longer[0].phase] = causes.get(one.longer[0].phase, 0) + 1
    most = max(causes, key=lambda name: causes[name]) if causes else ""
    listed = len(steps.outliers)
    which = f"{causes[most]} of the {listed} slowest" if most and causes[most] < listed else ""
    which = which or ("all of them" if listed == steps.outlier_count else f"all {listed} slowest")
    why = f" What was longer in {which} was mostly {part(most).lower()}." if most else ""
    why = why.replace("in all of them ", "") if listed == 1 else why
    period = (
        f" Most come {steps.outlier_every} steps after the one before." if steps.outlier_every
        else ""
    )  # fmt: skip
    yield facts.Advice(
        seconds=steps.outlier_seconds,
        finding=f"{count(steps.outlier_count, 'step')} of {steps.durations.count:,} took over "
        f"{seconds(steps.outlier_threshold)}, where the mean is {seconds(steps.durations.mean)}: "
        f"{seconds(steps.outlier_seconds)} more than such steps would take.{why}{period}",
        remedy="The table of outlier steps tells which phase was longer in each and what the "
        "machine did then; what comes regularly is something that the code does every so often.",
    )


def _of_gpu(system: list[facts.Usage], time: facts.Time) -> Iterator[facts.Advice]:
    gpus = [one for one in system if one.name.startswith("gpu/")]
    if not gpus:
        return
    mean = sum(one.figures.mean for one in gpus) / len(gpus)
    if mean >= _IDLE_GPU:
        return
    memory = [one.figures.p95 for one in system if one.name.startswith("gpu_memory/")]
    room = f" Its memory was at most {measure(max(memory), '%')} used (p95)." if memory else ""
    yield facts.Advice(
        seconds=(1 - mean / 100) * time.loop,
        finding=f"The GPU was busy {measure(mean, '%')} of the time on average: up to "
        f"{seconds((1 - mean / 100) * time.loop)} of the loop were paid for and not used.{room}",
        remedy="Mend what keeps it waiting first; then raise batch_size while memory allows, or "
        "take a smaller GPU.",
    )


def _of_operators(operators: list[facts.Operators], time: facts.Time) -> Iterator[facts.Advice]:
    for device in ("gpu", "cpu"):
        windows = [one for one in operators if one.device == device and one.operators]
        if not windows:
            continue
        dearest = windows[-1].operators[0]
        if dearest.share > 0.5 and any(word in dearest.name for word in ("copy", "_to", "memcpy")):
            yield facts.Advice(
                seconds=dearest.share * time.train,
                finding=f"{dearest.name} took {share(dearest.share)} of the {device.upper()}'s "
                "operator time in the profiled steps: moving data, not computing.",
                remedy="Keep tensors on one device in one format and type.",
            )
        return
