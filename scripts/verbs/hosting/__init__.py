"""Endpoints and bundles: deployed, asked and deleted."""
