"""Measurements: what they found is in benchmarks/results."""
