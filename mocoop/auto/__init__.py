"""Choosing a method for somebody's images: what is tried, cross-validation, the time, the choice."""
