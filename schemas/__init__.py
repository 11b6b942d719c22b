"""Data: JSON Schemas of the files that a person may edit."""
