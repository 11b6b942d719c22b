"""open_clip, imported without the libraries that most of its models do not need.

`import open_clip` also imports timm, transformers and, by way of torchvision, torch's compiler: two thirds of the time
that `mocoop predict` takes to start. It does without timm and transformers where they are not installed, so they are
hidden from it while it is imported; `complete` gives them to it when a model needs them. Modules of ours import
open_clip through here, so that the first import is this one.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

# what open_clip can do without -> its modules that use it
OPTIONAL = {"timm": ("timm_model",), "transformers": ("hf_model", "coca_model")}
_COMPILER = "torch._dynamo.utils"


@contextmanager
def _hidden(names: set[str]) -> Iterator[None]:
    """Within the context, importing these fails as if they were not installed; what is imported already stays."""
    names = names - sys.modules.keys()
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]  # None: Python's own mark for "not to be found"
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


@contextmanager
def _compiler_later() -> Iterator[None]:
    """Within the context, importing torchvision or timm does not import torch's compiler; using it still does.

    torchvision asks it one question in `roi_align`; timm marks functions of one model that it must not compile.
    """
    if "torch._dynamo" in sys.modules:
        yield
        return
    import torch

    disable, stand_in = torch.compiler.disable, ModuleType(_COMPILER)
    stand_in.is_compile_supported = _later(lambda: importlib.import_module(_COMPILER).is_compile_supported)  # type: ignore[attr-defined]
    sys.modules[_COMPILER] = stand_in
    torch.compiler.disable = lambda function: _later(lambda: disable(function))  # type: ignore[assignment, misc, no-untyped-call]
    try:
        yield
    finally:
        torch.compiler.disable = disable
        if sys.modules.get(_COMPILER) is stand_in:
            del sys.modules[_COMPILER]


def _later(make: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
    """A function that is made when it is called."""

    def call(*arguments: Any, **named: Any) -> Any:
        return make()(*arguments, **named)

    return call


def complete(*libraries: str) -> None:
    """Give open_clip those of `OPTIONAL` that a model needs.

    A module is executed again in its own namespace, so classes that were imported from it before see what was missing.
    """
    for library in libraries:
        with _compiler_later():
            importlib.import_module(library)
        for name in OPTIONAL[library]:
            module = sys.modules[f"open_clip.{name}"]
            if library in _missing:
                importlib.reload(module)
        _missing.discard(library)


if "open_clip" in sys.modules:
    _missing: set[str] = set()
    import open_clip
else:
    _missing = OPTIONAL.keys() - sys.modules.keys()
    with _hidden(set(_missing)), _compiler_later():
        import open_clip

__all__ = ["complete", "open_clip"]
