"""The verbs of `kennel`, one file per group; scripts/cli.py registers them."""
