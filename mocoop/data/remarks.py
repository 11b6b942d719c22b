"""What was remarked on single pictures while they were read, put into a sentence a kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mocoop.data.dataset import named
from mocoop.data.reading import CLEAR, CUT, EMPTY, MANY, TWO


def remark_notes(remarks: Mapping[Path, Iterable[str]], pictures: int) -> list[str]:
    """Sentences on what was found in some of the pictures read, one for each kind of remark."""
    found: dict[str, list[Path]] = {}
    for path, kinds in remarks.items():
        for kind in kinds:
            found.setdefault(kind, []).append(path)
    return [_note(kind, paths, pictures) for kind, paths in sorted(found.items())]


def _note(kind: str, paths: Sequence[Path], pictures: int) -> str:
    some, these = f"{len(paths)} of {pictures} {'picture' if pictures == 1 else 'pictures'}", named(paths)
    have = "has" if len(paths) == 1 else "have"
    if kind == MANY:
        return f"{some} {have} more than 3 bands: bands 1, 2, 3 are used and none is transparency; choose with --bands"
    if kind == TWO:
        return f"{some} {have} 2 bands: band 1 is used, as grey; choose with --bands"
    if kind == CLEAR:
        return f"fully transparent, so that only white is seen: {these}"
    if kind == EMPTY:
        return f"without a single value (no data), so that only black is seen: {these}"
    if kind == CUT:
        return f"values beyond the scale of the training images are cut off in {these}; see --range"
    return f"nearly black: {these}; for pictures of more than 8 bits see --range LOW,HIGH and --range percentile"
