"""State on disk: resources, S3 objects, logs."""
