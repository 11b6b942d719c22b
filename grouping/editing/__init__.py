"""Changing group files: `edit` a document, `inplace` the file; `byhand`, `review` and `diff` are a person's ways in."""
