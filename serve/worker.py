"""The entry point of a worker process: it announces its start before it imports large modules.

So the supervisor notices at once when a process dies while loading, killed for its memory or by a
broken library, and does not wait for the timeout.
"""

from serve.front import health, processes
from serve.settings import Settings

processes.set_process_name("kennel-worker")
health.announce_start()

_settings = Settings.from_environment()
if _settings.multi_model:
    from serve.registry import handle
elif _settings.code:
    from serve.custom import handle
else:
    from serve.handler import handle

__all__ = ["handle"]
