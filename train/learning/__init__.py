"""Steps of learning and what they are measured by; knows networks, batches and numbers."""
