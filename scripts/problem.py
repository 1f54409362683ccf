"""The one exception that ends a verb of `kennel` with a message and no traceback."""


class Problem(Exception):
    """What the person at the terminal has to change: what is wrong, where, and the cure."""
