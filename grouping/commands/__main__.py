"""Runs `mocoop-groups` as `python -m mocoop.grouping.commands`."""

from mocoop.grouping.commands import main

if __name__ == "__main__":
    main()
