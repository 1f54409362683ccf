"""Copies of pictures: equal bytes, the same look, and the file that keeps them together."""
