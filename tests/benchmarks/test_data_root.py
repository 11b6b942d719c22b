"""Every protocol of `mocoop bench` on a drawn data root in CoOp's layout: all fifteen data sets."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest
from command_line import call

from mocoop.bench.rows import read_rows, select
from mocoop.data.coop import LAYOUTS
from mocoop.data.sources import open_dataset
from mocoop.data.templates import own_template

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "draw_data_root.py"
VARIANTS = {"imagenetv2", "imagenet_sketch", "imagenet_a", "imagenet_r"}
ELEVEN = {layout.name for layout in LAYOUTS} - VARIANTS


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("draw_data_root", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(__import__("sys").modules, "draw_data_root", module)
        spec.loader.exec_module(module)
        yield module


@pytest.fixture(scope="module")
def root(script, tmp_path_factory):
    return script.draw_data_root(tmp_path_factory.mktemp("data"), script.Sizes(2, 1, 2))


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """One cache for all tests here: an image is encoded once."""
    folder = tmp_path_factory.getbasetemp() / "bench-cache"
    monkeypatch.setenv("MOCOOP_CACHE", str(folder))


def bench(protocol, root, out, *more, methods="zero-shot,mocoop", code=0):
    done = call(
        "bench", protocol, "--data-root", root, "--groups", "paper", "--methods", methods, "--seeds", 1, "--shots", 1,
        "--set", "epochs=1", "--set", "batch_size=8", "--device", "cpu", "-o", out, *more,
    )  # fmt: skip
    assert done.code == code, done.err
    return read_rows(out), done


def test_each_layout_is_read_as_the_data_set_it_is(root):
    for layout in LAYOUTS:
        dataset = open_dataset(root / layout.folder)
        assert dataset.name == layout.name
        assert len(dataset.classnames) >= 2
        assert set(dataset.counts("test")) == {2}
        if layout.name not in VARIANTS:
            assert set(dataset.counts("train")) == {2}
    assert open_dataset(root / "imagenet-adversarial").classnames == ("stingray", "goldfinch")
    assert open_dataset(root / "ucf101").classnames[1] == "Apply Eye Makeup"


def test_the_same_seed_draws_the_same_root(script, tmp_path):
    sizes = script.Sizes(1, 0, 1)
    one, two, other = (script.draw_data_root(tmp_path / str(n), sizes, seed) for n, seed in enumerate((3, 3, 4)))
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert all((one / name).read_bytes() == (two / name).read_bytes() for name in files)
    assert any((one / name).read_bytes() != (other / name).read_bytes() for name in files)


def test_base_to_new_on_all_that_can_be_trained_on(root, tmp_path):
    rows, _ = bench("base-to-new", root, tmp_path / "r.jsonl", "--datasets", "all")
    assert {row["dataset"] for row in rows} == ELEVEN
    assert len(rows) == 2 * len(ELEVEN)
    for row in rows:
        base, new, both = (row["accuracy"][part] for part in ("base", "new", "H"))
        assert both == pytest.approx(2 * base * new / (base + new) if base + new else 0)
        assert row["images"]["base"] >= row["images"]["new"] > 0
    for row in select(rows, method="mocoop"):
        assert row["groups"]["file"] == f"{row['dataset']}.json"
        assert len(row["groups"]["ids"]) > 1
    for row in select(rows, method="zero-shot"):
        assert row["config"]["template"] == own_template(row["dataset"], "zero-shot")


def test_few_shot_on_all_classes(root, tmp_path):
    rows, _ = bench("few-shot", root, tmp_path / "r.jsonl", "--datasets", "eurosat,fgvc_aircraft", "--shots", "1,2")
    assert {(row["dataset"], row["method"], row["shots"]) for row in rows} == {
        (dataset, method, shots)
        for dataset in ("eurosat", "fgvc_aircraft")
        for method in ("zero-shot", "mocoop")
        for shots in (1, 2)
    }
    assert all(list(row["accuracy"]) == ["all"] and row["images"] == {"all": 12} for row in rows)
    assert {row["training"]["images"] for row in rows} == {6, 12}


def test_cross_dataset_goes_from_imagenet_to_the_other_ten(root, tmp_path):
    rows, _ = bench("cross-dataset", root, tmp_path / "r.jsonl", methods="zero-shot,linear-probe,mocoop")
    targets = ELEVEN - {"imagenet"}
    for row in rows:
        assert (row["dataset"], set(row["accuracy"])) == ("imagenet", {"all", *targets})
    probe, zero, mixture = (select(rows, method=name)[0] for name in ("linear-probe", "zero-shot", "mocoop"))
    assert {name for name, percent in probe["accuracy"].items() if percent is not None} == {"all"}
    assert any("linear probe" in note or "trained on" in note for note in probe["notes"])
    assert None not in mixture["accuracy"].values()
    few, _ = bench("few-shot", root, tmp_path / "few.jsonl", "--datasets", ",".join(targets), methods="zero-shot")
    for row in few:  # a target's own template, as where it is a data set of its own
        assert zero["accuracy"][row["dataset"]] == row["accuracy"]["all"]


def test_any_data_set_may_be_the_source(root, tmp_path):
    options = ("--datasets", "eurosat,dtd", "--source", "eurosat")
    rows, _ = bench("cross-dataset", root, tmp_path / "r.jsonl", *options, methods="mocoop")
    assert [(row["dataset"], list(row["accuracy"])) for row in rows] == [("eurosat", ["all", "dtd"])]


def test_domain_shift_finds_the_variants_classes_by_name(root, tmp_path):
    rows, _ = bench("domain-shift", root, tmp_path / "r.jsonl", methods="mocoop,linear-probe")
    for row in rows:
        assert set(row["accuracy"]) == {"all", *VARIANTS}
        assert row["images"]["imagenet_a"] == 4
        assert row["images"]["imagenet_r"] == 14
    assert all(percent is not None for percent in select(rows, method="mocoop")[0]["accuracy"].values())


def test_a_damaged_data_set_is_told_once_and_the_others_go_on(root, tmp_path):
    copy = tmp_path / "data"
    for name in ("eurosat", "dtd", "food-101"):
        shutil.copytree(root / name, copy / name)
    (copy / "dtd" / "split_zhou_DescribableTextures.json").write_text("{}")
    next((copy / "food-101" / "images" / "pizza").iterdir()).write_bytes(b"no picture")
    out = tmp_path / "r.jsonl"
    rows, done = bench("base-to-new", copy, out, "--shots", 2, "--seeds", "1,2", code=1)
    assert {row["dataset"] for row in rows} >= {"eurosat"}
    assert not select(rows, dataset="dtd")
    assert done.err.count("there is no image in this data set") == 1
    assert "dtd  zero-shot  2 shots  seed 1 and 3 more" in done.err
    assert "pizza" in done.err
    assert "cells failed" in done.err
    again, done = bench("base-to-new", copy, out, "--shots", 2, "--seeds", "1,2", code=1)
    assert [row["finished"] for row in again] == [row["finished"] for row in rows]


def test_nothing_can_be_trained_on_a_test_set(root, tmp_path):
    _, done = bench("base-to-new", root, tmp_path / "r.jsonl", "--datasets", "imagenet_a", code=2)
    assert "there is nothing to train on in imagenet_a" in done.err
