"""Serving: SageMaker's hosting contract, with nginx in front of multi-model-server."""
