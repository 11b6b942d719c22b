"""The curator: makes, checks and edits files of template groups (`mocoop-groups`). Trains nothing."""
