"""Pictures into batches: order, decoding, random transforms."""
