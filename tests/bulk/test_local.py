"""Bulk prediction on one machine: what is said meanwhile, and that a kill costs no image and doubles none."""

from __future__ import annotations

import random
import signal

import pytest
from datafiles import put_image
from killing import attempts
from sources import png, put_parquet, put_tar

from mocoop.bulk.jobs import prepare
from mocoop.bulk.local import predict_here
from mocoop.bulk.options import Options
from mocoop.bulk.progress import Progress
from mocoop.errors import DataError

KILLS = 10


def content(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


class TestProgress:
    def test_it_says_parts_images_pace_and_the_time_left(self, run, photos, tmp_path):
        now, said = [0.0], []

        def clock():
            now[0] += 1
            return now[0]

        job = prepare(Options(run.path, device="cpu"), str(photos), tmp_path / "out", form="jsonl", part_size=4)
        predict_here(job, Progress(job, say=said.append, clock=clock, every=2), said.append)
        assert said[0].startswith("0 of 3 parts written  4 of 9 images  ")
        assert "a second  left 0:" in said[0]

    def test_tars_are_counted_by_parts(self, run, tmp_path):
        for name in "ab":
            put_tar(tmp_path / f"{name}.tar", {"0.png": png(0), "1.png": png(1)})
        job = prepare(Options(run.path, device="cpu"), str(tmp_path), tmp_path / "out", form="jsonl")
        progress = Progress(job)
        assert progress.line().startswith("0 of 2 parts written  0 images  ")
        assert progress.line().endswith("left -:--")
        predict_here(job, progress, print)
        assert progress.line().startswith("2 of 2 parts written  4 images  ")


def test_a_tar_that_is_damaged_is_a_row_and_no_end(bulk, tmp_path):
    for name in "abc":
        put_tar(tmp_path / "in" / f"{name}.tar", {"0.png": png(0), "1.png": png(1)})
    second = tmp_path / "in" / "b.tar"
    second.write_bytes(second.read_bytes()[:1100])
    job, _ = bulk(tmp_path / "in", tmp_path / "out")
    rows = [row for number in range(3) for row in job.parts.rows(number)]
    assert ["error" in row for row in rows] == [False, False, False, True, False, False]
    with pytest.raises(DataError, match=r"b\.tar: .*cut"):
        bulk(tmp_path / "in", tmp_path / "other", on_bad_image="fail")


SHARD, SHARDS = 8, 24


def kinds(folder):
    """The same pictures, one of them cut, as files, as tars and as rows."""
    pictures = {f"{seed:03d}.png": png(seed) for seed in range(SHARD * SHARDS)}
    pictures["037.png"] = pictures["037.png"][:-9]
    for name, data in pictures.items():
        put_image(folder / "files" / name).write_bytes(data)
    names = list(pictures)
    for number in range(SHARDS):
        some = names[SHARD * number : SHARD * (number + 1)]
        put_tar(folder / "tars" / f"{number:02d}.tar", {name: pictures[name] for name in some})
    table = put_parquet(folder / "rows.parquet", {"image": list(pictures.values())}, rows_a_group=SHARD)
    return {"files": folder / "files", "tars": folder / "tars", "rows": table}


def places_of(seed):
    """Where each attempt is killed: at one of its first rows, or when its first part has just been written."""
    chance, done, places = random.Random(seed), 0, []
    for _ in range(KILLS):
        row = chance.randrange(2 * SHARD)
        after = chance.random() < 0.3
        places.append(f"SIGKILL:after-part:{done}" if after else f"SIGKILL:bulk-row:{row}")
        done += 1 if after else row // SHARD
    return places


@pytest.mark.slow  # eleven starts of the command for each kind of source
@pytest.mark.parametrize(
    ("kind", "form", "seed"),
    [
        ("files", "parquet", 1),
        pytest.param("tars", "jsonl", 2, marks=pytest.mark.whole),
        pytest.param("rows", "parquet", 3, marks=pytest.mark.whole),
    ],
)
def test_ten_kills_at_random_leave_the_same_bytes(run, tmp_path, kind, form, seed):
    """Whatever was whole is kept, and the folder ends as if nothing had happened."""
    source = kinds(tmp_path)[kind]
    command = ["predict-many", run.path, source, "--part-size", SHARD, "--format", form, "--device", "cpu"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    places = [(whole, ""), *((killed, place) for place in places_of(seed)), (killed, "")]
    ended, said = attempts([*command, "--threads", 1], [(("-o", out), place) for out, place in places])
    assert ended == [0, *[-signal.SIGKILL] * KILLS, 0], said
    assert content(killed) == content(whole)
