"""The training loop: steps, checkpoints, inputs, progress display, and detecting a collapsed router."""
