"""What a training job recorded, read back: recording, rules, report."""
