"""Where a worker process begins: it says that it has started before it imports anything large.

A process that ends between these two lines, killed for its memory or by a broken library, is missed
at once and not only when the time for loading is over.
"""

from serve.front import health, processes
from serve.settings import Settings

processes.name_this("kennel-worker")
health.announce()

_settings = Settings.from_environment()
if _settings.multi_model:
    from serve.registry import handle
elif _settings.code:
    from serve.custom import handle
else:
    from serve.handler import handle

__all__ = ["handle"]
