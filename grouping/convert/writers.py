"""Exporting group files to other software's formats, and what each format cannot hold.

csv, markdown and yaml hold groups and can be imported again unchanged. open_clip, clip-benchmark and txt are flat
lists: the groups are lost, which is reported. Templates are escaped so that the other software reads exactly the same
text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mocoop.groupfile.findings import quote
from mocoop.groupfile.groups import GroupFile
from mocoop.groupfile.templatetext import SLOT
from mocoop.grouping.convert.coopyaml import write_yaml
from mocoop.grouping.convert.markdown import write_markdown
from mocoop.grouping.convert.plain import text_line
from mocoop.grouping.convert.table import write_table
from mocoop.grouping.generate import slug

GROUPED = ("csv", "markdown", "yaml")


@dataclass(frozen=True)
class Exported:
    """The exported text, and notices about what it leaves out."""

    text: str
    notices: tuple[str, ...]


def export(file: GroupFile, file_format: str) -> Exported:
    """Export a group file to another format; `file_format` is one of FORMATS."""
    return Exported(_WRITERS[file_format](file), tuple(_lost(file, file_format)))


def write_python(file: GroupFile) -> str:
    """A Python module with one tuple of texts, which open_clip's build_zero_shot_classifier accepts directly."""
    name = re.sub(r"\W", "_", slug(file.name or file.domain), flags=re.ASCII).upper()
    lines = [f"{name}_TEMPLATES = (" if name[0].isalpha() else f"TEMPLATES_{name} = ("]
    for group in file.groups:
        lines.append(f"    # {group.id}")
        lines += [f"    {text!a}," for text in group.texts]
    return "\n".join([*lines, ")", ""])


def write_clip_benchmark(file: GroupFile) -> str:
    """The JSON for CLIP_benchmark's --custom_template_file: data set -> list, with {c} as the slot."""
    texts = [text.replace(SLOT, "{c}") for group in file.groups for text in group.texts]
    return json.dumps({file.name or slug(file.domain): texts}, indent=2, ensure_ascii=False) + "\n"


def write_text(file: GroupFile) -> str:
    """A text with one template per line and the groups' ids as comments."""
    parts = (f"# {group.id}\n" + "".join(f"{text_line(text)}\n" for text in group.texts) for group in file.groups)
    return "\n".join(parts)


_WRITERS: dict[str, Callable[[GroupFile], str]] = {
    "open_clip": write_python,
    "clip-benchmark": write_clip_benchmark,
    "csv": write_table,
    "txt": write_text,
    "markdown": write_markdown,
    "yaml": write_yaml,
}


def _lost(file: GroupFile, file_format: str) -> Iterator[str]:
    if file_format not in GROUPED:
        yield f"{file_format} is a flat list: {len(file.groups)} groups, their titles and inits are not in it"
    if file_format == "yaml":
        yield f"DATASET.NAME is {quote(file.domain)}: write there the data set's name in that code, where it is another"
        for group in file.groups:
            if group.init != group.texts[0]:
                yield f"group {group.id}: {quote(group.init)} now stands first, since there the first starts the expert"
    kept = [name for name, there in _notes(file, file_format) if there]
    if kept:
        yield f"not in it: {', '.join(kept)}"


def _notes(file: GroupFile, file_format: str) -> Iterator[tuple[str, bool]]:
    """What only a group file can hold, and whether this one has it."""
    templates = [template for group in file.groups for template in group.templates]
    yield "descriptions of groups", file_format == "yaml" and any(group.description for group in file.groups)
    yield "locks", any(group.locked for group in file.groups) or any(one.locked for one in templates)
    yield "notes", any(one.note for one in templates) or any(group.rationale for group in file.groups)
    yield "exclusions", bool(file.document.get("excluded"))
