"""Where a worker process begins: it says that it has started before it imports anything large.

A process that ends between these two lines, killed for its memory or by a broken library, is missed
at once and not only when the time for loading is over.
"""

from serve import health

health.announce()

from serve.handler import handle  # noqa: E402

__all__ = ["handle"]
