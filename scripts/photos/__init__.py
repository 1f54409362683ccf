"""Photos on the engineer's machine: packed and uploaded."""
