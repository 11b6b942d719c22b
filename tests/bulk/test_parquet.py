"""Pictures inside Parquet: bytes, Hugging Face's structs, row groups, and what a stranger might write."""

from __future__ import annotations

import random

import pyarrow as arrow
import pytest
from sources import png, put_parquet

from mocoop.bulk import parquet
from mocoop.bulk.parquet import Column, picture_column, pictures_in, row_groups
from mocoop.errors import DataError

PNGS = [png(seed) for seed in range(20)]


def read(path, column, groups, first=0):
    return list(pictures_in(path, "a.parquet", column, groups, first))


def test_a_column_of_bytes_is_read_row_by_row(tmp_path):
    path = put_parquet(tmp_path / "a.parquet", {"image": PNGS, "label": list(range(20))}, rows_a_group=6)
    column = picture_column(path)
    assert column == Column("image", False, None)
    assert row_groups(path) == [6, 6, 6, 2]
    found = read(path, column, range(1, 3), first=6)
    assert found == [(f"a.parquet/{row}", PNGS[row]) for row in range(6, 18)]


def test_hugging_faces_struct_gives_the_path_too(tmp_path):
    images = [
        {"bytes": PNGS[0], "path": "x/0.png"},
        {"bytes": PNGS[1], "path": None},
        {"bytes": None, "path": "2.png"},
        None,
    ]
    path = put_parquet(tmp_path / "a.parquet", {"tile": images, "n": [0, 1, 2, 3]})
    column = picture_column(path)
    assert column == Column("tile", True, None)
    none = "there is no picture in this row"
    expected = [
        ("a.parquet/x/0.png", PNGS[0]),
        ("a.parquet/1", PNGS[1]),
        ("a.parquet/2.png", none),
        ("a.parquet/3", none),
    ]
    assert read(path, column, range(1)) == expected


def test_a_text_column_names_the_rows(tmp_path):
    path = put_parquet(tmp_path / "a.parquet", {"file_name": ["b.png", "../c.png"], "jpg": PNGS[:2]})
    found = read(path, picture_column(path), range(1))
    assert [one.name for one in found] == ["a.parquet/b.png", "a.parquet/../c.png"]


def test_which_column_holds_the_pictures(tmp_path):
    two = put_parquet(tmp_path / "two.parquet", {"image": PNGS[:1], "png": PNGS[:1], "path": ["a"]})
    with pytest.raises(DataError, match="several columns hold bytes: image, png"):
        picture_column(two)
    assert picture_column(two, "png").pictures == "png"
    assert picture_column(two, "path") is None  # a table of paths
    with pytest.raises(DataError, match='no column "pgn"'):
        picture_column(two, "pgn")
    beside = put_parquet(tmp_path / "beside.parquet", {"path": ["a"], "embedding": [b"x"]})
    assert picture_column(beside) is None
    alone = put_parquet(tmp_path / "alone.parquet", {"odd": PNGS[:1]})
    assert picture_column(alone).pictures == "odd"


def test_a_picture_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "MAX_INSIDE", 200)
    path = put_parquet(tmp_path / "a.parquet", {"image": [bytes(201), b"x"]})
    assert [type(one.content) for one in read(path, picture_column(path), range(1))] == [str, bytes]


def test_a_file_that_unpacks_to_very_much_is_refused(tmp_path):
    path = put_parquet(tmp_path / "a.parquet", {"image": [bytes(20_000_000)]}, compression="zstd")
    with pytest.raises(DataError, match="bytes unpack to 20,000"):
        row_groups(path)


def test_no_parquet_at_all(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1" + bytes(100) + b"PAR1")
    with pytest.raises(DataError, match="no Parquet file that can be read"):
        picture_column(tmp_path / "a.parquet")


def test_a_damaged_row_group_ends_with_a_reason(tmp_path):
    path = put_parquet(
        tmp_path / "a.parquet", {"image": PNGS}, rows_a_group=10, compression="zstd", use_dictionary=False
    )
    column = picture_column(path)
    whole = bytearray(path.read_bytes())
    at = arrow.parquet.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    whole[at + 40 : at + 400] = bytes(360)
    path.write_bytes(bytes(whole))
    assert len(read(path, column, range(1))) == 10
    found = read(path, column, range(1, 2), first=10)
    assert found[-1].name == "a.parquet"
    assert found[-1].content.startswith("damaged after row 10")


@pytest.mark.parametrize("seed", range(30))
def test_any_damage_is_a_reason_or_a_picture(tmp_path, seed):
    """Bytes overwritten anywhere: an error of ours, or items; nothing else comes out."""
    path = put_parquet(tmp_path / "a.parquet", {"image": PNGS[:4], "id": list("abcd")}, rows_a_group=2)
    data, chance = bytearray(path.read_bytes()), random.Random(seed)
    for _ in range(3):
        data[chance.randrange(len(data))] = chance.randrange(256)
    path.write_bytes(bytes(data))
    try:
        column = picture_column(path)
        items = read(path, column, range(len(row_groups(path)))) if column else []
    except DataError:
        return
    assert all(isinstance(one.content, (bytes, str)) for one in items)
