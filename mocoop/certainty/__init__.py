"""How sure a classifier is: calibrated probabilities, prediction sets, "not sure", and what measures them.

NumPy alone, so that exported models use the same code without torch. Equations are in docs/method.md.
"""
