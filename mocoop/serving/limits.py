"""What may be asked of a server of models."""

from __future__ import annotations

from dataclasses import dataclass

from mocoop.web.gate import Bounds


@dataclass(frozen=True, kw_only=True)
class Limits(Bounds):
    """The bounds of a server of models. Bytes are those of a whole request, pixels those of one picture."""

    pixels: int = 50_000_000
    images: int = 32  # in one request
    queue: int = 128  # images being answered at once, of all requests
    batch_size: int = 32
