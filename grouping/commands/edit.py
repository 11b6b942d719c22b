"""`mocoop-groups edit`: edit a group file in the user's editor, with validation before it is written."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mocoop import cli, files
from mocoop.errors import GroupFileError, MoCoOpError, StorageError, UsageError
from mocoop.grouping.commands.shared import FILE, say_notice

if TYPE_CHECKING:
    from mocoop.grouping.editing.inplace import Opened


@click.command()
@click.argument("path", metavar="FILE", type=FILE)
@click.option("--group", "group_id", metavar="ID", help="Edit one group, as plain lines.")
@click.option("--resume", is_flag=True, help="Take up an edit that was refused or cut off, and kept.")
def edit(path: str, group_id: str | None, resume: bool) -> None:
    """Open a group file in your editor; a mistake is never saved.

    The editor is $VISUAL or $EDITOR; the file is written back when it is right. What is wrong is shown, and the editor
    reopened at the line. An edit that is given up is kept beside FILE, with the ending .rej; one that was cut off, as
    when the terminal closes, is told at the next start. With --group, each template is a line, and * marks the one that
    starts the expert.

    \b
    mocoop-groups edit groups.json
    mocoop-groups edit groups.json --group low_detail
    """
    from mocoop.grouping.editing.drafts import left_behind, workplace
    from mocoop.grouping.editing.editor import Abandoned, edit_text, line_of
    from mocoop.grouping.editing.terminal import has_terminal

    if path == "-":
        raise UsageError("stdin cannot be edited in place", "give the file a name")
    work = _whole_file(path) if group_id is None else _one_group(path, group_id)
    draft = next((one for one in left_behind(path) if one.group == group_id), None) if resume else None
    text = draft.read() if draft else _kept_edit(work.kept) if resume else work.text
    if not resume:
        say_kept_edits(path, group_id)
    trouble = work.trouble(text)
    if trouble:
        _show(trouble)
    line = line_of(trouble) if trouble else 1
    terminal = has_terminal()
    try:
        with workplace(path, work.name, group_id, text, draft) as place:
            told = edit_text(place, work.save, _ask, before=work.text, line=line, terminal=terminal)
    except Abandoned as given_up:
        cli.say(f"your edit is kept in {_keep(work.kept, given_up.text, resume and not draft)}; --resume takes it up")
        raise _parting(path, given_up.reason, shown=terminal) from None
    if resume and draft is None:
        work.kept.unlink(missing_ok=True)
    cli.say(f"{path}: {told or 'nothing changed'}")
    if told is None and trouble and not resume:
        raise GroupFileError(f"{path} is as wrong as it was", "edit it again")


@dataclass(frozen=True)
class _Work:
    """An editing task: the text, how an edited text changes the file (with a summary), and how that is written.

    `result` returns None if there is nothing to write.
    """

    name: str  # name of the file in the editor
    text: bytes
    kept: Path  # where a rejected edit is saved
    result: Callable[[bytes], tuple[bytes | None, str]]
    write: Callable[[bytes, str], Opened]

    def save(self, edited: bytes) -> str:
        """Apply an edited text to the file and return a summary. Raises GroupFileError, UsageError, StorageError."""
        data, told = self.result(edited)
        if data is not None:
            say_notice(self.write(data, told).notice)
        return told

    def trouble(self, text: bytes) -> MoCoOpError | None:
        """The error in a text, or None."""
        try:
            self.result(text)
        except MoCoOpError as error:
            return error
        return None


def _whole_file(path: str) -> _Work:
    from mocoop.grouping.editing.byhand import edited_file
    from mocoop.grouping.editing.inplace import read_raw, write_bytes
    from mocoop.grouping.provenance import now

    data = read_raw(path)
    return _Work(
        Path(path).name,
        data,
        _kept_beside(path, None),
        lambda edited: edited_file(data, edited, path, now()),
        lambda new, told: write_bytes(path, new, before=data, command="edit", told=told),
    )


def _one_group(path: str, group_id: str) -> _Work:
    from mocoop.grouping.editing.byhand import edited_group
    from mocoop.grouping.editing.edit import open_group
    from mocoop.grouping.editing.grouplines import lines_of
    from mocoop.grouping.editing.inplace import open_groups, write_bytes
    from mocoop.grouping.provenance import now

    opened = open_groups(path)
    return _Work(
        f"{group_id}.txt",
        lines_of(open_group(opened.document, group_id)),
        _kept_beside(path, group_id),
        lambda edited: edited_group(opened.document, group_id, edited, now()),
        lambda new, told: write_bytes(path, new, before=opened.data, command="edit", told=told),
    )


def say_kept_edits(path: str, group_id: str | None = None) -> None:
    """Say where edits lie that were cut off, and one of this group (None: the file) that was refused."""
    from mocoop.grouping.editing.drafts import left_behind

    if os.path.lexists(kept := _kept_beside(path, group_id)):
        cli.say(f"an edit that was refused is kept in {kept}; --resume takes it up")
    for draft in left_behind(path):
        group = f" --group {draft.group}" if draft.group else ""
        command = f"mocoop-groups edit {cli.command_path(path)}{group} --resume"
        cli.say(f"an edit that was cut off is kept in {draft.path}; {command} takes it up")


def _kept_beside(path: str, group_id: str | None) -> Path:
    return Path(f"{path}.rej" if group_id is None else f"{path}.{group_id}.rej")


def _show(error: MoCoOpError) -> None:
    for line in error.message.split("\n"):
        cli.say(line)
    if error.hint:
        cli.say(f"  hint: {error.hint}")


def _ask(error: MoCoOpError) -> bool:
    """Show the error and ask whether to reopen the editor; False without a terminal."""
    from mocoop.grouping.editing.terminal import has_terminal

    if not has_terminal():
        return False
    _show(error)
    while True:
        click.echo("(r)eopen the editor there, or (q)uit and keep the edit aside? ", nl=False, err=True)
        answer = sys.stdin.readline()
        if answer.strip().lower() in ("r", "reopen"):
            return True
        if not answer or answer.strip().lower() in ("q", "quit"):
            return False


def _parting(path: str, reason: MoCoOpError | KeyboardInterrupt, shown: bool) -> BaseException:
    """The error that ends the command; one that was already shown is not repeated."""
    if shown and isinstance(reason, (GroupFileError, UsageError)):
        return GroupFileError(f"the edit was given up; {path} is as it was")
    return reason


def _kept_edit(kept: Path) -> bytes:
    from mocoop.grouping.editing.inplace import read_raw

    if not kept.exists():
        raise UsageError(f"there is no kept edit of this at {kept}", "leave --resume out")
    return read_raw(kept)


def _keep(kept: Path, text: bytes, resumed: bool) -> Path:
    """Save an abandoned text beside its file; an older one is renamed with a number, unless this edit resumed it."""
    try:
        if kept.exists() and not resumed and kept.read_bytes() != text:
            number = next(n for n in range(1, 10_000) if not os.path.lexists(f"{kept}.{n}"))
            os.replace(kept, f"{kept}.{number}")
        files.atomic_write(kept, text)
    except (OSError, StorageError):  # the folder is not writable
        handle, name = tempfile.mkstemp(prefix="mocoop-edit-", suffix=".rej")
        with os.fdopen(handle, "wb") as file:
            file.write(text)
        return Path(name)
    return kept
