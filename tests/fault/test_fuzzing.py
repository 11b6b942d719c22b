"""What changing files by chance has found, each mended as a kind; and a short run of it (benchmarks/fuzz.py)."""

from __future__ import annotations

import io
import json
import struct
import sys
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path

import click
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from worlds import GROUPS

from mocoop import cli
from mocoop.data.arrays import read_features
from mocoop.data.classnames import final_names
from mocoop.data.images import open_image
from mocoop.data.reading import Reading
from mocoop.data.sources import open_dataset
from mocoop.errors import DataError, ImageError
from mocoop.grouping.editing.journal import Journal

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def fuzz(monkeypatch):
    """The benchmark, whose modules and settings are gone afterwards."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in ("MOCOOP_CACHE", "MOCOOP_STATE", "SOURCE_DATE_EPOCH"):
        monkeypatch.setenv(name, "0")  # it sets them; here they become as they were
    threads = torch.get_num_threads()
    import fuzz

    yield fuzz
    torch.set_num_threads(threads)
    for name in ("fuzz", "fuzz_kinds", "fuzz_changes"):
        del sys.modules[name]


def test_a_few_changes_of_files_that_need_no_training(fuzz, capsys):
    few_changes(fuzz, [name for name, kind in fuzz.KINDS.items() if not kind.learned], capsys)


@pytest.mark.slow
def test_a_few_changes_of_what_a_training_leaves_or_reads(fuzz, capsys):
    few_changes(fuzz, [name for name, kind in fuzz.KINDS.items() if kind.learned], capsys)


def few_changes(fuzz, names, capsys):
    assert fuzz.run(names, seed=0, seconds=60, tries=3)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"{3 * len(names)} tries, 0 escapes, 0 silent"
    assert [line.split("  ")[0] for line in lines[1:-1]] == names


@pytest.mark.parametrize(
    "changes",
    [{"steps": ["a"]}, {"steps": [["a"]]}, {"steps": {"a": 1}}, {"steps": "a", "done": 1}, {"done": 1.0},
     {"done": True}, {"done": "1"}, {"steps": [{}]}, {"format": True, "steps": None}],
)  # fmt: skip
@pytest.mark.parametrize("command", ["undo", "redo"])
def test_an_undo_journal_whose_values_are_of_another_type(typed, written, command, changes):
    path = written("groups.json", json.dumps(GROUPS))
    assert typed("lock", path, "plain").code == 0
    locked, journal = path.read_bytes(), Journal(path).folder / "journal.json"
    journal.write_text(json.dumps({**json.loads(journal.read_text()), **changes}))
    done = typed(command, path)
    assert (done.code, path.read_bytes()) == (6, locked)
    assert "is no undo journal of this version" in done.err


@pytest.mark.parametrize("command", ["undo", "lock"])
def test_a_folder_where_an_undo_journal_keeps_a_content(typed, written, command):
    path = written("groups.json", json.dumps(GROUPS))
    assert typed("lock", path, "plain").code == 0
    for kept in [file for file in Journal(path).folder.iterdir() if file.suffix != ".json"]:
        kept.unlink()
        kept.mkdir()
    done = typed(command, path, *(["blurry"] if command == "lock" else []))
    assert done.code == (6 if command == "undo" else 0)
    assert ("cannot be undone" in done.err) == (command == "lock")


def test_a_row_of_templates_that_ends_before_the_column_of_groups(typed, written):
    done = typed("import", written("pool.csv", "template,group\na photo of a {}.,plain\na sketch of a {}.\n"))
    assert done.code == 3
    assert "pool.csv:3" in done.err
    assert "the row names no group" in done.err


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("member", ["classnames", "paths"])
def test_texts_of_an_npz_that_hold_what_is_no_character(tmp_path, order, member):
    arrays = {"features": np.ones((2, 3), np.float32), "labels": np.arange(2), "classnames": np.array(["a", "b"])}
    codes = np.array([[65, 0], [0x110000, 66]], f"{order}u4")
    np.savez(tmp_path / "f.npz", **{**arrays, member: codes.view(f"{order}U2").reshape(-1)})
    with pytest.raises(DataError, match=rf"{member}\.npy holds what is no character"):
        open_dataset(tmp_path / "f.npz")


@pytest.mark.parametrize("packed", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_packed_array_with_one_byte_changed_anywhere(tmp_path, packed):
    np.save(written := io.BytesIO(), np.arange(60, dtype=np.float32).reshape(20, 3))
    with zipfile.ZipFile(tmp_path / "f.npz", "w", packed) as archive:
        archive.writestr("features.npy", written.getvalue())
    whole = (tmp_path / "f.npz").read_bytes()
    for place in range(len(whole)):
        (tmp_path / "f.npz").write_bytes(whole[:place] + b"\xff" + whole[place + 1 :])
        with suppress(DataError):
            read_features(tmp_path / "f.npz")


@pytest.mark.parametrize("tag", [256, 257, 277, 274, 317, 284])
def test_a_tag_of_a_tiff_with_several_values_or_another_type(tag):
    tifffile.imwrite(written := io.BytesIO(), np.ones((8, 8, 4), np.uint16), planarconfig="contig", predictor=False)
    data = bytearray(written.getvalue())
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    entries = [start + 2 + 12 * number for number in range(count)]
    for kind, values in ((3, 2), (2, 4), (5, 1), (12, 1), (7, 4)):  # two shorts, a text, a fraction, a double, bytes
        changed = bytearray(data)
        for entry in entries:
            if struct.unpack_from("<H", data, entry) == (tag,):
                struct.pack_into("<HI", changed, entry + 2, kind, values)
        with suppress(ImageError):
            assert open_image(bytes(changed), reading=Reading(bits=12)).mode == "RGB"


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_pixels_that_are_signalling_nans_or_no_value_of_their_type_warn_of_nothing():
    for bits, kind, text in ((0x7F800001, np.float32, "1e39"), (0x7C01, np.float16, "70000")):
        values = np.full((16, 16), bits, np.dtype(f"u{np.dtype(kind).itemsize}")).view(kind)
        values[0] = 3
        extra = [(42113, "s", 0, text, True)]
        tifffile.imwrite(written := io.BytesIO(), values, metadata=None, photometric="minisblack", extratags=extra)
        image = np.asarray(open_image(written.getvalue(), reading=Reading(limits=(0.0, 6.0))))
        assert (image[0] == 128).all()
        assert (image[1:] == 0).all()


def test_a_command_shows_no_warning_of_the_library_that_reads_pictures(tmp_path):
    cut = b"Exif\0\0II*\0\x08\0\0\0\x09\0"  # nine tags, and then none
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.jpg", exif=cut)
    with pytest.warns(UserWarning, match="Corrupt EXIF"):
        open_image(tmp_path / "a.jpg")
    command = click.Command("a", callback=lambda: open_image(tmp_path / "a.jpg") and None)
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("default")
        with pytest.raises(SystemExit, match="0"):
            cli.run(command, "a", [])
    assert shown == []


@pytest.mark.parametrize("name", ["t.csv", "t.tsv"])
def test_a_first_line_longer_than_a_cell_may_be(tmp_path, name):
    (tmp_path / name).write_text("x" * 200_000 + ",label\na.png,dog\n")
    with pytest.raises(DataError, match=rf"{name}:1: field larger than field limit"):
        open_dataset(tmp_path / name)


@pytest.mark.parametrize("other", [3, None, True, 0.5])
def test_a_split_file_with_a_split_that_is_no_list(tmp_path, other):
    for splits in ({"val": other, "train": [["a.png", 0, "dog"]]}, {"train": [["a.png", 0, "dog"]], "test": other}):
        (tmp_path / "splits.json").write_text(json.dumps(splits))
        with pytest.raises(DataError, match="not an object of lists"):
            open_dataset(tmp_path / "splits.json")


@pytest.mark.parametrize("name", ["names.txt", "names.csv", "names.json"])
@pytest.mark.parametrize("line", ["a b - " * 20_000, "9" * 5000 + " dog"], ids=["separators", "digits"])
def test_a_line_of_class_names_too_long_to_be_tried_at_every_space(tmp_path, name, line):
    lines = [line, "cat"]
    (tmp_path / name).write_text(json.dumps(lines) if name.endswith("json") else "\n".join(lines))
    with pytest.raises(DataError, match=r"\.\.\." + f'" has {len(line.strip()):,} characters'):
        final_names(["dog", "cat"], given=tmp_path / name)
