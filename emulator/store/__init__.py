"""What is kept on disk: resources, S3's objects, logs."""
