"""How the pages write states, times, money and numbers."""

from datetime import datetime
from urllib.parse import quote

from scripts.console import terminal
from scripts.ui.tables import Cell

_TONES = {
    "Completed": "good",
    "InService": "good",
    "Failed": "bad",
    "OutOfService": "bad",
    "Stopped": "quiet",
}


def tone(state: str) -> str:
    """The colour of a state; the word itself says the same."""
    return _TONES.get(state, "busy")


def state(text: str) -> Cell:
    """A job's or an endpoint's state."""
    return Cell(text, tone=tone(text))


def when(time: datetime | None) -> Cell:
    """A time in the local time zone; sorted by the exact time."""
    return Cell(terminal.local_time(time), value=time.timestamp() if time else "")


def duration(seconds: float | None) -> Cell:
    """A time such as 42 s, 3 min 20 s, 1 h 5 min."""
    return Cell("" if seconds is None else took(seconds), value="" if seconds is None else seconds)


def took(seconds: float) -> str:
    """Write seconds as a person would."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"


def dollars(amount: float | None, if_unknown: str = "") -> Cell:
    """US dollars, an estimate; small amounts with more digits."""
    if amount is None:
        return Cell(if_unknown, value="")
    digits = 2 if amount >= 0.1 or not amount else 4
    return Cell(f"${amount:,.{digits}f}", value=amount)


def number(value: float | None) -> Cell:
    """A metric with four digits."""
    return Cell("" if value is None else f"{value:.4g}", value="" if value is None else value)


def job(name: str, kind: str = "") -> Cell:
    """A job's name that leads to its page."""
    return Cell(name, href=address(name, kind))


def address(name: str, kind: str = "") -> str:
    """The page of a job."""
    return f"/{'tuning' if kind == 'tuning' else 'jobs'}/{quote(name, safe='')}"
