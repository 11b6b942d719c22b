"""Packages that only some need: asked for in one way, with how to get them."""

from __future__ import annotations

import importlib.util

from mocoop.errors import UsageError


def require(*packages: str, extra: str) -> None:
    """Raises UsageError that names the first package that is not installed, and the extra that brings it."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise UsageError(f"{package} is not installed", f"in the checkout: pip install '.[{extra}]'")
