"""What Kennel is compared with: a plain SageMaker endpoint, and LitServe."""
