"""The method itself: router, losses, objective, the mixture as a module, and the classifier that it becomes."""
