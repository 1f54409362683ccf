"""Everything that talks to AWS: one client, and the work that goes through it."""
