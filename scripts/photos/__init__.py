"""Photos on the user's machine: packed, uploaded, and sent to an endpoint."""
