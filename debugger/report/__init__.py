"""The report of a training job: a self-contained HTML file, and the same facts as JSON."""

from debugger.report.writing import write, write_tuning

__all__ = ["write", "write_tuning"]
