"""From rows of results to one page: what was measured, in tables and pictures, beside the paper's numbers.

`results` reads the rows and says which line of a table each belongs to, `statistics` reduces numbers, `tables`,
`calibration`, `routing` and `timing` lay them out, `curves` draws, `comparison` puts the sections in order; `page` and
`plain` write them as HTML, Markdown or CSV. Nothing here trains.
"""
