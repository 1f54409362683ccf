"""Reduces the tensors of a recorded step on their device, during the step.

The modules have hooks only while the forward pass of a recorded step runs, so that a copy, an
average or an export of the network never contains hooks.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn

from debugger.records import ACTIVATIONS, GRADIENTS, INPUTS, WEIGHTS, Statistics
from train.recording import statistics
from train.recording.statistics import Table

# Of an activation, the first pictures of the batch with about so many values are reduced.
ENOUGH = 1 << 20
RELU = (nn.ReLU, nn.ReLU6)
# Outside these inputs a sigmoid and a tanh are flat in float32 (AWS's rule SaturatedActivation).
FLAT = {nn.Sigmoid: (-23.0, 16.99999), nn.Tanh: (-9.4999, 9.4999)}
_SKIPPED = (nn.Dropout, nn.Identity, nn.Flatten)

Timer = Callable[[], AbstractContextManager[None]]
Guard = Callable[[Callable[[], None]], None]


class TensorProbe:
    """Reads the network's tensors in one step.

    If gradients are `scaled`, for float16, a step whose gradients overflow is skipped: the weights
    stay and the scale is lowered. The gradients of such a step are not recorded.
    """

    def __init__(
        self, network: nn.Module, collections: tuple[str, ...], raw: str, *, scaled: bool = False
    ) -> None:
        self.network, self._scaled = network, scaled
        self.tables = {name: Table() for name in collections}
        self.whole: list[tuple[str, str, torch.Tensor]] = []  # collection, name, copy on the host
        self._raw = re.compile(raw) if raw else None
        self._before: list[torch.Tensor] = []

    @contextmanager
    def forward(self, timer: Timer, guard: Guard) -> Iterator[None]:
        """Read the inputs and the output of every leaf module while a forward pass runs.

        A compiled network runs uncompiled in this pass, because hooks on its modules would break
        its graph into pieces.

        Args:
            timer: returns a context for the time that this class takes.
            guard: calls a function and handles its errors.
        """
        calls: Counter[str] = Counter()

        def read(name: str, module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
            calls[name] += 1
            if isinstance(output, torch.Tensor) and output.is_floating_point() and output.dim():
                numbered = name if calls[name] == 1 else f"{name}:{calls[name]}"
                self._read_activation(numbered, module, inputs, output)

        def hook(name: str) -> Callable[[nn.Module, tuple[object, ...], object], None]:
            def run(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
                with timer():
                    guard(lambda: read(name, module, inputs, output))

            return run

        def input_hook(module: nn.Module, inputs: tuple[object, ...]) -> None:  # noqa: ARG001
            with timer():
                guard(lambda: self._read_inputs(inputs))

        handles = []
        if INPUTS in self.tables:
            handles.append(self.network.register_forward_pre_hook(input_hook))
        if ACTIVATIONS in self.tables:
            for name, module in leaves(self.network).items():
                handles.append(module.register_forward_hook(hook(name)))
        try:
            with _eager() if handles else nullcontext():
                yield
        finally:
            for handle in handles:
                handle.remove()

    def before_optimizer(self) -> None:
        """Read the gradients, which are unscaled by now, and copy the weights for comparison."""
        trained = self._trained()
        if GRADIENTS in self.tables:
            for name, parameter in trained.items():
                if parameter.grad is not None:
                    self._reduce(GRADIENTS, name, parameter.grad)
        if WEIGHTS in self.tables:
            self._before = [parameter.detach().clone() for parameter in trained.values()]

    @torch.no_grad()
    def after_optimizer(self) -> None:
        """Read the weights and how much the step changed them."""
        if WEIGHTS not in self.tables or not self._before:
            return
        trained = self._trained()
        now = [parameter.detach() for parameter in trained.values()]
        norms = torch._foreach_norm(self._before)
        torch._foreach_sub_(self._before, now)
        updates = torch._foreach_norm(self._before)
        self._before = []
        for (name, parameter), norm, update in zip(trained.items(), norms, updates, strict=True):
            self._reduce(WEIGHTS, name, parameter, change=_ratio(update, norm))

    def fetch(self) -> None:
        """Start to copy the statistics to the host."""
        for table in self.tables.values():
            table.fetch()

    def read(self) -> Iterator[tuple[str, Mapping[str, Statistics]]]:
        """Yield the statistics by collection, once the device has finished the step."""
        for collection, table in self.tables.items():
            values = table.read()
            skipped = self._scaled and any(one.nonfinite for one in values.values())
            if values and not (collection == GRADIENTS and skipped):
                yield collection, values

    def _read_inputs(self, inputs: tuple[object, ...]) -> None:
        if inputs and isinstance(inputs[0], torch.Tensor):
            self._reduce(INPUTS, "images", inputs[0])

    def _read_activation(
        self, name: str, module: nn.Module, inputs: tuple[object, ...], output: torch.Tensor
    ) -> None:
        pictures = max(1, ENOUGH // max(1, output[:1].numel()))
        part = output.detach()[:pictures]
        extras: dict[str, torch.Tensor] = {}
        if isinstance(module, RELU) and part.dim() > 1:
            extras["dead"] = statistics.dead(part)
        flat = FLAT.get(type(module))
        if flat and part.dim() > 1 and isinstance(inputs[0], torch.Tensor):
            extras["saturated"] = statistics.saturated(inputs[0].detach()[:pictures], *flat)
        self._reduce(ACTIVATIONS, name, part, whole=output, **extras)

    def _reduce(
        self,
        collection: str,
        name: str,
        tensor: torch.Tensor,
        whole: torch.Tensor | None = None,
        **extras: torch.Tensor,
    ) -> None:
        self.tables[collection].add(name, tensor, **extras)
        if self._raw and self._raw.search(name):
            value = (tensor if whole is None else whole).detach()
            if value.dtype == torch.bfloat16:  # which numpy does not have
                value = value.float()
            copy = torch.empty_like(value, device="cpu", pin_memory=value.is_cuda)
            self.whole.append((collection, name, copy.copy_(value, non_blocking=True)))

    def _trained(self) -> dict[str, nn.Parameter]:
        parameters = self.network.named_parameters()
        return {name: parameter for name, parameter in parameters if parameter.requires_grad}


def leaves(network: nn.Module) -> dict[str, nn.Module]:
    """Return the modules without children by name, except dropout, identity and flatten."""
    return {
        name: module
        for name, module in network.named_modules()
        if name and not any(module.children()) and not isinstance(module, _SKIPPED)
    }


def _eager() -> AbstractContextManager[object]:
    """Return a context in which compiled modules run uncompiled."""
    stance: AbstractContextManager[object] = torch.compiler.set_stance("force_eager")
    return stance


def _ratio(update: torch.Tensor, norm: torch.Tensor) -> torch.Tensor:
    """Return the relative change of a weight; not a number if it was zero, as new biases are."""
    return torch.where(norm > 0, update / norm, math.nan)
