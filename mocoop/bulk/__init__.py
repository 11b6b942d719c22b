"""Predictions of very many images: resumable, on one machine or on a Ray cluster."""
