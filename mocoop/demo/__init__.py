"""The demonstration: `mocoop demo`, from a group file to a page."""
