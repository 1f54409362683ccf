"""SageMaker on this machine. Knows only SageMaker's public contracts, and nothing of Kennel."""
