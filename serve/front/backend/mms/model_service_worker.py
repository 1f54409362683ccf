"""What multi-model-server's Java starts as its Python worker, in place of the script of its own."""

import sys

from serve.front.spawner import hand_over

del sys.path[0]  # this folder, whose names are those of multi-model-server's
sys.exit(hand_over(sys.argv[1:]))
