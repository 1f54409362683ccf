"""The `kennel` command, on the engineer's machine; never imports torch."""
