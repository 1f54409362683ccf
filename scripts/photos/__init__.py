"""Photos on the user's machine: packing and uploading."""
