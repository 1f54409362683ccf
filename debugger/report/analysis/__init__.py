"""Computes the facts of the report from the records."""
