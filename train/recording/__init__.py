"""What a job records while it runs: losses, tensors, timeline, system."""
