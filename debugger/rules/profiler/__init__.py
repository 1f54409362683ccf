"""Rules of the kind "profiler": time, hosts and GPUs."""
