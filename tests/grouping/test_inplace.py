"""Writing a changed file back: never over what somebody else wrote, never half, never invalid."""

from __future__ import annotations

import multiprocessing
import os
import stat

import pytest

from mocoop.errors import GroupFileError, StorageError
from mocoop.groupfile.groups import load_groups
from mocoop.grouping.editing import inplace
from mocoop.grouping.editing.edit import add
from mocoop.grouping.editing.inplace import open_groups

GROUPS = b'{"schema_version": 1, "domain": "birds",\n    "groups": [{"id": "a", "templates": ["a photo of a {}."]}]}'


def write_document(opened, document):
    return inplace.write_document(opened, document, command="add", told="one more")


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "groups.json"
    path.write_bytes(GROUPS)
    return path


def test_a_changed_document_is_written_and_can_be_changed_again(path):
    opened = open_groups(path)
    again = write_document(opened, add(opened.document, ["{} one."], "a"))
    write_document(again, add(again.document, ["{} two."], "a"))
    assert load_groups(path).groups[0].texts == ("a photo of a {}.", "{} one.", "{} two.")


@pytest.mark.parametrize("others", [GROUPS + b"\n", b"", None])
def test_what_somebody_else_wrote_in_between_is_not_overwritten(path, others):
    opened = open_groups(path)
    path.unlink() if others is None else path.write_bytes(others)
    with pytest.raises(StorageError, match="changed by someone else"):
        write_document(opened, add(opened.document, ["{} one."], "a"))
    assert (path.read_bytes() if path.exists() else None) == others


def test_an_invalid_document_is_not_written(path):
    opened = open_groups(path)
    with pytest.raises(GroupFileError, match="G020"):
        write_document(opened, {})
    assert path.read_bytes() == GROUPS


def test_an_undo_gives_the_very_bytes_back(path):
    opened = open_groups(path)
    written = write_document(opened, add(opened.document, ["{} one."], "a"))
    inplace.put_back(written, GROUPS)
    assert path.read_bytes() == GROUPS


def test_a_link_is_written_through_and_the_mode_is_kept(path, tmp_path):
    link = tmp_path / "link.json"
    link.symlink_to(path)
    path.chmod(0o640)
    opened = open_groups(link)
    write_document(opened, add(opened.document, ["{} one."], "a"))
    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert len(load_groups(path).groups[0].templates) == 2


def test_a_folder_that_cannot_be_locked_is_written_all_the_same(path, monkeypatch):
    opened = open_groups(path)

    def closed(folder, flags, real=os.open):
        if os.path.isdir(folder):
            raise PermissionError(13, "Permission denied")
        return real(folder, flags)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", closed)
        write_document(opened, add(opened.document, ["{} one."], "a"))
    assert len(load_groups(path).groups[0].templates) == 2


def _add_until_done(path, name, count):
    for number in range(count):
        while True:
            opened = open_groups(path)
            try:
                write_document(opened, add(opened.document, [f"{{}} {name} {number}."], "a"))
                break
            except StorageError:
                continue


@pytest.mark.skipif(os.name != "posix", reason="folders are locked on POSIX systems only")
def test_of_several_writers_at_once_none_loses_a_template(path):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_add_until_done, args=(path, name, 8)) for name in "abc"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert len(load_groups(path).groups[0].templates) == 1 + 3 * 8
