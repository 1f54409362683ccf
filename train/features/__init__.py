"""A frozen backbone's features, and whole grids trained on them."""
