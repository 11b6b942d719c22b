"""The frozen model: its weights, its image and text towers, the text engine, and the features of hand-written templates."""
