"""The tests of all rooms."""

import os

# The networks here are so small that threads wait for each other: two threads take two to three
# times the processor time of one. The tests' own processes and all that they start obey this.
os.environ.setdefault("OMP_NUM_THREADS", "1")
