"""Verbs for bundles."""
