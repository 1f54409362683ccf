"""Where a worker process begins: it says that it has started before it imports anything large.

A process that ends between these two lines, killed for its memory or by a broken library, is missed
at once and not only when the time for loading is over.
"""

import os

from serve import health

health.announce()

if os.environ.get("KENNEL_CODE", "").strip():
    from serve.custom import handle
else:
    from serve.handler import handle

__all__ = ["handle"]
