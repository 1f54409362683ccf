"""Training and tuning jobs: started, followed and understood."""
