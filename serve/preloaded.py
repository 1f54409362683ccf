"""Imports what the workers need, for the process that forks them: serve/front/spawner.py."""

import serve.handler  # noqa: F401
from serve.engines import choice
from serve.settings import Settings

choice.preload(Settings.from_environment())
