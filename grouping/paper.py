"""The paper's own template groups for its fifteen data sets, shipped as group files."""

from __future__ import annotations

from importlib.resources import files

from mocoop.errors import UsageError


def paper_names() -> tuple[str, ...]:
    """The data sets whose groups are included, in alphabetical order."""
    folder = files("mocoop.templates").joinpath("paper")
    return tuple(sorted(entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json")))


def paper_groups(name: str) -> bytes:
    """The group file of a data set, as shipped. Raises UsageError that lists the names."""
    if name not in paper_names():
        raise UsageError(f"the paper has no groups called {name!r}", f"choose {', '.join(paper_names())}")
    return files("mocoop.templates").joinpath("paper").joinpath(f"{name}.json").read_bytes()
