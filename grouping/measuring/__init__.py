"""Figures of a group file from vectors: `audit` warns, `stats` and `compare` measure, `plot` draws."""
