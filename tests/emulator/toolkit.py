"""A training image with SageMaker's training toolkit, which runs a user's script."""

from sagemaker_training.cli.train import main

main()
