"""The verbs of `kennel`, a file for each group; scripts/cli.py wires them."""
