"""What other programs write in and next to weights files: their names, layers and settings."""
