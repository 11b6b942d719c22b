"""Data: the template bank, the domain profiles and the paper's template groups."""
