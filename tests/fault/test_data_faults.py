"""Data as no one should have written it, and a system that refuses: one line that says what to do, and never a bug."""

from __future__ import annotations

import errno
import io
import os
import resource
import struct
import zipfile

import numpy as np
import pytest
import torch

from mocoop import cli
from mocoop.data.arrays import read_arrays
from mocoop.data.images import open_image
from mocoop.data.sources import open_dataset
from mocoop.errors import CheckpointError, DataError, ImageError, StorageError
from mocoop.training.checkpoint import load_checkpoint, save_checkpoint, save_tensors

HEADERS = {
    "a size below zero": "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 4)}",
    "two sizes below zero": "{'descr': '<f4', 'fortran_order': False, 'shape': (-2, -2)}",
    "a size with a point": "{'descr': '<f4', 'fortran_order': False, 'shape': (2.0, 2)}",
    "a size that is true": "{'descr': '<f4', 'fortran_order': False, 'shape': (True, 4)}",
    "65 dimensions": "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "1," * 64 + "4)}",
    "a size of 5,000 digits": "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "9" * 5000 + ",)}",
    "an array in each number": "{'descr': ('<f4', (2, 2)), 'fortran_order': False, 'shape': (1,)}",
    "an empty array in each number": "{'descr': ('<f4', (0,)), 'fortran_order': False, 'shape': (4,)}",
    "numbers of no bytes": "{'descr': '|V0', 'fortran_order': False, 'shape': (4,)}",
    "no end": "{'descr': '<f4', 'fortran_order': False, 'shape': (4, 1",
    "no end of a text": "{'descr': '<f4",
    "a list as a name": "{[]: 1}",
    "deep brackets": "(" * 3000,
    "many signs": "-" * 9000 + "1",
    "a call": "__import__('os').abort()",
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize("member", ["features", "labels", "classnames"])
def test_a_header_of_an_npz_that_cannot_be(tmp_path, header, member):
    arrays = {"features": np.ones((4, 2), np.float32), "labels": np.zeros(4, int), "classnames": np.array(["a"])}
    with zipfile.ZipFile(tmp_path / "f.npz", "w") as archive:
        for name, array in arrays.items():
            np.save(written := io.BytesIO(), array)
            archive.writestr(f"{name}.npy", with_header(header) if name == member else written.getvalue())
    with pytest.raises(DataError, match=rf"{member}\.npy") as caught:
        read_arrays(tmp_path / "f.npz")
    assert len(str(caught.value).replace(str(tmp_path), "")) < 300
    assert "np.savez" in str(caught.value)


def with_header(header):
    line = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(line)) + line + bytes(16)


@pytest.mark.parametrize("name", ["f.npz", "f.safetensors", "t.csv", "t.jsonl", "t.parquet", "folder"])
def test_a_pipe_or_a_device_as_data_is_refused_at_once(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match=r"it is a pipe \(give a folder, or the path of a file\)"):
        open_dataset(tmp_path / name)
    (tmp_path / f"link-{name}").symlink_to("/dev/zero")
    with pytest.raises(DataError, match="it is a device"):
        open_dataset(tmp_path / f"link-{name}")


def test_a_pipe_among_the_pictures_is_no_picture(tmp_path):
    os.mkfifo(tmp_path / "1.png")
    with pytest.raises(ImageError, match="not a regular file"):
        open_image(tmp_path / "1.png")


def test_a_class_whose_name_is_not_utf8_is_named(tmp_path):
    for name in (b"caf\xe9", b"dog"):
        os.makedirs(os.path.join(os.fsencode(tmp_path), name))
        with open(os.path.join(os.fsencode(tmp_path), name, b"1.png"), "wb") as file:
            file.write(b"\x89PNG")
    with pytest.raises(DataError, match=r"the class 'caf\\udce9' is not UTF-8"):
        open_dataset(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_searched_is_told(tmp_path):
    (tmp_path / "closed" / "data").mkdir(parents=True)
    (tmp_path / "closed").chmod(0)
    try:
        with pytest.raises(DataError, match=r"closed/data: Permission denied \(check the permissions"):
            open_dataset(tmp_path / "closed" / "data")
    finally:
        (tmp_path / "closed").chmod(0o755)


def test_a_checkpoint_that_cannot_be_written_or_read_names_its_path(tmp_path):
    tensors = {"ctx": torch.zeros(2, 3)}
    save_checkpoint(tmp_path, 1, tensors, {})
    (tmp_path / "latest").write_bytes(b"x" * 5000)
    with pytest.raises(CheckpointError, match="latest: larger than"):
        load_checkpoint(tmp_path, {"ctx": torch.Size((2, 3))})
    (tmp_path / "step-00000002").write_text("")
    with pytest.raises(StorageError, match=r"cannot make .*step-00000002: File exists"):
        save_checkpoint(tmp_path, 2, tensors, {})


def test_tensors_larger_than_there_is_room_leave_nothing(tmp_path):
    most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, most[1]))
    try:
        with pytest.raises(StorageError, match=r"cannot write .*a\.safetensors: File too large .*write elsewhere"):
            save_tensors(tmp_path / "a.safetensors", {"a": torch.zeros(5000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, most)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EMFILE, "Too many open files"), "raise the limit"),
        (OSError(errno.EMFILE, "Too many open files", "a/b"), "a/b: Too many open files"),
        (OSError(errno.EACCES, "Permission denied", b"a/\xe9"), r"a/\\udce9: Permission denied"),
        (OSError(errno.ENOSPC, "No space left on device", "a/b"), "a/b cannot be written: No space left"),
        (OSError(errno.ENOSPC, "No space left on device"), "the output cannot be written: No space left"),
    ],
)
def test_what_the_system_refuses_is_one_line_with_its_path(error, said, capsys):
    assert cli._report_os_error("mocoop", error) == 6
    told = capsys.readouterr().err
    assert said.replace("\\\\", "\\") in told
    assert len(told.splitlines()) == 2
