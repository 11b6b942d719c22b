"""Changing group files: `edit` changes a document, `inplace` the file; `byhand`, `review`, `diff` serve the user."""
