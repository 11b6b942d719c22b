"""Group files: their schema, rules and findings, and reading and writing them. No torch here."""
