"""Every request that Kennel makes of AWS, as pure functions of an experiment and names."""
