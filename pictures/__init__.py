"""Pictures and their labels on disk: decoding, class folders, splits, shards, checks. No torch."""
