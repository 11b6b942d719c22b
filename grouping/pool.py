"""Templates that are to be grouped: from a group file, or from a text with one template a line.

A pool never loses a template: what only differs in case or an article stays. Only the very same text given twice is
taken once, since a group file cannot hold it twice, and that is told.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from mocoop.groups import GroupFile, Template


@dataclass(frozen=True)
class Pool:
    """Templates in their order, and the group file they came from, where they came from one."""

    domain: str
    templates: tuple[Template, ...]
    file: GroupFile | None = None
    repeated: int = 0  # texts that stood there more than once, counted without their first

    @property
    def texts(self) -> tuple[str, ...]:
        """The templates' sentences, in order."""
        return tuple(template.text for template in self.templates)


def pool_of(file: GroupFile) -> Pool:
    """The templates of a group file, group by group."""
    return Pool(file.domain, tuple(template for group in file.groups for template in group.templates), file)


def read_pool(path: str | os.PathLike[str], *, domain: str | None = None) -> Pool:
    """A pool from a file; `domain` overrules the group file's, and for a text the file's name.

    Raises GroupFileError with every line that is no template, and its rule code.
    """
    raise NotImplementedError
