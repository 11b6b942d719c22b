"""Templates to group: from a group file, a text with one template per line, or any file that `import` reads.

A pool never drops a template: texts that differ only in case or an article are all kept. Only exact repeats are
dropped, since a group file cannot hold the same text twice; their number is reported.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass

from mocoop import files
from mocoop.errors import GroupFileError
from mocoop.groupfile.groups import MAX_BYTES, GroupFile, Template, parse_groups
from mocoop.groupfile.schema import MAX_GROUPS, MAX_TEMPLATES
from mocoop.grouping.convert import chosen, read_listings
from mocoop.grouping.convert.assemble import domain_of, respelt_notice
from mocoop.grouping.convert.checks import checked
from mocoop.grouping.convert.listing import refuse
from mocoop.grouping.generate import clean_domain

MOST_TEMPLATES = MAX_GROUPS * MAX_TEMPLATES  # the most that a group file can hold
_GROUP_FILE = re.compile(rb'(?:\xef\xbb\xbf)?\s*\{(?=.*"groups"\s*:)', re.DOTALL)


@dataclass(frozen=True)
class Pool:
    """Templates in order, and the group file they came from, if any."""

    domain: str
    templates: tuple[Template, ...]
    file: GroupFile | None = None
    repeated: int = 0  # exact repeats that were dropped, not counting the first occurrence
    notices: tuple[str, ...] = ()  # messages for the user about how the file was read

    @property
    def texts(self) -> tuple[str, ...]:
        """The templates' sentences, in order."""
        return tuple(template.text for template in self.templates)


def pool_of(file: GroupFile) -> Pool:
    """The templates of a group file, group by group."""
    return Pool(file.domain, tuple(template for group in file.groups for template in group.templates), file)


def read_pool(path: str | os.PathLike[str], *, domain: str | None = None, name: str | None = None) -> Pool:
    """Read a pool from a file, or from stdin if the path is "-".

    Args:
        path: a group file, a text with one template per line, or anything that `mocoop-groups import` reads.
        domain: overrides the group file's domain; for other files the default is the file's name.
        name: which list to take if the file holds several.

    Raises:
        GroupFileError: with every line that is not a template, its position and its rule code.
        UsageError: several lists and no name given for one of them; an empty domain.
    """
    data, source = read_given(path)
    wanted = None if domain is None else clean_domain(domain)
    if is_group_file(data):
        pool = pool_of(parse_groups(data, source=source))
        return pool if wanted is None else Pool(wanted, pool.templates, pool.file)
    listing = chosen(read_listings(data, source), name, source)
    found = checked(listing, source)
    if len(found.texts) > MOST_TEMPLATES:
        raise refuse("G024", f"it holds {len(found.texts):,} templates", f"at most {MOST_TEMPLATES:,} here", source)
    templates = tuple(map(Template, found.texts))
    notices = (*listing.notices, *respelt_notice(found))
    return Pool(wanted or domain_of(listing, source), templates, None, len(found.repeated), notices)


def read_given(path: str | os.PathLike[str]) -> tuple[bytes, str]:
    """A file's bytes and its name for messages; stdin if the path is "-". Raises GroupFileError."""
    if os.fspath(path) == "-":
        return sys.stdin.buffer.read(MAX_BYTES + 1), "<stdin>"
    data = files.read_bytes(path, max_bytes=MAX_BYTES, what="file of templates", error=GroupFileError)
    return data, os.fspath(path)


def is_group_file(data: bytes) -> bool:
    """Whether the bytes look like a group file: a JSON object with groups."""
    return _GROUP_FILE.match(data) is not None
