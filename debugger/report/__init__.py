"""The report of a training job: one HTML file that needs nothing else, and the facts as JSON."""

from debugger.report.writing import write

__all__ = ["write"]
