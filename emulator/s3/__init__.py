"""S3: objects are read from and written to files; moto answers everything else."""
