"""From files on disk to image features: safe decoding, sources, splits, the feature cache."""
