"""From rows of results to one page: tables and pictures, with the paper's numbers next to ours.

`results` reads the rows and assigns them to lines of tables, `statistics` aggregates numbers, `tables`, `calibration`,
`routing` and `timing` lay them out, `curves` draws, `comparison` orders the sections; `page` and `plain` write them as
HTML, Markdown or CSV. Nothing here trains.
"""
