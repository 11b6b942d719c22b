"""Every method that can be trained and compared: a file each, called as `mocoop train --method` calls it.

A method's file ends in its `METHOD`; what a method is stands in `mocoop.training.method`. A new file is a new method.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from mocoop.config import METHODS
from mocoop.errors import ConfigError

if TYPE_CHECKING:
    from mocoop.training.method import Method


def method_named(name: str) -> Method:
    """The method of a name. Raises ConfigError."""
    if name not in METHODS:
        raise ConfigError(f"no method is called {name!r}", f"there are {', '.join(METHODS)}")
    method: Method = importlib.import_module(f"mocoop.methods.{name.replace('-', '_')}").METHOD
    return method
