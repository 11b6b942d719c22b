"""The review page: a local page in a browser in which a person sorts templates into groups.

`operations` are what it may ask for, `session` is the working copy with its history, `kept` what a crash leaves of it,
`view` how it is told to the page, `checking` the rules and meanings found meanwhile, `attraction` the images that fit a
group, `routes` the addresses; `pages/` is what the browser gets.
"""
