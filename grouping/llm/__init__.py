"""Language models: group files from one, and templates grouped by one.

`generate` and `assign` are what a curator calls; they ask through `session` (kept answers first, one repair, a
budget), which asks through `ask` (retries, stepping down in answer format), which speaks through `wire`.
"""
