"""Records a job while it runs: losses, tensors, timeline, system metrics."""
