"""The tensors of a recorded step: looked at where they are, as they pass.

Hooks are on the modules only while such a step's forward pass runs, so that a copy of the network,
an average of it or an export never carries them.
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

# Numbers of an activation that are looked at: the first pictures of the batch that hold so many.
ENOUGH = 1 << 20
RELU = (nn.ReLU, nn.ReLU6)
# Beyond these a sigmoid and a tanh are flat in float32 (AWS's rule SaturatedActivation).
FLAT = {nn.Sigmoid: (-23.0, 16.99999), nn.Tanh: (-9.4999, 9.4999)}
_SKIPPED = (nn.Dropout, nn.Identity, nn.Flatten)

Around = Callable[[], AbstractContextManager[None]]


class TensorProbe:
    """What one step shows of the network's tensors.

    Where gradients were `scaled`, for float16, a step whose gradients overflowed is no step: the
    optimizer passes it over and the scale is lowered. They are then not told.
    """

    def __init__(
        self, network: nn.Module, collections: tuple[str, ...], raw: str, *, scaled: bool = False
    ) -> None:
        self.network, self._scaled = network, scaled
        self.tables = {name: Table() for name in collections}
        self.whole: list[tuple[str, str, torch.Tensor]] = []  # collection, name, on the host
        self._raw = re.compile(raw) if raw else None
        self._before: list[torch.Tensor] = []

    @contextmanager
    def forward(self, own: Around, guard: Callable[[Callable[[], None]], None]) -> Iterator[None]:
        """Look at the inputs and at every leaf module's output while a forward pass runs.

        A compiled network runs as it was written, this once: hooks on its modules would break its
        graph in pieces.

        Args:
            own: a context for the time that looking takes.
            guard: calls a function, and sees to it that its errors do no harm.
        """
        calls: Counter[str] = Counter()

        def look(name: str, module: nn.Module, given: tuple[object, ...], output: object) -> None:
            calls[name] += 1
            if isinstance(output, torch.Tensor) and output.is_floating_point() and output.dim():
                shown = name if calls[name] == 1 else f"{name}:{calls[name]}"
                self._activation(shown, module, given, output)

        def hook(name: str) -> Callable[[nn.Module, tuple[object, ...], object], None]:
            def run(module: nn.Module, given: tuple[object, ...], output: object) -> None:
                with own():
                    guard(lambda: look(name, module, given, output))

            return run

        def inputs(module: nn.Module, given: tuple[object, ...]) -> None:  # noqa: ARG001
            with own():
                guard(lambda: self._inputs(given))

        handles = []
        if INPUTS in self.tables:
            handles.append(self.network.register_forward_pre_hook(inputs))
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
        """Look at the gradients, unscaled by now, and keep the weights to tell their change."""
        trained = self._trained()
        if GRADIENTS in self.tables:
            for name, parameter in trained.items():
                if parameter.grad is not None:
                    self._take(GRADIENTS, name, parameter.grad)
        if WEIGHTS in self.tables:
            self._before = [parameter.detach().clone() for parameter in trained.values()]

    @torch.no_grad()
    def after_optimizer(self) -> None:
        """Look at the weights and at what the step changed."""
        if WEIGHTS not in self.tables or not self._before:
            return
        trained = self._trained()
        now = [parameter.detach() for parameter in trained.values()]
        norms = torch._foreach_norm(self._before)
        torch._foreach_sub_(self._before, now)
        updates = torch._foreach_norm(self._before)
        self._before = []
        for (name, parameter), norm, update in zip(trained.items(), norms, updates, strict=True):
            self._take(WEIGHTS, name, parameter, change=_ratio(update, norm))

    def fetch(self) -> None:
        """Begin to copy all of it to the host."""
        for table in self.tables.values():
            table.fetch()

    def read(self) -> Iterator[tuple[str, Mapping[str, Statistics]]]:
        """Yield the statistics by collection, once the device has come so far."""
        for collection, table in self.tables.items():
            values = table.read()
            passed_over = self._scaled and any(one.nonfinite for one in values.values())
            if values and not (collection == GRADIENTS and passed_over):
                yield collection, values

    def _inputs(self, given: tuple[object, ...]) -> None:
        if given and isinstance(given[0], torch.Tensor):
            self._take(INPUTS, "images", given[0])

    def _activation(
        self, name: str, module: nn.Module, given: tuple[object, ...], output: torch.Tensor
    ) -> None:
        pictures = max(1, ENOUGH // max(1, output[:1].numel()))
        some = output.detach()[:pictures]
        extras: dict[str, torch.Tensor] = {}
        if isinstance(module, RELU) and some.dim() > 1:
            extras["dead"] = statistics.dead(some)
        flat = FLAT.get(type(module))
        if flat and some.dim() > 1 and isinstance(given[0], torch.Tensor):
            extras["saturated"] = statistics.saturated(given[0].detach()[:pictures], *flat)
        self._take(ACTIVATIONS, name, some, whole=output, **extras)

    def _take(
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
            if value.dtype == torch.bfloat16:  # numpy has none
                value = value.float()
            copy = torch.empty_like(value, device="cpu", pin_memory=value.is_cuda)
            self.whole.append((collection, name, copy.copy_(value, non_blocking=True)))

    def _trained(self) -> dict[str, nn.Parameter]:
        return {name: one for name, one in self.network.named_parameters() if one.requires_grad}


def leaves(network: nn.Module) -> dict[str, nn.Module]:
    """Return the modules without modules in them whose outputs say something, by name."""
    return {
        name: module
        for name, module in network.named_modules()
        if name and not any(module.children()) and not isinstance(module, _SKIPPED)
    }


def _eager() -> AbstractContextManager[object]:
    """Run compiled modules as they were written; where nothing is compiled, do nothing."""
    stance: AbstractContextManager[object] = torch.compiler.set_stance("force_eager")
    return stance


def _ratio(update: torch.Tensor, norm: torch.Tensor) -> torch.Tensor:
    """Return a weight's change; not a number where it was zero before, as new biases are."""
    return torch.where(norm > 0, update / norm, math.nan)
