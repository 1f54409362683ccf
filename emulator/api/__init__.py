"""SageMaker's operations: they check requests, store resources and shape answers."""
