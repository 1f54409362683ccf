"""What multi-model-server's Java starts as its Python worker, in place of the script of its own."""

import sys

from serve.spawner import hand_over

sys.exit(hand_over(sys.argv[1:]))
