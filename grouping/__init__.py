"""The curator: creates, checks and edits files of template groups (`mocoop-groups`). It trains nothing."""
