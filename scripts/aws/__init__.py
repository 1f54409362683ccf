"""What talks to AWS: one client, and the work done through it."""
