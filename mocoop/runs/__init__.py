"""Run folders: making one from groups and images, reading it, evaluating it, predicting with it."""
