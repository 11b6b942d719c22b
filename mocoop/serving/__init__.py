"""A trained run behind HTTP: pictures in, the answers of `mocoop predict --json --experts full` out.

`models` is what is served, a run or an exported model; `batching` answers together what waits together; `limits` is
what may be asked of the server, and refuses the rest; `metrics` what it counts; `app` the addresses; `pages/` what a
browser shows; `server` the process. With an exported model no torch is imported.
"""
