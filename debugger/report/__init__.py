"""The report of a training job: a self-contained HTML file, and the same facts as JSON."""

from debugger.report.writing import write

__all__ = ["write"]
