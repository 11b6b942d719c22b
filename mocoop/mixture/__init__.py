"""The method itself: router, losses, objective, the mixture as a module, and its trained classifier."""
