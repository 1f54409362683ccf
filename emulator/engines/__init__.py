"""Engines run containers: with Docker, or as processes on this machine."""
