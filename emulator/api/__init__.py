"""SageMaker's operations: requests checked, resources kept, answers shaped."""
