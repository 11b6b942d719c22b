"""From a source to shards: what each kind of source is, and how it is cut."""

from __future__ import annotations

import json
import os
import pickle

import pytest
from datafiles import put_image
from sources import png, put_parquet, put_tar

from mocoop.bulk.shards import open_source
from mocoop.errors import DataError, UsageError

PNGS = {f"{seed}.png": png(seed) for seed in range(5)}


def names(source):
    return [[item.name for item in shard.items()] for shard in source.shards]


def opened(path, part_size=2, **how):
    return open_source(str(path), part_size=part_size, **how)


def test_a_folder_is_cut_into_parts_in_the_order_of_its_paths(photos):
    source = opened(photos, 4)
    assert source.kind == "folder"
    assert names(source) == [[str(photos / name) for name in part] for part in (
        ["0.png", "1.png", "2.png", "3.png"], ["4.png", "5.png", "6.png", "7.png"], ["more/8.png"],
    )]  # fmt: skip
    assert [shard.images for shard in source.shards] == [4, 4, 1]


def test_a_relative_folder_keeps_its_names_and_is_found_from_elsewhere(photos, monkeypatch, tmp_path):
    monkeypatch.chdir(photos)
    source = pickle.loads(pickle.dumps(opened(".", 100)))  # as it is sent to a cluster
    monkeypatch.chdir(tmp_path)
    (shard,) = source.shards
    first = next(iter(shard.items()))
    assert first.name == "0.png"
    assert first.content.is_file()


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "json", "parquet"])
def test_a_table_needs_no_labels(tmp_path, form):
    paths = [f"{seed}.png" for seed in range(5)]
    for seed, name in enumerate(paths):
        put_image(tmp_path / name, seed)
    table = tmp_path / f"list.{form}"
    if form == "parquet":
        put_parquet(table, {"file_name": paths, "other": [1] * 5})
    elif form == "json":
        table.write_text(json.dumps([{"file_name": path} for path in paths]))
    elif form == "jsonl":
        table.write_text("".join(json.dumps({"file_name": path}) + "\n" for path in paths))
    else:
        separator = "," if form == "csv" else "\t"
        table.write_text("".join(f"{path}{separator}1\n" for path in ["file_name", *paths]))
    source = opened(table)
    assert source.kind == "table"
    assert names(source) == [[str(tmp_path / name) for name in paths[a : a + 2]] for a in (0, 2, 4)]
    assert source.notes == ("columns: file_name is the path",)


def test_a_table_keeps_the_rules_of_training(tmp_path):
    put_image(tmp_path / "a.png")
    table = tmp_path / "list.csv"
    table.write_text("odd\na.png\n")
    with pytest.raises(DataError, match='no column "path"'):
        opened(table)
    assert names(opened(table, columns={"path": "odd"})) == [[str(tmp_path / "a.png")]]
    with pytest.raises(UsageError):
        opened(table, columns={"what": "odd"})
    table.write_text("path\n../a.png\n")
    with pytest.raises(DataError, match=r"list.csv:2: .*climbs out"):
        opened(table)
    (tmp_path / "link.png").symlink_to("/etc/hostname")
    table.write_text("path\nlink.png\n")
    with pytest.raises(DataError, match="link that leaves"):
        opened(table)
    assert names(opened(table, follow_links=True)) == [[str(tmp_path / "link.png")]]


def test_missing_files_of_a_table_are_noted_and_all_missing_refused(tmp_path):
    put_image(tmp_path / "a.png")
    table = tmp_path / "list.csv"
    table.write_text("path\na.png\nb.png\n")
    assert "1 of 2 listed images are missing" in opened(table).notes
    table.write_text("path\nc.png\nb.png\n")
    with pytest.raises(DataError, match="none of the 2 listed images"):
        opened(table)


def test_tars_are_one_a_folder_or_a_pattern_and_a_shard_each(tmp_path):
    for name in ("b.tar", "a.tar"):
        put_tar(tmp_path / name, PNGS)
    expected = [[f"{tmp_path}/{tar}/{name}" for name in PNGS] for tar in ("a.tar", "b.tar")]
    assert names(opened(tmp_path)) == expected
    assert names(opened(tmp_path / "*.tar")) == expected
    assert names(opened(tmp_path / "a.tar")) == expected[:1]
    assert [shard.images for shard in opened(tmp_path).shards] == [None, None]


def test_row_groups_are_joined_up_to_a_part(tmp_path):
    path = put_parquet(tmp_path / "a.parquet", {"image": list(PNGS.values())}, rows_a_group=1)
    source = opened(path)
    assert source.kind == "parquet"
    assert names(source) == [[f"{path}/{row}" for row in part] for part in ([0, 1], [2, 3], [4])]
    assert [shard.images for shard in source.shards] == [2, 2, 1]
    large = put_parquet(tmp_path / "b.parquet", {"image": list(PNGS.values())}, rows_a_group=3)
    assert [len(part) for part in names(opened(large))] == [3, 2]
    assert [len(part) for part in names(opened(tmp_path))] == [2, 2, 1, 3, 2]


def test_what_is_no_source_is_told(tmp_path):
    (tmp_path / "empty").mkdir()
    for path, said in (
        (tmp_path / "none", "there is nothing at"),
        (tmp_path / "empty", "has no images"),
        (tmp_path / "a.tar.gz", "unpack it to a plain .tar"),
    ):
        with pytest.raises(DataError, match=said) as caught:
            opened(path)
        assert caught.value.hint
    (tmp_path / "a.doc").write_text("x")
    with pytest.raises(DataError, match="no source of images"):
        opened(tmp_path / "a.doc")
    with pytest.raises(DataError, match="finds other files"):
        opened(tmp_path / "*.doc")
    put_tar(tmp_path / "mixed" / "a.tar", PNGS)
    put_image(tmp_path / "mixed" / "b.png")
    with pytest.raises(DataError, match=r"several kinds of source: \.tar, images"):
        opened(tmp_path / "mixed")


def test_the_identity_changes_with_any_file_and_with_nothing_else(tmp_path):
    for seed in range(3):
        put_image(tmp_path / f"{seed}.png", seed)
    first = opened(tmp_path).identity
    assert opened(tmp_path, 1).identity == first
    stat = os.stat(tmp_path / "1.png")
    os.utime(tmp_path / "1.png", ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    second = opened(tmp_path).identity
    os.rename(tmp_path / "1.png", tmp_path / "1b.png")
    assert len({first, second, opened(tmp_path).identity}) == 3
