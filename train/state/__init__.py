"""What a run is, what changes in it, and what is written of it."""
