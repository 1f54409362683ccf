"""What jobs and endpoints do once they are accepted."""
