"""Comparisons on a tiny world: rows, keys, going on after a kill, sharing between processes, equality with train."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from worlds import CLASSNAMES, GROUPS, write_world

from mocoop.bench.cell import Cell
from mocoop.bench.groupkinds import groups_of_kind
from mocoop.bench.protocols import ABLATIONS, INFERENCE, Comparison, ablation_cells, cells_of
from mocoop.bench.rows import append_row, read_rows
from mocoop.bench.runner import BenchPlan, list_cells, run_plan
from mocoop.data.sources import open_dataset
from mocoop.errors import DataError, UsageError
from mocoop.groupfile.groups import dump_groups, parse_groups
from mocoop.runs.evaluate import evaluate
from mocoop.runs.train import TrainingPlan, train

FAST = {"epochs": 2, "batch_size": 16, "lr": 0.05}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    return write_world(folder)


def comparison(**changes):
    values = {"datasets": ["features"], "methods": ["zero-shot", "coop", "mocoop"], "seeds": [1], "shots": [4]}
    return Comparison(**{**values, "changes": FAST, **changes})


def plan_of(world, cells, results):
    return BenchPlan(
        cells=tuple(cells),
        data={"features": world["data"]},
        results=results,
        groups={"features": world["groups"]},
        backbone=f"local-dir:{world['backbone']}",
        device="cpu",
        use_cache=False,
    )


def test_a_cell_has_the_accuracy_of_train_and_eval(world, tmp_path):
    plan = plan_of(world, cells_of("base-to-new", comparison()), tmp_path / "r.jsonl")
    done = run_plan(plan)
    assert (done.cells, done.found, done.run, done.failures) == (3, 0, 3, ())
    for row in read_rows(plan.results):
        config = Cell("base-to-new", "features", row["method"], 4, 1, changes=FAST).config("features")
        run = train(
            TrainingPlan(
                groups=world["groups"],
                data=world["data"],
                out=tmp_path / row["method"],
                config=config,
                shots=4,
                classes="base",
                backbone=plan.backbone,
                device="cpu",
                use_cache=False,
            )
        )
        dataset = open_dataset(world["data"])
        for part in ("base", "new"):
            assert evaluate(run, dataset, classes=part).accuracy == row["accuracy"][part]
        assert row["training"]["steps"] == run.info["training"]["steps"]
        assert row["config"] == run.info["config"]


def test_what_is_there_is_not_run_again_and_the_dry_run_says_so(world, tmp_path):
    plan = plan_of(world, cells_of("base-to-new", comparison()), tmp_path / "r.jsonl")
    assert [done for _, done in list_cells(plan)] == [False] * 3
    assert not plan.results.exists()
    run_plan(replace(plan, cells=plan.cells[:2]))
    assert [done for _, done in list_cells(plan)] == [True, True, False]
    before = plan.results.read_bytes()
    assert run_plan(plan).run == 1
    assert plan.results.read_bytes().startswith(before)


def test_half_a_row_is_passed_over_and_run_again(world, tmp_path):
    plan = plan_of(world, cells_of("base-to-new", comparison(methods=["zero-shot", "coop"])), tmp_path / "r.jsonl")
    run_plan(plan)
    whole = plan.results.read_bytes()
    plan.results.write_bytes(whole[:-40])
    assert run_plan(plan).run == 1
    assert len(read_rows(plan.results)) == 2


def keys(world, tmp_path, **changes):
    plan = plan_of(world, cells_of("base-to-new", comparison(**changes)), tmp_path / "none.jsonl")
    from mocoop.bench.runner import Bench

    bench = Bench(plan)
    return [bench.ready(cell).key for cell in plan.cells]


@pytest.mark.parametrize(
    "changes", [{"seeds": [2]}, {"shots": [5]}, {"changes": {**FAST, "lr": 0.06}}, {"methods": ["lasp"]}]
)
def test_keys_differ_when_something_that_matters_does(world, tmp_path, changes):
    one = keys(world, tmp_path, methods=["mocoop"])
    assert one == keys(world, tmp_path, methods=["mocoop"])
    assert one != keys(world, tmp_path, **{"methods": ["mocoop"], **changes})


def test_ablations_share_the_default_cell_with_the_main_table(world, tmp_path):
    from mocoop.bench.runner import Bench

    main = cells_of("base-to-new", comparison(methods=["mocoop"]))
    shared = [
        cell for name in ("components", "grouping", "router-loss") for cell in ablation_cells(name, comparison(), 3)
    ]
    bench = Bench(plan_of(world, [], tmp_path / "none.jsonl"))
    (own,) = [bench.ready(cell).key for cell in main]
    defaults = [cell for cell in shared if bench.ready(cell).key == own]
    assert [cell.setting for cell in defaults] == ["+ templates of new classes", "semantic groups", "KL"]


@pytest.mark.parametrize("name", ABLATIONS)
def test_every_ablation_has_different_rows_that_run(world, tmp_path, name):
    rich = [*GROUPS["groups"][0]["templates"], "{} in a photo.", "the {} here."]  # so that an init can stand elsewhere
    groups = [{**GROUPS["groups"][0], "init": "the {} here.", "templates": rich}, *GROUPS["groups"][1:]]
    (tmp_path / "groups.json").write_text(json.dumps({**GROUPS, "groups": groups}))
    world = {**world, "groups": tmp_path / "groups.json"}
    cells = ablation_cells(name, comparison(changes={"epochs": 1, "batch_size": 16}), 3)
    assert len({cell.setting for cell in cells}) == len(cells) >= 2
    plan = plan_of(world, cells, tmp_path / "r.jsonl")
    done = run_plan(plan)
    assert done.failures == ()
    assert done.run == len(cells)
    assert {row["ablation"] for row in read_rows(plan.results)} == {name}


def test_inference_is_timed_for_every_method(world, tmp_path):
    cells = ablation_cells(INFERENCE, comparison(methods=["zero-shot", "cocoop", "mocoop"]), 3)
    plan = plan_of(world, cells, tmp_path / "r.jsonl")
    run_plan(plan)
    rows = read_rows(plan.results)
    assert [row["method"] for row in rows] == ["zero-shot", "cocoop", "mocoop"]
    assert all(row["seconds_per_100"] > 0 and row["image_tower_seconds_per_100"] > 0 for row in rows)


def test_an_unknown_ablation_is_refused():
    with pytest.raises(UsageError, match="no ablation is called 'nothing'"):
        ablation_cells("nothing", comparison(), 3)


def test_a_transfer_needs_its_source_and_a_target():
    with pytest.raises(UsageError, match="needs the source imagenet"):
        cells_of("cross-dataset", comparison())
    (cell, *_) = cells_of("domain-shift", comparison(datasets=["imagenet", "imagenet_a", "dtd"]))
    assert (cell.dataset, cell.targets) == ("imagenet", ("imagenet_a",))
    (cell, *_) = cells_of("cross-dataset", comparison(datasets=["imagenet", "imagenet_a", "dtd"]))
    assert cell.targets == ("dtd",)


def test_random_groups_are_the_same_templates_in_groups_of_the_same_sizes():
    given = parse_groups(dump_groups(GROUPS))
    for seed in range(5):
        dealt = groups_of_kind(given, "random", seed)
        assert [len(group.texts) for group in dealt.groups] == [len(group.texts) for group in given.groups]
        texts = sorted(text for group in dealt.groups for text in group.texts)
        assert texts == sorted(text for group in given.groups for text in group.texts)
    assert groups_of_kind(given, "random", 1).sha256 == groups_of_kind(given, "random", 1).sha256
    assert [group.id for group in groups_of_kind(given, "first-2", 1).groups] == ["plain", "blurry"]


def test_a_probe_has_no_new_classes_and_says_why(world, tmp_path):
    plan = plan_of(world, cells_of("base-to-new", comparison(methods=["linear-probe"])), tmp_path / "r.jsonl")
    run_plan(plan)
    (row,) = read_rows(plan.results)
    assert row["accuracy"]["base"] > 50
    assert row["accuracy"]["new"] is None
    assert row["accuracy"]["H"] is None
    assert any("trained on" in note for note in row["notes"])


def test_a_cell_that_cannot_run_is_told_and_the_others_go_on(world, tmp_path, capfd):
    cells = cells_of("base-to-new", comparison(methods=["zero-shot", "coop"]))
    broken = replace(cells[0], changes={**FAST, "template": "{} " * 3})
    done = run_plan(plan_of(world, [broken, *cells], tmp_path / "r.jsonl"))
    assert len(done.failures) == 1
    assert done.run == 2
    assert "template" in capfd.readouterr().err


COMMAND = [sys.executable, "-m", "mocoop", "bench", "base-to-new", "--device", "cpu", "--threads", "1", "--no-cache"]


def command(world, results, *more):
    data = ["--data", str(world["photos"]), "--groups", str(world["groups"]), "--backbone",
            f"local-dir:{world['backbone']}"]  # fmt: skip
    return [*COMMAND, *data, "--set", "batch_size=8", "-o", str(results), *more]


@pytest.fixture(scope="module")
def pictures(world, tmp_path_factory):
    from datafiles import put_classes

    names = [name.replace(" ", "_") for name in CLASSNAMES]
    counts = {f"{part}/{name}": 4 for part in ("train", "val", "test") for name in names}
    return {**world, "photos": put_classes(tmp_path_factory.mktemp("photos") / "photos", counts)}


@pytest.mark.slow
def test_a_killed_comparison_goes_on_and_two_processes_share_the_rest(pictures, tmp_path):
    results = tmp_path / "r.jsonl"
    call = command(pictures, results, "--methods", "coop,kgcoop,mocoop", "--seeds", "1,2,3", "--set", "epochs=6")
    process = subprocess.Popen(call, stderr=subprocess.DEVNULL)
    while not results.is_file() or results.read_bytes().count(b"\n") < 2:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = len(read_rows(results))
    assert 2 <= before < 9
    done = subprocess.run([*call, "--jobs", "2"], capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in results.read_text().splitlines() if line.strip()]
    assert len(lines) == 9
    assert len({line["key"] for line in lines}) == 9
    assert f"{before} of them there before" in done.stderr


def test_rows_are_checked_when_they_are_read(world, tmp_path):
    results = tmp_path / "r.jsonl"
    run_plan(plan_of(world, cells_of("base-to-new", comparison(methods=["zero-shot"])), results))
    (row,) = read_rows(results)
    append_row(results, {**row, "seed": 9})
    assert [one["seed"] for one in read_rows(results)] == [9]  # the last of two with one key
    results.write_text(results.read_text() + '{"key": 1}\n')
    with pytest.raises(DataError, match=r"r\.jsonl:3: this is not a result"):
        read_rows(results)
