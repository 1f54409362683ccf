"""The one exception that ends a verb of `kennel` with a message and no traceback."""


class Problem(Exception):
    """What the user has to change: what is wrong, where, and how to fix it."""
