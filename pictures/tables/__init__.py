"""Labels in tables: CSV, JSON Lines, SageMaker's manifests; beside the pictures that they name."""
