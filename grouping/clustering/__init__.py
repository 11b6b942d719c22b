"""Grouping templates by meaning: `embed` computes vectors, `partition` groups them, `cluster` makes the file."""
