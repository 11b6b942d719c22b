"""Language models: generating group files, and grouping existing templates.

`generate` and `assign` are called by the curator; they use `session` (cached answers first, one repair, a token
budget), which uses `ask` (retries, fallback to simpler answer formats), which uses `wire` (HTTP).
"""
