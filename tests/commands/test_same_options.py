"""Every command that opens a data set or reads pictures takes the same options for it, and does the same with them."""

from __future__ import annotations

import shlex
import shutil

import pytest
from command_line import call, info
from geotiffs import converted, four_bands, thirteen_bands
from result_rows import drawn_rows, write_rows

from mocoop.bench.rows import read_rows
from mocoop.commands import mocoop

SOURCE = {"--class-names", "--names-by-position", "--columns", "--follow-links"}
READING = {"--bands", "--range"}
WANTED = {
    **dict.fromkeys(("train", "eval", "bench", "tune"), SOURCE | READING),
    **dict.fromkeys(("predict", "report"), READING),  # pictures only: no data set, no labels
}


def options(name):
    command = mocoop.get_command(None, name)
    return {flag: one.help for one in command.params for flag in one.opts if flag.startswith("--")}


@pytest.mark.parametrize("name", WANTED)
def test_the_options_are_there_and_say_the_same(name):
    found, of_train = options(name), options("train")
    for option in WANTED[name]:
        assert found[option] == of_train[option]


def test_no_command_reads_pictures_without_them():
    reads = {
        name for name in mocoop.list_commands(None) if {"--data", "--images", "--on-bad-image"} & set(options(name))
    }
    assert reads == set(WANTED)


def bench(world, data, out, *more):
    return call(
        "bench", "few-shot", "--data", data, "--device", "cpu", "--no-cache", "--methods", "coop", "--shots", 2,
        "--backbone", f"local-dir:{world['backbone']}", "--set", "epochs=1", "--seeds", 1, "-o", out, *more,
    )  # fmt: skip


def tune(world, data, out, *more):
    return call(
        "tune", "--data", data, "--method", "coop", "--device", "cpu", "--no-cache", "--shots", 2, "--seeds", 1,
        "--backbone", f"local-dir:{world['backbone']}", "--set", "epochs=1", "--trainings", 1, "-o", out, *more,
    )  # fmt: skip


RUNNERS = pytest.mark.parametrize("command", [bench, tune])


def result(path):
    (row,) = read_rows(path)
    return row["accuracy"], row["final_loss"] if "final_loss" in row else None


@RUNNERS
def test_bands_choose_what_is_read(world, tmp_path, command):
    photos = converted(world["photos"], tmp_path / "photos", thirteen_bands)
    told = command(world, photos, tmp_path / "a.jsonl", "--bands", "4,3,2", "--range", "0,4095")
    assert told.code == 0, told.err
    original = command(world, world["photos"], tmp_path / "b.jsonl")
    assert original.code == 0, original.err
    assert result(tmp_path / "a.jsonl") == result(tmp_path / "b.jsonl")
    other = command(world, photos, tmp_path / "a.jsonl", "--bands", "9,8,7")
    assert other.code == 0, other.err
    assert "pictures of uint16 use 12 bits" in other.err
    assert len(read_rows(tmp_path / "a.jsonl")) == 2, "other bands are another measurement"
    refused = command(world, photos, tmp_path / "c.jsonl", "--bands", "0")
    assert refused.code == 2


@RUNNERS
def test_columns_say_what_the_labels_are(world, tmp_path, command):
    photos = shutil.copytree(world["photos"], tmp_path / "photos")
    rows = [
        (path.relative_to(photos).as_posix(), path.parent.name, path.parent.parent.name)
        for path in sorted(photos.rglob("*.png"))
    ]
    table = photos / "photos.csv"
    table.write_text("where,which,part\n" + "".join(f"{','.join(row)}\n" for row in rows))
    assert command(world, table, tmp_path / "x.jsonl").code == 4
    told = command(world, table, tmp_path / "a.jsonl", "--columns", "path=where,label=which,split=part")
    assert told.code == 0, told.err
    assert command(world, world["photos"], tmp_path / "b.jsonl").code == 0
    assert result(tmp_path / "a.jsonl") == result(tmp_path / "b.jsonl")


@RUNNERS
def test_links_are_followed_if_asked(world, tmp_path, command):
    photos = shutil.copytree(world["photos"], tmp_path / "photos")
    one = next(iter(sorted((photos / "train").rglob("*.png"))))
    shutil.move(one, tmp_path / "elsewhere.png")
    one.symlink_to(tmp_path / "elsewhere.png")
    refused = command(world, photos, tmp_path / "a.jsonl")
    assert "a link that leaves" in refused.err
    assert command(world, photos, tmp_path / "a.jsonl", "--follow-links").code == 0


def test_the_command_that_tune_ends_with_reads_the_same_pictures(world, tmp_path):
    photos = converted(world["photos"], tmp_path / "photos", thirteen_bands)
    found = tune(world, photos, tmp_path / "t.jsonl", "--bands", "4,3,2", "--range", "0,4095", "--follow-links")
    command = shlex.split(found.err.splitlines()[-1].partition("mocoop ")[2])
    trained = call(*command[: command.index("-o")], "-o", tmp_path / "run", "--device", "cpu", "--no-cache")
    assert trained.code == 0, trained.err
    reading = info(tmp_path / "run")["data"]["reading"]
    assert (reading["bands"], reading["limits"]) == ([4, 3, 2], [0, 4095])
    assert "--follow-links" in command


def test_a_report_shows_images_by_the_bands_asked_for(world, runs, tmp_path):
    photos = converted(world["photos"], tmp_path / "photos", four_bands)
    results = write_rows(tmp_path / "results.jsonl", drawn_rows(seeds=(1,), methods=("coop", "mocoop")))
    pages = {}
    for name, more in {"plain": (), "bands": ("--bands", "3,2,1"), "unused": ("--range", "0,9")}.items():
        told = call("report", results, "--run", runs["all"], "--images", photos / "test", "-o", tmp_path / f"{name}.html",
                    *more)  # fmt: skip
        assert told.code == 0, told.err
        pages[name] = (tmp_path / f"{name}.html").read_text()
    assert pages["plain"] != pages["bands"]
    assert pages["plain"] == pages["unused"]
    assert "--range is not used" in told.err
    alone = call("report", results, "-o", tmp_path / "r.html", "--bands", "3,2,1")
    assert (alone.code, "--bands and --range are for --images" in alone.err) == (2, True)
