"""SageMaker on this machine: knows only the public contracts."""
