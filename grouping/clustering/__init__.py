"""Templates grouped by meaning: `embed` makes vectors, `partition` groups them, `cluster` writes the file."""
