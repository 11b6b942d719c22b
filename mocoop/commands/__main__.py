"""`python -m mocoop.commands` does the same as `python -m mocoop`."""

from __future__ import annotations

from mocoop.commands import main

if __name__ == "__main__":
    main()
