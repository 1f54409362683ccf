"""Formats numbers, times and names for people."""

import math
from datetime import UTC, datetime

NOT_IN_A_SWEEP = (
    "not measured in a sweep, because the heads of all trials train together: train the best trial "
    "alone for it"
)
_UNITS = ("B", "kB", "MB", "GB", "TB")
PARTS = {
    "initialisation": "Initialisation",
    "data_wait": "Data wait",
    "copy": "Copy to device",
    "forward": "Forward",
    "features": "Features (frozen backbone)",
    "backward": "Backward",
    "optimizer": "Optimizer",
    "evaluation": "Evaluation",
    "checkpoint": "Checkpoint",
    "recording": "Recording",
    "other": "Other",
    "finalisation": "Finalisation",
    "interrupted": "Interrupted",
}


_FIGURES = {
    "cpu": "CPU",
    "iowait": "I/O wait",
    "memory": "memory",
    "process_memory": "memory of the job",
    "processes": "processes of the job",
    "disk_read": "disk read",
    "disk_written": "disk written",
    "network_received": "network received",
    "network_sent": "network sent",
}


def figure(name: str) -> str:
    """Return the name to show for a metric of a System record."""
    kind, _, index = name.partition("/")
    if index:
        return f"{'GPU memory' if kind == 'gpu_memory' else kind.upper()} {index}"
    return _FIGURES.get(name, name.replace("_", " "))


def unit(name: str) -> str:
    """Return the unit of a metric of a System record."""
    if name.startswith(("disk_", "network_")):
        return "bytes/s"
    if name == "processes":
        return ""
    return "bytes" if name == "process_memory" else "%"


def part(name: str) -> str:
    """Return the name to show for a phase."""
    return PARTS.get(name, name.replace("_", " ").capitalize())


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with `digits` significant digits; a dash for None."""
    if value is None:
        return "\N{EN DASH}"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "∞" if value > 0 else "-∞"
    if value == 0:
        return "0"
    if float(value).is_integer() and abs(value) < 1e9:
        return f"{value:,.0f}"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}" if abs(value) < 1e9 else f"{value:.{digits - 1}e}"
    if abs(value) < 1e-3:
        mantissa, power = f"{value:.{digits - 1}e}".split("e-")
        return f"{float(mantissa):g}e-{int(power)}"
    return f"{value:.{digits}g}"


def seconds(value: float) -> str:
    """Return a duration, from microseconds to `4,088 s`."""
    if not math.isfinite(value):
        return number(value)
    if abs(value) >= 100:
        return f"{value:,.0f} s"
    if abs(value) >= 1 or value == 0:
        return f"{number(value)} s"
    return f"{number(value * 1e3)} ms" if abs(value) >= 1e-3 else f"{number(value * 1e6)} µs"


def clock(value: float) -> str:
    """Return a duration as `1 h 8 min`, `1 min 13 s` or `12.3 s`."""
    if value < 60:
        return seconds(value)
    whole = round(value)
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def share(value: float | None) -> str:
    """Return a share in percent; one decimal below 10 %."""
    if value is None:
        return "\N{EN DASH}"
    percent = 100 * value
    if percent and abs(percent) < 0.05:
        return "< 0.1 %"
    if 99.5 <= percent < 100:  # 99.6 % are not all
        return f"{percent:.1f} %" if percent < 99.95 else "> 99.9 %"
    return f"{percent:.1f} %" if abs(percent) < 10 and percent else f"{percent:.0f} %"


def accuracy(value: float) -> str:
    """Return an accuracy in percent, with one decimal everywhere in the report."""
    return f"{100 * value:.1f} %"


def dollars(value: float) -> str:
    """Return US dollars: two decimals, or two digits if it is less than ten cents."""
    if value and abs(value) < 0.0005:
        return "< $0.001"
    return f"${value:,.2f}" if abs(value) >= 0.1 or not value else f"${value:.2g}"


def price(value: float) -> str:
    """Return US dollars for an hour, with all digits of the price table."""
    return f"${value:.2f}" if round(value, 2) == value else f"${value:.4g}"


def size(value: float) -> str:
    """Return bytes in a suitable unit."""
    for name in _UNITS:
        if abs(value) < 1000 or name == _UNITS[-1]:
            break
        value /= 1000
    return f"{number(value)} {name}"


def measure(value: float, unit: str) -> str:
    """Return a system metric with its unit: %, bytes, bytes/s, or none for a number."""
    if unit == "%":
        return f"{value:.0f} %" if value >= 10 or value == 0 else f"{value:.1f} %"
    if not unit:
        return number(value)
    return size(value) + ("/s" if unit == "bytes/s" else "")


def moment(at: float) -> str:
    """Return a time in UTC, to the second."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def times(count: int) -> str:
    """Return `once`, or `7 times`."""
    return "once" if count == 1 else f"{count:,} times"


def count(amount: int, name: str) -> str:
    """Return `1 step`, `7 steps`."""
    return f"{amount:,} {name}" if amount == 1 else f"{amount:,} {name}s"


def counted(parts: dict[str, int]) -> str:
    """Return `30 rules: 1 fired, 29 did not` for the parts that are not 0."""
    found = [f"{amount:,} {text}" for text, amount in parts.items() if amount]
    return f"{count(sum(parts.values()), 'rule')}: {', '.join(found)}."
