"""The script that multi-model-server's Java starts as its Python worker, instead of MMS's own."""

import sys

from serve.front.spawner import run_in_spawner

del sys.path[0]  # this folder; its file names are those of multi-model-server's modules
sys.exit(run_in_spawner(sys.argv[1:]))
