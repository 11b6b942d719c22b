"""`mocoop bench`, as it is typed: what it says, and what it refuses before anything heavy starts."""

from __future__ import annotations

import json

import pytest
from command_line import call

from mocoop.bench.rows import read_rows
from mocoop.groupfile.groups import dump_groups, load_groups
from mocoop.grouping.control import control_of


def bench(world, out, protocol, *more):
    return call(
        "bench", protocol, "--data", world["photos"], "--groups", world["groups"], "--device", "cpu", "--no-cache",
        "--backbone", f"local-dir:{world['backbone']}", "--set", "epochs=1", "--seeds", 1, "-o", out, *more,
    )  # fmt: skip


def test_it_runs_says_what_it_does_and_prints_where_the_rows_are(world, tmp_path):
    out = tmp_path / "r.jsonl"
    result = bench(world, out, "base-to-new", "--methods", "zero-shot,mocoop", "--threads", 1, "--precision", "float32")
    assert (result.code, result.out) == (0, f"{out}\n")
    first, second, count, following = result.err.splitlines()
    assert first.startswith("1/2  base-to-new  photos  zero-shot  16 shots  seed 1  base ")
    assert "  new " in second
    assert second.endswith("  left 0:00")
    assert (count, following) == ("2 cells, 0 of them there before", f"next: mocoop report {out} -o report.html")
    assert [(row["threads"], row["precision"]) for row in read_rows(out)] == [(1, "float32")] * 2
    again = bench(world, out, "base-to-new", "--methods", "zero-shot,mocoop", "--precision", "float32")
    assert again.err.splitlines()[0] == "2 cells, 2 of them there before"


def test_a_dry_run_lists_and_trains_nothing(world, tmp_path):
    out = tmp_path / "r.jsonl"
    assert bench(world, out, "few-shot", "--methods", "zero-shot", "--shots", 2).code == 0
    before = out.read_bytes()
    result = bench(world, out, "few-shot", "--methods", "zero-shot,coop", "--shots", "1,2", "--dry-run")
    cells = dict(line.split("\t") for line in result.out.splitlines())
    assert cells.pop("cell") == "state"
    assert cells == {
        "few-shot  photos  zero-shot  1 shots  seed 1": "to do",
        "few-shot  photos  zero-shot  2 shots  seed 1": "there",
        "few-shot  photos  coop  1 shots  seed 1": "to do",
        "few-shot  photos  coop  2 shots  seed 1": "to do",
    }
    assert result.err == "4 cells: 1 there, 3 to do\n"
    assert out.read_bytes() == before


def test_a_cluster_and_processes_of_this_machine_are_not_mixed(world, tmp_path):
    there = bench(world, tmp_path / "r.jsonl", "base-to-new", "--engine", "ray", "--jobs", 2)
    assert there.code == 2
    assert "--jobs are processes of this machine" in there.err
    here = bench(world, tmp_path / "r.jsonl", "base-to-new", "--workers", 2)
    assert "--workers and --address belong to a cluster" in here.err


def test_several_data_sets_of_any_kind(world, tmp_path):
    out = tmp_path / "r.jsonl"
    more = ("--data", world["data"], "--methods", "zero-shot,mocoop", "--shots", 2)
    assert bench(world, out, "base-to-new", *more).code == 0
    assert {row["dataset"] for row in read_rows(out)} == {"photos", "features"}
    transfer = bench(world, out, "cross-dataset", *more, "--source", "features")
    assert transfer.code == 0
    assert [list(row["accuracy"]) for row in read_rows(out)[-2:]] == [["all", "photos"]] * 2
    assert read_rows(out)[-1]["images"] == {"all": 60, "photos": 30}


def test_every_method_may_go_by_what_a_search_chose(world, tmp_path):
    search, out = tmp_path / "t.jsonl", tmp_path / "r.jsonl"
    tuned = call(
        "tune", "--data", world["photos"], "--method", "coop", "--device", "cpu", "--no-cache", "--shots", 2,
        "--backbone", f"local-dir:{world['backbone']}", "--set", "epochs=1", "--set", "batch_size=4",
        "--try", "lr=0.001,0.5", "--trainings", 3, "--seeds", 1, "-o", search,
    )  # fmt: skip
    best = dict(part.split("=") for part in tuned.out.splitlines()[1].split("\t")[0].split(", ") if "=" in part)
    result = bench(world, out, "base-to-new", "--methods", "zero-shot,coop", "--tuned", search)
    assert result.code == 0, result.err
    zero_shot, coop = read_rows(out)
    assert zero_shot["changes"] == {"epochs": 1}
    assert coop["changes"] == {"batch_size": 4, "epochs": 1, **{name: float(value) for name, value in best.items()}}
    assert result.err.startswith("coop: ")
    other = bench(world, out, "base-to-new", "--preset", "paper", "--tuned", search)
    assert (other.code, "no search of the preset paper" in other.err) == (2, True)


def test_groups_that_changed_since_a_search_are_told(world, tmp_path):
    search, out, changed = tmp_path / "t.jsonl", tmp_path / "r.jsonl", tmp_path / "changed.json"
    tuned = call(
        "tune", "--data", world["photos"], "--groups", world["groups"], "--device", "cpu", "--no-cache", "--shots", 2,
        "--backbone", f"local-dir:{world['backbone']}", "--set", "epochs=1", "--set", "min_steps=0",
        "--try", "lr=0.001", "--trainings", 1, "--seeds", 1, "-o", search,
    )  # fmt: skip
    assert tuned.code == 0, tuned.err
    dry = ("base-to-new", "--methods", "mocoop", "--tuned", search, "--dry-run")
    assert "other groups" not in bench(world, out, *dry).err
    changed.write_bytes(dump_groups(control_of(load_groups(world["groups"]), "random").document))
    said = bench(world, out, *dry, "--groups", changed)
    assert said.code == 0, said.err
    assert "note: mocoop was tuned with other groups than these, which its settings may not suit" in said.err


def test_one_ablation_of_the_mixture(world, tmp_path):
    out = tmp_path / "r.jsonl"
    assert bench(world, out, "ablations", "--ablation", "grouping", "--budget", "small").code == 0
    random, own = read_rows(out)
    assert (random["setting"], own["setting"]) == ("random groups", "semantic groups")
    assert [row["groups"]["kind"] for row in (random, own)] == ["random", "own"]
    assert {row["ablation"] for row in (random, own)} == {"grouping"}
    assert random["groups"]["ids"] == ["random_1", "random_2", "random_3"]
    assert random["budget"] == "small"
    for row in (random, own):
        assert set(row["expert_use"]) == set(row["calibration"]) == {"base", "new"}
        assert row["router"]["entropy"] >= 0
        assert row["training"]["epochs"] == 1


@pytest.mark.parametrize(
    ("protocol", "more", "code", "said"),
    [
        ("base-to-new", ["--methods", "mocoop,magic"], 2, "no method is called 'magic'"),
        ("base-to-new", ["--ablation", "top-k"], 2, "--ablation goes with the protocol ablations"),
        ("ablations", ["--ablation", "magic"], 2, "no ablation is called 'magic'"),
        ("base-to-new", ["--seeds", "one"], 2, "--seeds one are not whole numbers"),
        ("base-to-new", ["--seeds", "-1"], 2, "--seeds '-1' cannot be"),
        ("base-to-new", ["--shots", "0,1"], 2, "--shots '0,1' cannot be"),
        ("base-to-new", ["--seeds", ","], 2, "--seeds ',' cannot be"),
        ("base-to-new", ["--datasets", "eurosat"], 4, "there is no data set 'eurosat' here"),
        ("base-to-new", ["--groups", "paper"], 2, "the paper has no groups for photos"),
        ("base-to-new", ["--groups", "missing.json", "--methods", "mocoop"], 3, "missing.json"),
        ("cross-dataset", [], 2, "cross-dataset needs the source imagenet and a target"),
        ("base-to-new", ["--tuned", "missing.jsonl"], 2, "'missing.jsonl' does not exist"),
        ("base-to-new", ["--set", "topk=1"], 3, "no setting is called 'topk'"),
    ],
)
def test_what_cannot_be_is_refused(world, tmp_path, protocol, more, code, said):
    result = bench(world, tmp_path / "r.jsonl", protocol, *more)
    assert result.code == code
    assert said in result.err
    assert not (tmp_path / "r.jsonl").exists()


def test_two_data_sets_of_one_name_are_refused(world, tmp_path):
    result = bench(world, tmp_path / "r.jsonl", "base-to-new", "--data", world["photos"])
    assert (result.code, "two data sets are called 'photos'" in result.err) == (4, True)


def test_where_nothing_could_run_no_report_is_offered(world, tmp_path):
    out = tmp_path / "r.jsonl"
    too_long = "template=" + 100 * "very " + "far {}."
    result = bench(world, out, "base-to-new", "--methods", "kgcoop", "--set", too_long)
    assert result.code != 0
    assert result.out == ""
    assert "mocoop report" not in result.err


def test_without_groups_only_those_that_need_none_run(world, tmp_path):
    out = tmp_path / "r.jsonl"
    result = call(
        "bench", "few-shot", "--data", world["photos"], "--methods", "coop,mocoop", "--shots", 1, "--seeds", "1,2",
        "--backbone", f"local-dir:{world['backbone']}", "--set", "epochs=1", "--device", "cpu", "--no-cache", "-o", out,
    )  # fmt: skip
    assert result.code == 1
    said = "failed: few-shot  photos  mocoop  1 shots  seed 1 and 1 more: the method mocoop needs a group file"
    assert result.err.splitlines()[0] == said
    assert [row["method"] for row in read_rows(out)] == ["coop", "coop"]


@pytest.mark.parametrize("seed", [1, 2])
def test_random_groups_give_what_training_on_the_control_file_gives(world, tmp_path, seed):
    out = tmp_path / "r.jsonl"
    settings = ("--set", "epochs=3", "--set", "batch_size=4", "--set", "lr=0.1")
    common = ("--backbone", f"local-dir:{world['backbone']}", "--device", "cpu", "--no-cache")
    done = call(
        "bench", "ablations", "--ablation", "grouping", "--data", world["photos"], "--groups", world["groups"],
        "--seeds", seed, "--shots", 2, *settings, *common, "-o", out,
    )  # fmt: skip
    assert done.code == 0, done.err
    for row in read_rows(out):
        groups = world["groups"]
        if row["setting"] == "random groups":
            groups = tmp_path / "control.json"
            groups.write_bytes(dump_groups(control_of(load_groups(world["groups"]), "random", seed).document))
        run = tmp_path / row["setting"]
        trained = call(
            "train", "--groups", groups, "--data", world["photos"], "--classes", "base", "--shots", 2, "--seed", seed,
            *settings, *common, "-o", run,
        )  # fmt: skip
        assert trained.code == 0, trained.err
        parts = ("--classes", "base", "--classes", "new")
        record = json.loads(call("eval", run, "--data", world["photos"], *parts, "--json", *common[2:]).out)
        found = {one["classes"]: one["accuracy"] for one in record["results"]}
        assert found == {part: row["accuracy"][part] for part in ("base", "new")}
