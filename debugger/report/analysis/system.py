"""Facts about the machines: their utilisation, and the operators that the profiler measured."""

from collections import defaultdict

from debugger.report import facts
from debugger.report.analysis.gathering import Gathered, label
from debugger.report.analysis.steps import distribution
from debugger.report.wording import unit


def usage(gathered: Gathered) -> list[facts.Usage]:
    """Return each metric of each host over the job, without single cores."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for sample in gathered.systems:
        for name, value in sample.values.items():
            if not name.startswith("cpu/"):
                found[sample.host, name].append(value)
    return [
        facts.Usage(host=host, name=name, unit=unit(name), figures=distribution(values))
        for (host, name), values in sorted(found.items(), key=lambda pair: _order(*pair[0]))
    ]


_FIRST = (
    "cpu iowait memory process_memory gpu gpu_memory "
    "disk_read disk_written network_received network_sent"
).split()


def _order(host: str, name: str) -> tuple[str, int, str]:
    kind = name.split("/")[0]
    return host, _FIRST.index(kind) if kind in _FIRST else len(_FIRST), name


def operators(gathered: Gathered) -> list[facts.Operators]:
    """Return the results of torch.profiler, most expensive operators first."""
    found = []
    for window in gathered.operators:
        total = sum(item.self_seconds for item in window.operators) or 1.0
        ordered = sorted(window.operators, key=lambda item: -item.self_seconds)
        found.append(
            facts.Operators(
                process=label(window.host, window.rank),
                device=window.device,
                step=window.step,
                steps=window.steps,
                seconds=window.seconds,
                operators=[
                    facts.Operator(
                        name=item.name,
                        calls=item.calls,
                        self_seconds=item.self_seconds,
                        total_seconds=item.total_seconds,
                        share=item.self_seconds / total,
                    )
                    for item in ordered
                ],
            )
        )
    return found
