"""Everything around the model's workers: nginx, the model server, health."""
