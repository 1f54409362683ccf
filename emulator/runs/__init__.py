"""Jobs and endpoints while they run."""
