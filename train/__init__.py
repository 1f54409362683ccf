"""SageMaker's training contract, and the training itself."""
