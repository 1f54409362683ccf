"""What SageMaker and the machine give a job: its environment, processes, signals and ends."""
