"""Launcher for a checkout: `python cli.py train ...` and `python cli.py groups generate ...`. Not installed."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    if sys.argv[1:2] == ["groups"]:
        sys.argv = ["mocoop-groups", *sys.argv[2:]]
        from mocoop.grouping.commands import main
    else:
        from mocoop.commands import main
    main()
