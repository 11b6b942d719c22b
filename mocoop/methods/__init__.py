"""Every method that can be trained and compared, one file each, by the names of `mocoop train --method`."""

from __future__ import annotations

from mocoop.config import METHODS
from mocoop.errors import ConfigError
from mocoop.methods.base import Method, Samples, Task
from mocoop.methods.cocoop import CoCoOp
from mocoop.methods.coop import CoOp
from mocoop.methods.kgcoop import KgCoOp
from mocoop.methods.lasp import LASP
from mocoop.methods.linearprobe import LinearProbe
from mocoop.methods.mixture import MoCoOp
from mocoop.methods.prograd import ProGrad
from mocoop.methods.zeroshot import GatedZeroShot, ZeroShot, ZeroShotEnsemble

__all__ = ["Method", "Samples", "Task", "method_named"]

_ALL: tuple[Method, ...] = (
    ZeroShot(), ZeroShotEnsemble(), GatedZeroShot(), LinearProbe(),
    CoOp(), CoCoOp(), KgCoOp(), ProGrad(), LASP(), MoCoOp(),
)  # fmt: skip
_BY_NAME = {method.name: method for method in _ALL}


def method_named(name: str) -> Method:
    """The method of a name. Raises ConfigError."""
    if name not in _BY_NAME:
        raise ConfigError(f"no method is called {name!r}", f"there are {', '.join(METHODS)}")
    return _BY_NAME[name]
