"""Comparing methods: which cells a table has, running each of them once, and storing the results as rows.

A *cell* is one training run and its evaluation: protocol, data set, method, setting, shots, seed. `cells` defines a
cell, `rows` stores its result, `protocols` lists the cells of protocols and ablations, `runner` runs them.
"""
