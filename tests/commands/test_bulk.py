"""`mocoop predict-many`, as it is typed."""

from __future__ import annotations

import json
import sys

import pytest
from command_line import call, predict
from datafiles import pixels, put_image
from geotiffs import thirteen_bands
from sources import png, put_tar


@pytest.fixture
def photos(tmp_path):
    for seed in range(5):
        put_image(tmp_path / "photos" / f"{seed}.png", seed)
    (tmp_path / "photos" / "2.png").write_bytes(b"GIF89a")
    return tmp_path / "photos"


def many(run, source, out, *more):
    return call("predict-many", run, source, "-o", out, "--device", "cpu", *more)


def lines(out):
    return [line for part in sorted(out.glob("*.jsonl")) for line in part.read_text().splitlines()]


def test_with_all_of_the_experts_the_lines_are_those_of_predict(runs, photos, tmp_path):
    out = tmp_path / "out"
    code, shown, said = many(runs["all"], photos, out, "--format", "jsonl", "--experts", "full")
    assert code == 0
    expected = predict(runs["all"], photos, "--json", "--experts", "full", "--on-bad-image", "skip").out.splitlines()
    assert lines(out) == expected
    counts = [line.split("\t") for line in shown.splitlines()]
    assert counts[0] == ["class", "images", "share %", "mean probability"]
    assert sum(int(count) for _, count, *_ in counts[1:]) == 4
    assert f"not read: {photos / '2.png'}: this is a GIF" in said
    assert f"{out}: 5 images in 1 part, 1 of them not read" in said


def test_the_second_time_it_goes_on_and_says_the_same(runs, photos, tmp_path):
    first = many(runs["all"], photos, tmp_path / "out", "--part-size", 2)
    (tmp_path / "out" / "part-00001.parquet").unlink()
    second = many(runs["all"], photos, tmp_path / "out", "--part-size", 2)
    assert "going on: 2 of 3 parts are there" in second.err
    assert second.out == first.out
    assert second.code == 0


def test_options_that_change_rows(runs, photos, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("zebra\nyak\nox\n")
    more = ("--classes-file", names, "--top", 2, "--experts", "none", "--precision", "float32", "--threads", 1)
    assert many(runs["all"], photos, tmp_path / "out", "--format", "jsonl", *more).code == 0
    row = json.loads(lines(tmp_path / "out")[0])
    assert len(row["top_k"]) == 2
    assert {guess["class"] for guess in row["top_k"]} <= {"zebra", "yak", "ox"}
    assert "experts" not in row
    code, _, said = many(runs["all"], photos, tmp_path / "out", "--format", "jsonl", *more, "--top", 3)
    assert code == 2
    assert "holds another job: its top is 2, not 3" in said


def test_a_bad_image_can_be_the_end(runs, photos, tmp_path):
    code, _, said = many(runs["all"], photos, tmp_path / "out", "--on-bad-image", "fail")
    assert code == 4
    assert f"{photos / '2.png'}: this is a GIF" in said
    assert not list((tmp_path / "out").glob("part-*"))


def test_columns_links_and_patterns(runs, photos, tmp_path):
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "more").symlink_to(photos)
    table = tmp_path / "link" / "list.csv"
    table.write_text("odd,label\nmore/0.png,1\n")
    refused = many(runs["all"], table, tmp_path / "out", "--columns", "path=odd")
    assert "link that leaves" in refused.err
    assert many(runs["all"], table, tmp_path / "out", "--columns", "path=odd", "--follow-links").code == 0
    put_tar(tmp_path / "a.tar", {"0.png": png(0)})
    assert many(runs["all"], tmp_path / "*.tar", tmp_path / "tars").code == 0


def test_a_rule_for_depths_goes_for_pictures_in_tars_too(runs, tmp_path):
    source = put_tar(tmp_path / "a.tar", {"a.tif": thirteen_bands(pixels(0))})
    shared = ("--format", "jsonl")
    rules = (("--range", "0,4095"), ("--range", "0,600"), ("--range", "0,4095", "--bands", "4,3,2"))
    for number, rule in enumerate(rules):
        assert many(runs["all"], source, tmp_path / str(number), *shared, *rule).code == 0
    assert len({lines(tmp_path / str(number))[0] for number in range(len(rules))}) == len(rules)
    refused = many(runs["all"], source, tmp_path / "none", "--range", "percentile")
    assert refused.code == 2
    assert "needs pictures that are files" in refused.err


def test_another_file_and_an_address_are_refused_with_a_way_out(runs, photos, tmp_path):
    (model := tmp_path / "model.pt2").write_bytes(b"model")
    code, _, said = many(model, photos, tmp_path / "out")
    assert code == 2
    assert f"{model} is a file" in said
    assert "give the folder of the run, or the .onnx file of mocoop export" in said
    code, _, said = many(runs["all"], "https://example.org/photos.tar", tmp_path / "out")
    assert code == 4
    assert "images must be files here, and https://example.org/photos.tar is an address" in said
    assert "download it first" in said


def test_a_cluster_is_asked_for_by_its_engine(runs, photos, tmp_path, monkeypatch):
    for option in (("--workers", 2), ("--address", "auto")):
        code, _, said = many(runs["all"], photos, tmp_path / "out", *option)
        assert code == 2
        assert "--workers and --address belong to a cluster" in said
    monkeypatch.setitem(sys.modules, "ray", None)
    code, _, said = many(runs["all"], photos, tmp_path / "out", "--engine", "ray")
    assert code == 2
    assert "--engine ray needs Ray" in said
    assert "pip install ray" in said


def test_ctrl_c_says_how_to_go_on(runs, photos, tmp_path, monkeypatch):
    monkeypatch.setenv("MOCOOP_SIGNAL_AT", "SIGINT:after-part:0")
    stopped = many(runs["all"], photos, tmp_path / "out", "--part-size", 2)
    assert stopped.code == 130
    assert "the same command again goes on where this one stopped" in stopped.err
    monkeypatch.delenv("MOCOOP_SIGNAL_AT")
    assert "going on: 1 of 3 parts are there" in many(runs["all"], photos, tmp_path / "out", "--part-size", 2).err
