"""What the user reads on the terminal: lines, tables, progress, hints, snippets, names."""
