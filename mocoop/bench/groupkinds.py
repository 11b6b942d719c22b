"""The groups of a cell: as given, the first few, shuffled (the control of Table 4), or with another init."""

from __future__ import annotations

import random
from collections.abc import Sequence

from mocoop.errors import UsageError
from mocoop.groupfile.groups import Group, GroupFile, dump_groups, parse_groups
from mocoop.groupfile.templatetext import SLOT

OWN, RANDOM, FIRST = "own", "random", "first-"  # "first-3": the first three
EARLY, LATE = "class-early", "class-late"  # init: the template with its class name first, or last
_TRIES = 1000


def groups_of_kind(given: GroupFile, kind: str, seed: int) -> GroupFile:
    """The groups of a cell; `seed` shuffles the random ones. Raises UsageError if they cannot be made."""
    if kind == OWN:
        return given
    if kind.startswith(FIRST):
        kept = [_plain(group, group.init) for group in given.groups[: int(kind.removeprefix(FIRST))]]
    elif kind in (EARLY, LATE):
        kept = [_plain(group, _start(group, kind)) for group in given.groups]
    else:
        kept = _dealt(given.groups, seed)
    document = {"schema_version": 1, "domain": given.domain, "groups": kept}
    return parse_groups(dump_groups(document), source=f"{kind} groups")


def _plain(group: Group, init: str) -> dict[str, object]:
    return {"id": group.id, "init": init, "templates": list(group.texts)}


def _start(group: Group, kind: str) -> str:
    """The template with the fewest words before the class, or after it; the init if it is one of them."""
    side = 0 if kind == EARLY else 1
    return min((group.init, *group.texts), key=lambda text: len(text.split(SLOT)[side].strip(" .").split()))


def _dealt(groups: Sequence[Group], seed: int) -> list[dict[str, object]]:
    """Random groups of the same sizes, each init at its old place, as by `mocoop-groups control --kind random`.

    Curator and trainer share only files, so this is written twice; a test checks that both agree. Only
    Random.random() is used, whose sequence Python guarantees.
    """
    sizes = [len(group.texts) for group in groups]
    if len(groups) == 1 or max(sizes) == 1:
        raise UsageError("no other grouping of these templates is possible", "give a file with larger groups")
    pack = [text for group in groups for text in group.texts]
    before = {frozenset(group.texts) for group in groups}
    dice = random.Random(seed)
    for _ in range(_TRIES):
        keys = [dice.random() for _ in pack]
        dealt = [text for _, text in sorted(zip(keys, pack, strict=True), key=lambda pair: pair[0])]
        starts = [sum(sizes[:number]) for number in range(len(sizes))]
        parts = [dealt[start : start + size] for start, size in zip(starts, sizes, strict=True)]
        if {frozenset(part) for part in parts} != before:
            break
    return [
        {"id": f"random_{number}", "init": part[group.texts.index(group.init)], "templates": part}
        for number, (group, part) in enumerate(zip(groups, parts, strict=True), start=1)
    ]
