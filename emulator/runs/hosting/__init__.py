"""Endpoints at work: variants of instances that serve models."""
