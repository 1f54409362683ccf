"""Every request that Kennel sends to AWS, as pure functions of an experiment and names."""
