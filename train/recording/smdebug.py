"""Runs AWS's smdebug next to our own hooks, for users whose notebooks and rules read its files.

It is on if the environment has `SMDEBUG=1`, or debughookconfig.json has `"smdebug": "true"` in
HookParameters; otherwise nothing of it is imported. train.recording.smdebug_repair replaces what no
longer works in it. An error of smdebug never fails a training job: it is logged once and switches
smdebug off.
"""

import atexit
import contextlib
import importlib
import json
import os
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from debugger.records import BACKWARD, OPTIMIZER, Mode
from train.batches.batch import Batch
from train.platform.log import log
from train.recording import hooks, smdebug_repair

_PHASES = {BACKWARD: "Backward(post-forward)", OPTIMIZER: "Optimizer"}
_REDUCTIONS = {"reductions": ["mean", "std", "min", "max"], "norms": ["l2"]}


def with_smdebug(
    others: hooks.Hooks, interval: int = 50, env: Mapping[str, str] = os.environ
) -> hooks.Hooks:
    """Return `others`, together with smdebug's hook if the job asks for it.

    Args:
        others: our own hooks.
        interval: steps between saved tensors, unless debughookconfig.json says otherwise.
        env: environment variables.
    """
    base = Path(env.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
    config = base / "input" / "config" / "debughookconfig.json"
    given: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError, TypeError):
        given = dict(json.loads(config.read_text()))
    parameters = given.get("HookParameters")
    configured = parameters.get("smdebug") if isinstance(parameters, dict) else ""
    wanted = str(env.get("SMDEBUG") or configured).lower()
    if wanted not in ("1", "true", "yes", "on"):
        return others
    given.setdefault("LocalPath", str(base / "output" / "tensors"))
    return Smdebug(others, given, base, interval)


class Smdebug(hooks.Hooks):
    """Forwards every report to our own hooks, and to smdebug's hook."""

    def __init__(
        self, others: hooks.Hooks, config: dict[str, Any], base: Path, interval: int
    ) -> None:
        self._others, self._config, self._base = others, config, base
        self._interval = interval
        self._network: nn.Module | None = None
        self._off = False
        self.hook: Any = None  # smdebug.pytorch.Hook

    def __enter__(self) -> Self:
        self._others.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self.call(lambda: self.hook.close())
        self._others.__exit__(*exception)

    def watch(self, facts: hooks.Facts, network: nn.Module) -> None:
        """Forward, and keep the network for the first step."""
        self._others.watch(facts, network)
        self._network = network

    def steps(
        self, mode: Mode, batches: Iterable[Batch], epoch: int = 0, first: int = 0
    ) -> Iterator[tuple[hooks.Step, Batch]]:
        """Yield the steps, and report each to smdebug too."""
        # Not before the first step, because a network with smdebug's hooks cannot be copied.
        if mode == "train" and self.hook is None and self._network is not None:
            self.attempt(lambda: self._register(first))
        self.call(lambda: self.hook.set_mode(_mode(mode)))
        ended = time.time()
        for step, batch in self._others.steps(mode, batches, epoch, first):
            started, before = time.time(), self._number()
            yield _Step(step, self), batch
            if self._number() != before:  # an averaged network has no hook and counts no step
                self.trace("DataLoaderIter", ended, started)
            self.call(self._end_step)
            ended = time.time()

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Forward."""
        return self._others.phase(name)

    def confusion(self, matrix: torch.Tensor, split: str = "") -> None:
        """Forward."""
        self._others.confusion(matrix, split)

    def metrics(self, values: Mapping[str, float], epoch: int, step: int | None = None) -> None:
        """Forward."""
        self._others.metrics(values, epoch, step)

    def trial(self, trial: hooks.Trial) -> None:
        """Forward."""
        self._others.trial(trial)

    def best(self, values: Mapping[str, float], epoch: int) -> None:
        """Forward."""
        self._others.best(values, epoch)

    def trace(self, phase: str, start: float, end: float) -> None:
        """Add an event to smdebug's timeline, in seconds since 1970 by the host's clock."""
        self.call(
            lambda: self.hook.record_trace_events(
                training_phase=phase,
                op_name=phase,
                timestamp=start,
                duration=end - start,
                step_num=str(self._number()),
                pid=os.getpid(),
            )
        )

    def attempt(self, act: Callable[[], object]) -> None:
        """Call `act`, unless smdebug is off; an error switches it off."""
        if self._off:
            return
        try:
            act()
        except Exception:
            self._switch_off(traceback.format_exc())

    def call(self, act: Callable[[], object]) -> None:
        """Call `act` if smdebug's hook exists; an error switches it off."""
        if self.hook:
            self.attempt(act)

    def _register(self, first: int) -> None:
        assert self._network is not None
        folder = Path(self._config["LocalPath"])
        _forget_earlier_start(folder)
        smdebug = import_repaired(self._base)
        hook = self._make(smdebug)
        # With any other configuration smdebug raises its errors into the training loop.
        hook.has_default_configuration = lambda: True
        atexit.unregister(hook._cleanup)  # `__exit__` closes it
        hook.step = first - 1
        hook.set_mode(_mode("train"))
        hook.mode_steps.update({smdebug.modes.GLOBAL: first - 1, smdebug.modes.TRAIN: first - 1})
        _register_module(hook, self._network)
        self.hook = hook
        log(f"smdebug: saving to {folder}")

    def _make(self, smdebug: Any) -> Any:
        """Return the hook of the config file; by default losses, and all other tensors reduced."""
        if len(self._config) > 1:
            with tempfile.TemporaryDirectory() as scratch:
                path = Path(scratch) / "debughookconfig.json"
                path.write_text(json.dumps(self._config))
                return smdebug.Hook.create_from_json_file(str(path))
        hook = smdebug.Hook(
            out_dir=self._config["LocalPath"],
            include_collections=["losses", "weights", "biases", "gradients"],
            save_config=smdebug.SaveConfig(save_interval=self._interval),
            reduction_config=smdebug.ReductionConfig(**_REDUCTIONS, abs_reductions=["mean"]),
        )
        hook.get_collection("losses").save_config = smdebug.SaveConfig(save_interval=1)
        return hook

    def _end_step(self) -> None:
        """End the step after the optimizer; smdebug would end it after the forward pass."""
        if self.hook.step_event:
            self.hook.step_event.update_end_time(time.time())
        if _agent().disable_smdebug:
            self._switch_off("see its error above")

    def _number(self) -> int:
        return int(self.hook.mode_steps.get(self.hook.mode, -1)) if self.hook else -1

    def _switch_off(self, reason: str) -> None:
        self._off = True
        log(f"WARNING: smdebug is off, training continues without it: {reason}")
        with contextlib.suppress(Exception):
            _agent().disable_smdebug = True
        with contextlib.suppress(Exception):  # makes the files so far readable
            self.hook.close()


class _Step(hooks.Step):
    """Reports a step to our own hooks; its backward pass, optimizer and loss to smdebug too."""

    def __init__(self, other: hooks.Step, smdebug: Smdebug) -> None:
        self._other, self._smdebug = other, smdebug

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        start = time.time()
        with self._other.phase(name):
            yield
        if name in _PHASES:
            self._smdebug.trace(_PHASES[name], start, time.time())

    def result(self, loss: torch.Tensor, labels: torch.Tensor, answers: torch.Tensor) -> None:
        self._other.result(loss, labels, answers)
        # register_loss would take only some classes of modules, and no function.
        self._smdebug.call(
            lambda: self._smdebug.hook.record_tensor_value("CrossEntropyLoss", loss.detach())
        )

    def learning_rate(self, value: float) -> None:
        self._other.learning_rate(value)

    def answers(self, batch: Batch, logits: torch.Tensor) -> None:
        self._other.answers(batch, logits)


def _forget_earlier_start(folder: Path) -> None:
    """Remove files of an earlier start that make smdebug refuse the folder or write nothing."""
    for name in ("training_job_end.ts", "claim.smd"):
        (folder / name).unlink(missing_ok=True)
    for path in [*folder.glob("index/*/*.tmp"), *folder.glob("events/*/*.tmp")]:
        path.unlink(missing_ok=True)


def _agent() -> Any:
    """Return the object that catches smdebug's errors and then switches it off."""
    return importlib.import_module("smdebug.core.utils").error_handling_agent


def _mode(mode: Mode) -> Any:
    modes = importlib.import_module("smdebug.core.modes").ModeKeys
    return modes.TRAIN if mode == "train" else modes.EVAL


def import_repaired(base: Path) -> Any:
    """Import smdebug, repair what newer versions of its dependencies broke, and return it."""
    # Its generated code is too old for the compiled implementation of protobuf.
    os.environ.setdefault("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")
    os.environ.setdefault("SMDEBUG_LOG_LEVEL", "warning")
    config = base / "input" / "config" / "profilerconfig.json"
    os.environ.setdefault("SMPROFILER_CONFIG_PATH", str(config))
    # It would search the checkpoint folder in every step; the loop knows where a restart resumes.
    os.environ["CHECKPOINT_CONFIG_FILE_PATH"] = ""
    smdebug_repair.repair()
    return importlib.import_module("smdebug.pytorch")


def _register_module(hook: Any, network: nn.Module) -> None:
    """Register smdebug's hook, on the root module only if the network is compiled.

    A hook on every module would break a compiled graph into pieces. Parameters and gradients are
    still recorded; outputs of inner modules are not.
    """
    agent = _agent()
    compiled = network._compiled_call_impl is not None
    hidden: Any = torch.compiler.disable if compiled else lambda function: function
    make_backward_hook = hook.backward_hook
    # smdebug catches its own errors in the forward pass, but not in the backward pass.
    hook.backward_hook = lambda tensor: hidden(
        agent.catch_smdebug_errors()(make_backward_hook(tensor))
    )
    for name in ("forward_pre_hook", "forward_hook", "fhook"):
        setattr(hook, name, hidden(getattr(hook, name)))
    if not compiled:
        hook.register_module(network)
        return
    network.register_forward_hook(hook.forward_hook)
    network.apply = lambda _: network  # type: ignore[method-assign, assignment]
    try:
        hook.register_module(network)
    finally:
        del network.apply
