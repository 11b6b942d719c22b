"""Comparing methods: which cells a table has, running them so that none runs twice, and the rows that come of it.

A *cell* is one training and its evaluation: protocol, data set, method, setting, shots, seed. `cells` says what a cell
is, `rows` how its result is kept, `protocols` and `ablations` which cells there are, `runner` runs them.
"""
