"""The training loop: steps, checkpoints, what it reads, what a person sees of it, and whether the router collapsed."""
