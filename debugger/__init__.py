"""Reads what a training job recorded, runs rules over it, and writes the report."""
