"""What runs containers: Docker, or processes on this machine."""
