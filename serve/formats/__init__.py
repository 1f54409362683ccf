"""What clients send and get: bodies, options, answers."""
