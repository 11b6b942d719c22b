"""Pictures in tars: as tarfile writes them, and as a stranger might."""

from __future__ import annotations

import gzip
import os
import tarfile
import tracemalloc

import pytest
from sources import header, png, put_tar

from mocoop.bulk import items, tars
from mocoop.bulk.tars import pictures_in

END = bytes(1024)
PICTURE = png(0)
PADDED = PICTURE + bytes(-len(PICTURE) % 512)


def read(path):
    return list(pictures_in(path, "a.tar"))


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_pictures_come_in_order_and_what_lies_beside_them_does_not(tmp_path, form):
    members = {"0.png": png(0), "0.json": b"{}", "0.cls": b"3", "deep/1.JPG": png(1), "0.npy": b"x", "._2.png": b"mac"}
    found = read(put_tar(tmp_path / "a.tar", members, form))
    assert found == [("a.tar/0.png", png(0)), ("a.tar/deep/1.JPG", png(1))]


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("name", [f"{'long/' * 60}a.png", "ünï/日本.png"])
def test_long_and_foreign_names_are_read_as_tarfile_reads_them(tmp_path, form, name):
    path = put_tar(tmp_path / "a.tar", {name: PICTURE, "short.png": PICTURE}, form)
    assert [one.name for one in read(path)] == [f"a.tar/{name}", "a.tar/short.png"]


def test_a_format_that_is_not_read_has_a_place_so_that_its_row_says_so(tmp_path):
    assert read(put_tar(tmp_path / "a.tar", {"a.gif": b"GIF89a"})) == [("a.tar/a.gif", b"GIF89a")]


def test_names_that_climb_out_are_text_and_nothing_is_written(tmp_path):
    names = ["/etc/a.png", "../../b.png", "c/../../d.png", "e\nf.png"]
    (tmp_path / "in").mkdir()
    found = read(put_tar(tmp_path / "in" / "a.tar", dict.fromkeys(names, PICTURE)))
    assert [one.name for one in found] == [f"a.tar/{name}" for name in names]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.tar", "in"]


def test_a_name_that_is_no_text_is_escaped(tmp_path):
    path = tmp_path / "a.tar"
    block = bytearray(header("xyz.png", len(PICTURE)))
    block[0] = 0xFF
    block[148:156] = b"%06o\0 " % (sum(block[:148]) + 8 * 32 + sum(block[156:]))
    path.write_bytes(bytes(block) + PADDED + END)
    assert read(path)[0].name == "a.tar/\\udcffyz.png"


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_link_is_never_followed_and_the_next_picture_is_read(tmp_path, kind):
    (tmp_path / "secret.png").write_bytes(PICTURE)
    path = tmp_path / "a.tar"
    link = header("a.png", kind=kind, linkname=str(tmp_path / "secret.png"))
    path.write_bytes(link + header("b.png", len(PICTURE)) + PADDED + END)
    assert read(path) == [("a.tar/a.png", "a link inside a tar, which is not followed"), ("a.tar/b.png", PICTURE)]


def test_devices_pipes_and_folders_are_passed_over(tmp_path):
    kinds = (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE)
    path = tmp_path / "a.tar"
    path.write_bytes(
        b"".join(header("a.png", kind=kind) for kind in kinds) + header("b.png", len(PICTURE)) + PADDED + END
    )
    assert read(path) == [("a.tar/b.png", PICTURE)]


def test_a_picture_that_is_too_large_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(tars, "MAX_INSIDE", 1000)
    monkeypatch.setattr(items, "MAX_INSIDE", 1000)
    path = put_tar(tmp_path / "a.tar", {"a.png": bytes(1001), "b.png": PICTURE})
    assert read(path) == [("a.tar/a.png", "1,001 bytes, more than 1,000"), ("a.tar/b.png", PICTURE)]


@pytest.mark.parametrize("size", [2**20, 2**40, 2**62, -1, -(2**40)])
def test_a_size_that_is_not_there_ends_the_tar_with_a_reason(tmp_path, size):
    path = tmp_path / "a.tar"
    path.write_bytes(header("a.png", len(PICTURE)) + PADDED + header("b.png", size) + PADDED + END)
    first, last = read(path)
    assert first == ("a.tar/a.png", PICTURE)
    assert last.name == "a.tar"
    assert "cut" in last.content
    assert str(len(path.read_bytes()))[:1] in last.content


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_an_endless_name_is_not_read(tmp_path, kind):
    path = tmp_path / "a.tar"
    path.write_bytes(header("x", 50_000_000, kind) + b"9")
    os.truncate(path, 60_000_000)
    tracemalloc.start()
    (last,) = read(path)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
    assert "a name of 50,000,000 bytes" in last.content


@pytest.mark.parametrize(
    "records",
    [b"zz path=a.png\n", b"999 path=a.png\n", b"0 path=a.png\n", b"5\n", b"99999999999999999999 a=b\n",
     b"14 size=12x45\n", b"15 size=-10000\n", b"19 size=" + "¹²³".encode() + b"1234\n"],
)  # fmt: skip
def test_a_pax_header_that_lies_ends_the_tar_with_a_reason(tmp_path, records):
    path = tmp_path / "a.tar"
    pax = header("x", len(records), tarfile.XHDTYPE) + records.ljust(512, b"\0")
    path.write_bytes(pax + header("b.png", len(PICTURE)) + PADDED + END)
    (last,) = read(path)
    assert last.name == "a.tar"
    assert "damaged" in last.content


def test_a_sparse_file_is_told(tmp_path):
    path = tmp_path / "a.tar"
    record = b"22 GNU.sparse.major=1\n"
    path.write_bytes(header("x", len(record), tarfile.XHDTYPE) + record.ljust(512, b"\0") + header("a.png", 0) + END)
    assert "sparse" in read(path)[0].content


@pytest.mark.parametrize("cut", [1, 511, 512, 600])
def test_a_tar_that_was_cut_says_so_after_what_is_whole(tmp_path, cut):
    path = tmp_path / "a.tar"
    path.write_bytes((header("a.png", len(PICTURE)) + PADDED + header("b.png", len(PICTURE)) + PADDED)[:-cut])
    found = read(path)
    assert found[0] == ("a.tar/a.png", PICTURE)
    assert found[-1].name == "a.tar"
    assert "cut" in found[-1].content


def test_a_damaged_header_in_the_middle_is_no_end(tmp_path):
    """tarfile takes it for one: half of the pictures would be lost without a word."""
    path = tmp_path / "a.tar"
    path.write_bytes(
        header("a.png", len(PICTURE)) + PADDED + b"\1" * 512 + header("b.png", len(PICTURE)) + PADDED + END
    )
    assert [one.name for one in read(path)] == ["a.tar/a.png", "a.tar"]


def test_no_tar_at_all(tmp_path):
    for content, said in ((b"", "cut"), (b"hello" * 300, "damaged"), (gzip.compress(bytes(9000)), "gunzip")):
        (tmp_path / "a.tar").write_bytes(content)
        (only,) = read(tmp_path / "a.tar")
        assert said in only.content
    assert "cannot be read" in read(tmp_path / "none.tar")[0].content


def test_a_great_many_empty_members_cost_no_memory_and_have_an_end(tmp_path, monkeypatch):
    path = tmp_path / "a.tar"
    path.write_bytes(header("note.txt") * 5_000 + END)
    tracemalloc.start()
    assert read(path) == []
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
    monkeypatch.setattr(tars, "MAX_HEADERS", 1000)
    (last,) = read(path)
    assert "more than 1,000 members" in last.content
