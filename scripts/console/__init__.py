"""What the engineer reads: tables, hints, snippets, names."""
