"""What vectors say of a group file: `audit` warns, `stats` and `compare` count, `plot` draws."""
