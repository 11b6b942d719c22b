"""The commands of `mocoop`, as they are typed."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import xml.etree.ElementTree as ET
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple

import click
import pytest
import torch
from datafiles import put_classes
from towers import write_clip_folder
from worlds import CLASSNAMES, GROUPS, write_world

from mocoop import cli
from mocoop.commands import mocoop
from mocoop.data.sources import open_dataset
from mocoop.files import sha256_file

COMMANDS = {
    "bench": {
        "--data-root", "--data", "--datasets", "--class-names", "--groups", "--methods", "--ablation", "--seeds",
        "--shots", "--preset", "--budget", "--set", "--source", "--backbone", "--pretrained", "--device", "--jobs", "--threads",
        "--no-cache", "--dry-run", "--out",
    },
    "demo": {"--out", "--force", "--json"},
    "eval": {
        "--data", "--class-names", "--follow-links", "--no-cache", "--classes", "--per-class", "--baselines", "--plots",
        "--backbone", "--pretrained", "--device", "--precision", "--threads", "--on-bad-image", "--max-skipped",
        "--json",
    },
    "predict": {
        "--top", "--classes-file", "--backbone", "--pretrained", "--device", "--precision", "--threads",
        "--on-bad-image", "--json",
    },
    "report": {"--out", "--also", "--reference", "--title", "--run", "--images", "--most-images"},
    "scenes": {"--out", "--train", "--val", "--test", "--seed"},
    "show": {"--json"},
    "tune": {
        "--data", "--class-names", "--groups", "--method", "--try", "--set", "--trainings", "--seeds", "--shots",
        "--classes", "--preset", "--budget", "--backbone", "--pretrained", "--device", "--threads", "--no-cache",
        "--out",
    },
    "train": {
        "--groups", "--method", "--data", "--class-names", "--follow-links", "--no-cache", "--out", "--shots", "--seed",
        "--split-seed", "--classes", "--preset", "--backbone", "--pretrained", "--quick-gelu", "--epochs", "--lr",
        "--batch-size", "--views", "--top-k", "--lambda-router", "--lambda-text", "--set", "--device", "--precision",
        "--threads", "--on-bad-image", "--strict-vocabulary", "--force", "--json",
    },
}  # fmt: skip


class Result(NamedTuple):
    code: int
    out: str
    err: str


class Terminal(io.StringIO):
    def isatty(self):
        return True


def call(*arguments, out=None):
    """Run a command; its exit code and what it printed."""
    out, err = out or io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as exited:
        cli.run(mocoop, "mocoop", [str(argument) for argument in arguments])
    return Result(exited.value.code, out.getvalue(), err.getvalue())


@pytest.fixture
def on_a_terminal(monkeypatch):
    """What a command shows on a terminal of a width, without the escape codes."""

    def shown(width, *arguments):
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", str(width))
        return re.sub(r"\x1b\[[\d;]*m", "", call(*arguments, out=Terminal()).out)

    return shown


def python(script):
    """What a script prints in a process of its own."""
    command = [sys.executable, "-c", textwrap.dedent(script)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(autouse=True)
def same_threads():
    """`--threads` is for the process; here the next test is in the same one."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    names = [name.replace(" ", "_") for name in CLASSNAMES]
    counts = {f"{part}/{name}": n for part, n in (("train", 4), ("test", 5)) for name in names}
    return {**write_world(folder), "photos": put_classes(folder / "photos", counts)}


def train(world, out, *more):
    """The shortest training on pictures of the small world."""
    return call(
        "train", "--groups", world["groups"], "--data", world["photos"], "--backbone", f"local-dir:{world['backbone']}",
        "--epochs", 1, "--shots", 2, "--device", "cpu", "--no-cache", "-o", out, *more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def runs(world, tmp_path_factory):
    """A run on all classes and one on the base classes."""
    folder = tmp_path_factory.mktemp("runs")
    found = {part: folder / part for part in ("all", "base")}
    for part, path in found.items():
        assert train(world, path, "--classes", part).code == 0
    return found


def info(run):
    return json.loads((run / "run.json").read_text())


class TestHelp:
    def test_the_commands_and_their_options_are_these(self):
        found = {
            name: {opt for p in command.params if isinstance(p, click.Option) for opt in p.opts if opt.startswith("--")}
            for name, command in mocoop.commands.items()
        }
        assert found == COMMANDS

    @pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
    def test_help_has_an_example_and_explains_each_option(self, command):
        code, out, _ = call(*command, "--help")
        assert code == 0
        assert re.search(r"^ *mocoop( \w+)? .*$", out.split("\n\n", 1)[1], re.MULTILINE)
        options = mocoop.commands[command[0]].params if command else mocoop.params
        assert all(option.help for option in options if isinstance(option, click.Option))

    def test_examples_in_the_help_are_commands_that_exist(self):
        for name, command in [("mocoop", mocoop), *mocoop.commands.items()]:
            for line in re.findall(r"^ *mocoop (.+)$", command.help, re.MULTILINE):
                used = line.split()[0]
                assert used in COMMANDS
                assert name in ("mocoop", used)
                assert set(re.findall(r"--[\w-]+", line)) <= COMMANDS[used]

    def test_the_list_of_commands_is_not_cut(self):
        assert "..." not in call("--help").out.split("Commands:")[1]

    def test_help_imports_nothing_heavy(self):
        script = """
            import sys
            from mocoop import cli
            from mocoop.commands import mocoop
            try:
                cli.run(mocoop, "mocoop", ["{}--help"])
            except SystemExit:
                print({{"torch", "open_clip", "numpy", "PIL", "matplotlib", "rich", "sklearn"}} & set(sys.modules))
        """
        assert python(script.format("")).endswith("\nset()\n")

    def test_importing_mocoop_imports_no_torch(self):
        assert python("import sys, mocoop; print({'torch', 'numpy', 'click'} & set(sys.modules))") == "set()\n"

    def test_the_version_is_the_packages(self):
        assert call("--version").out == "mocoop 0.1.0\n"


class TestTrain:
    def test_every_option_is_recorded(self, world, tmp_path):
        names = tmp_path / "names.json"
        names.write_text(json.dumps({name.replace(" ", "_"): f"large {name}" for name in CLASSNAMES}))
        result = train(
            world, tmp_path / "run", "--seed", 5, "--split-seed", 7, "--classes", "base", "--preset", "paper",
            "--epochs", 2, "--lr", 0.03, "--batch-size", 3, "--views", 2, "--top-k", 1, "--lambda-router", 0.5,
            "--lambda-text", 0.25, "--set", "renormalise_mix=false", "--set", "gate_target=two-hot",
            "--set", "view_scale=[0.5, 1.0]", "--precision", "float32", "--threads", 1, "--class-names", names,
        )  # fmt: skip
        assert result.code == 0, result.err
        run = info(tmp_path / "run")
        assert {name: run[name] for name in ("seed", "split_seed", "shots", "classes", "preset", "threads")} == {
            "seed": 5, "split_seed": 7, "shots": 2, "classes": "base", "preset": "paper", "threads": 1
        }  # fmt: skip
        given = {
            "epochs": 2, "lr": 0.03, "batch_size": 3, "views": 2, "top_k": 1, "lambda_router": 0.5,
            "lambda_text": 0.25, "renormalise_mix": False, "gate_target": "two-hot", "view_scale": [0.5, 1.0],
            "precision": "float32",
        }  # fmt: skip
        assert {name: run["config"][name] for name in given} == given
        assert run["config"]["tau_class"] == 0.07  # the preset's own
        assert run["classnames"] == [f"large {name}" for name in sorted(CLASSNAMES)[:3]]
        assert run["backbone"]["name"] == f"local-dir:{world['backbone']}"
        assert run["device"] == "cpu"
        assert run["training"] == {"epochs": 2, "steps": 4, "seconds": run["training"]["seconds"]}

    def test_the_result_is_a_table_and_the_next_commands(self, world, tmp_path):
        code, out, err = train(world, tmp_path / "my run")
        assert code == 0
        assert dict(line.split("\t") for line in out.splitlines())["classes"] == "all: 6 of 6"
        assert f"mocoop predict '{tmp_path}/my run' IMAGE..." in err
        assert "\x1b" not in out + err

    def test_json_is_the_summary_and_nothing_else(self, world, tmp_path):
        code, out, _ = train(world, tmp_path / "run", "--json", "--epochs", 2, "--batch-size", 6)
        assert code == 0
        assert json.loads(out) == json.loads(call("show", tmp_path / "run", "--json").out)
        log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
        last = json.loads(out)["last_epoch"]
        assert (len(log), last["epoch"]) == (4, 2)
        assert last["loss"] == pytest.approx((log[2]["loss"] + log[3]["loss"]) / 2)
        assert last["expert_use"] == log[3]["expert_use"]

    def test_a_finished_run_is_refused_and_force_trains_it_again(self, world, runs, tmp_path):
        run = tmp_path / "run"
        shutil.copytree(runs["all"], run)
        before = sha256_file(run / "run.json")
        code, out, err = train(world, run)
        assert (code, out) == (2, "")
        assert err == (
            f"mocoop: {run} holds a finished run\n  hint: add --force to train it again, or choose another -o\n"
        )
        assert sha256_file(run / "run.json") == before
        assert train(world, run, "--force", "--seed", 3).code == 0
        assert info(run)["seed"] == 3

    @pytest.mark.parametrize(
        ("more", "code", "said", "hint"),
        [
            (["--set", "topk=3"], 2, "no setting is called 'topk'", "did you mean 'top_k'?"),
            (["--set", "lr"], 2, "--set lr sets nothing", "write --set NAME=VALUE"),
            (["--set", "lr=fast"], 2, "lr is 'fast', which cannot be", "it must be a number above 0"),
            (["--lr", "nan"], 2, "lr is nan, which cannot be", "it must be a number above 0"),
            (["--lr", "0.1", "--set", "lr=0.2"], 2, "lr is given twice", "give each setting once"),
            (["--set", "preset=paper"], 2, "--set preset=paper would change the name only", "write --preset paper"),
            (["--top-k", "9"], 3, "top_k = 9 experts cannot be chosen out of 3 groups", "use --top-k 3"),
            (["--device", "tpu"], 2, "no device is called 'tpu'", "use auto, cpu, cuda, cuda:N or mps"),
        ],
    )
    def test_settings_that_cannot_be_are_refused_with_a_hint(self, world, tmp_path, more, code, said, hint):
        result = train(world, tmp_path / "run", *more)
        line, second = result.err.splitlines()
        assert (result.code, result.out) == (code, "")
        assert line == f"mocoop: {said}"
        assert second.startswith(f"  hint: {hint}")

    @pytest.mark.parametrize("seed", ["-1", str(2**80), "one"])
    def test_a_seed_out_of_range_is_refused(self, world, tmp_path, seed):
        result = train(world, tmp_path / "run", "--seed", seed)
        assert result.code == 2
        assert result.err.startswith("mocoop train: invalid value for '--seed'")

    def test_pretrained_reaches_the_backbone(self, world, tmp_path):
        result = train(world, tmp_path / "run", "--backbone", "miniclip", "--pretrained", "openai")
        assert result.code == 2
        assert result.err == "mocoop: miniclip brings its own weights\n  hint: leave --pretrained out\n"
        missing = train(world, tmp_path / "run", "--backbone", "ViT-B-32", "--pretrained", tmp_path / "no.safetensors")
        assert missing.code in (2, 6)
        assert "no.safetensors" in missing.err.splitlines()[0]

    @pytest.mark.parametrize(
        ("option", "value", "code"), [("--groups", "missing.json", 3), ("--data", "missing", 4), ("-o", "file/run", 6)]
    )
    def test_paths_that_lead_nowhere(self, world, tmp_path, option, value, code):
        (tmp_path / "file").touch()
        result = train(world, tmp_path / "run", option, tmp_path / value)
        assert (result.code, result.out) == (code, "")
        assert str(tmp_path / value) in result.err.splitlines()[0]
        assert len(result.err.splitlines()) == 2

    def test_a_loss_that_is_not_finite_exits_7(self, world, tmp_path):
        result = train(
            world, tmp_path / "run", "--epochs", 9, "--batch-size", 4, "--lr", 1e30, "--set", "warmup_epochs=0"
        )
        assert result.code == 7
        assert "lower --lr" in result.err.splitlines()[-1]

    def test_an_unreadable_picture_exits_4_and_names_it(self, world, tmp_path):
        photos = tmp_path / "photos"
        shutil.copytree(world["photos"], photos)
        bad = next((photos / "train" / "dog").iterdir())
        bad.write_bytes(b"")
        result = train(world, tmp_path / "run", "--data", photos, "--shots", 4)
        assert result.code == 4
        assert str(bad) in result.err

    @pytest.mark.parametrize("views", ["0", "online"])
    def test_a_skipped_picture_is_replaced_by_another_until_there_are_too_few(self, world, tmp_path, views):
        photos = tmp_path / "photos"
        shutil.copytree(world["photos"], photos)
        dogs = [one.path for one in open_dataset(photos).train if one.path.parent.name == "dog"]
        for bad in dogs[:2]:
            bad.write_bytes(b"")
        options = ("--data", photos, "--on-bad-image", "skip", "--views", views)
        enough = train(world, tmp_path / "run", *options, "--shots", len(dogs) - 2)
        assert enough.code == 0
        data = json.loads((tmp_path / "run" / "run.json").read_text())["data"]
        assert data["images"] == 6 * (len(dogs) - 2)
        skipped = {one["path"] for one in data["skipped"]}
        assert skipped
        assert skipped <= set(map(str, dogs[:2]))  # only those that were drawn
        assert f"{len(skipped)} image(s) could not be read" in enough.err
        few = train(world, tmp_path / "few", *options, "--shots", len(dogs) - 1)
        assert few.code == 4
        assert f"fewer than {len(dogs) - 1} shots of dog (1 can be read)" in few.err
        assert str(photos / "train" / "dog") in few.err

    def test_a_class_that_was_small_already_fails_too_when_it_loses_a_picture(self, world, tmp_path):
        photos = tmp_path / "photos"
        shutil.copytree(world["photos"], photos)
        dogs = [one.path for one in open_dataset(photos).train if one.path.parent.name == "dog"]
        options = ("--data", photos, "--on-bad-image", "skip", "--shots", len(dogs) + 5)
        assert train(world, tmp_path / "whole", *options).code == 0  # as CoOp: all there are, with a note
        dogs[0].write_bytes(b"")
        result = train(world, tmp_path / "run", *options)
        assert result.code == 4
        assert f"fewer than {len(dogs) + 5} shots of dog ({len(dogs) - 1} can be read)" in result.err

    def test_ctrl_c_says_how_to_go_on(self, world, tmp_path, monkeypatch):
        monkeypatch.setenv("MOCOOP_SIGNAL_AT", "SIGINT:after-step:1")
        before = signal.getsignal(signal.SIGINT)
        result = train(world, tmp_path / "run", "--epochs", 3)
        assert signal.getsignal(signal.SIGINT) is before
        assert result.code == 130
        assert result.err.split("\n")[-4:] == [
            "the same command again goes on where this one stopped", "", "mocoop: interrupted", ""
        ]  # fmt: skip
        monkeypatch.delenv("MOCOOP_SIGNAL_AT")
        again = train(world, tmp_path / "run", "--epochs", 3)
        assert again.code == 0
        assert "going on after step 1 of 3" in again.err


@pytest.fixture(scope="module")
def with_miniclip(world, tmp_path_factory):
    """A training with the default backbone: its result, the run and the arguments."""
    folder = tmp_path_factory.mktemp("miniclip")
    counts = {f"{part}/{name}": 2 for part in ("train", "test") for name in ("forest", "quokka")}
    photos = put_classes(folder / "photos", counts)
    arguments = ["train", "--groups", world["groups"], "--data", photos, "--epochs", 1, "--no-cache"]
    arguments += ["--device", "cpu", "-o", folder / "run"]
    return call(*arguments), folder / "run", arguments


class TestMiniclip:
    """The default backbone, which knows few words."""

    def test_it_is_the_default_and_that_is_said(self, with_miniclip):
        result, run, _ = with_miniclip
        assert result.code == 0
        assert info(run)["backbone"]["name"] == "miniclip"
        assert result.err.count("miniclip is a small stand-in") == 1
        assert "backbone\tminiclip (a stand-in)\n" in result.out
        assert any("stand-in" in note for note in info(run)["notes"])

    def test_words_it_never_saw_are_named_once_and_recorded(self, with_miniclip):
        result, run, _ = with_miniclip
        (said,) = [line for line in result.err.splitlines() if "never saw these words in training: " in line]
        assert "quokka" in said
        assert "quokka" in info(run)["unknown_words"]
        assert "forest" not in info(run)["unknown_words"]
        shown = call("show", run).out
        assert "quokka" in next(line for line in shown.splitlines() if line.startswith("unknown words\t"))

    def test_a_strict_vocabulary_refuses_them(self, with_miniclip, tmp_path):
        result = call(*with_miniclip[2][:-1], tmp_path / "strict", "--strict-vocabulary")
        assert (result.code, result.out) == (3, "")
        assert "never saw these words in training: " in result.err
        assert "drop --strict-vocabulary" in result.err.splitlines()[-1]


def evaluate(world, run, *more):
    return call("eval", run, "--data", world["photos"], "--device", "cpu", "--no-cache", *more)


class TestEval:
    @pytest.mark.parametrize("part", ["all", "base"])
    def test_the_classes_trained_on_are_the_default(self, world, runs, part):
        code, out, err = evaluate(world, runs[part])
        rows = [line.split("\t") for line in out.splitlines()]
        assert code == 0
        assert rows[0] == ["classes", "images", "accuracy %", "preset", "remark"]
        assert [row[:2] for row in rows[1:]] == [[part, "30" if part == "all" else "15"]]
        assert err == ""

    def test_base_and_new_give_h(self, world, runs):
        record = json.loads(evaluate(world, runs["base"], "--classes", "base", "--classes", "new", "--json").out)
        base, new = (result["accuracy"] for result in record["results"])
        assert [result["classes"] for result in record["results"]] == ["base", "new"]
        assert (record["preset"], record["shots"], record["seed"]) == ("recommended", info(runs["base"])["shots"], 1)
        assert record["harmonic_mean"] == pytest.approx(2 * base * new / (base + new) if base + new else 0)
        assert record["results"][1]["seen_in_training"] is False
        assert record["notes"] == []
        table = evaluate(world, runs["base"], "--classes", "base", "--classes", "new").out
        assert table.splitlines()[-1].split("\t")[:3] == ["H", "", f"{record['harmonic_mean']:.2f}"]

    def test_new_classes_that_were_seen_are_called_so(self, world, runs):
        code, out, err = evaluate(world, runs["all"], "--classes", "new")
        assert code == 0
        assert out.splitlines()[-1].endswith("\tseen in training")
        assert "no measure of new classes" in err
        record = json.loads(evaluate(world, runs["all"], "--classes", "new", "--json").out)
        assert record["results"][0]["seen_in_training"] is True
        assert "no measure of new classes" in record["notes"][0]

    def test_baselines_stand_beside_the_run(self, world, runs):
        from mocoop.backbone import load_backbone
        from mocoop.baselines import ENSEMBLE, GATED, ONE_TEMPLATE, ensemble, zero_shot
        from mocoop.data.splits import choose_classes
        from mocoop.groups import load_groups
        from mocoop.hard_features import hard_features
        from mocoop.inputs import load_inputs

        record = json.loads(evaluate(world, runs["base"], "--baselines", "--json").out)
        found = record["results"][0]["training_free"]
        assert list(found) == [ONE_TEMPLATE, ENSEMBLE, GATED]
        backbone = load_backbone(f"local-dir:{world['backbone']}", device="cpu")
        part = choose_classes(open_dataset(world["photos"]), "base")
        inputs = load_inputs(backbone, part, part.test)
        x = inputs.normalised(backbone.device)[0]
        texts = [group.texts for group in load_groups(world["groups"]).groups]
        hard = hard_features(backbone, texts, part.classnames)
        for name, features in ((ONE_TEMPLATE, hard[0][0]), (ENSEMBLE, ensemble(hard))):
            right = (zero_shot(x, features).argmax(-1) == inputs.labels).sum().item()
            assert found[name] == pytest.approx(100 * right / len(inputs.labels))
        rows = [line.split("\t") for line in evaluate(world, runs["base"], "--baselines").out.splitlines()]
        assert [row[4] for row in rows[2:5]] == [ONE_TEMPLATE, ENSEMBLE, GATED]
        assert json.loads(evaluate(world, runs["base"], "--json").out)["results"][0]["training_free"] == {}

    def test_a_backbone_that_has_moved_is_named(self, world, runs, tmp_path):
        moved = tmp_path / "elsewhere"
        shutil.copytree(world["backbone"], moved)
        shutil.copytree(runs["all"], tmp_path / "run")
        rewrite(
            tmp_path / "run" / "run.json",
            lambda r: {**r, "backbone": {**r["backbone"], "name": "local-dir:" + str(tmp_path / "gone")}},
        )
        lost = evaluate(world, tmp_path / "run")
        assert (lost.code, "there is no folder" in lost.err) == (2, True)
        found = evaluate(world, tmp_path / "run", "--backbone", f"local-dir:{moved}")
        assert found.out == evaluate(world, runs["all"]).out
        other = tmp_path / "other"
        write_clip_folder(other, "quickgelu")
        refused = evaluate(world, tmp_path / "run", "--backbone", f"local-dir:{other}")
        assert (refused.code, "is not the model of the training" in refused.err) == (6, True)

    def test_names_of_new_classes_that_training_read_are_told_with_the_result(self, world, runs, tmp_path):
        options = ("--classes", "base", "--set", "text_classes=all", "--epochs", 1)
        assert train(world, tmp_path / "run", *options).code == 0
        record = json.loads(evaluate(world, tmp_path / "run", "--json").out)
        assert "read the names of 3 classes" in record["notes"][0]

    def test_all_classes_on_a_run_of_the_base_classes_are_called_so(self, world, runs):
        out = evaluate(world, runs["base"], "--classes", "all").out
        assert out.splitlines()[-1].endswith("\thalf of these classes were not trained on")

    def test_a_set_of_classes_asked_for_twice_is_measured_once(self, world, runs):
        assert len(evaluate(world, runs["all"], "--classes", "all", "--classes", "all").out.splitlines()) == 2

    def test_per_class_adds_a_line_a_class(self, world, runs):
        lines = evaluate(world, runs["base"], "--per-class").out.split("\n\n")[1].splitlines()
        assert [line.split("\t")[:3] for line in lines[1:]] == [["base", name, "5"] for name in sorted(CLASSNAMES)[:3]]

    def test_pictures_are_written_beside_the_table(self, world, runs, tmp_path):
        result = evaluate(world, runs["base"], "--classes", "base", "--classes", "new", "--plots", tmp_path / "plots")
        names = ["losses.svg", "expert-use-base.svg", "expert-use-new.svg", "base-new.svg"]
        assert result.err.splitlines() == [f"picture: {tmp_path / 'plots' / name}" for name in names]
        words = {name: ET.tostring(ET.parse(tmp_path / "plots" / name).getroot(), "unicode") for name in names}
        assert "airport" in words["expert-use-base.svg"]
        assert "sea snake" in words["expert-use-new.svg"]

    def test_results_are_printed_even_where_pictures_cannot_be_written(self, world, runs, tmp_path):
        (tmp_path / "file").touch()
        result = evaluate(world, runs["all"], "--plots", tmp_path / "file" / "plots")
        assert result.code == 6
        assert result.out.startswith("classes\t")

    def test_unreadable_pictures_fail_or_are_skipped_up_to_a_tenth(self, world, runs, tmp_path):
        photos = tmp_path / "photos"
        shutil.copytree(world["photos"], photos)
        damaged = {**world, "photos": photos}
        for path in sorted((photos / "test" / "dog").iterdir())[:3]:
            path.write_bytes(b"no picture")
        failed = evaluate(damaged, runs["all"])
        assert (failed.code, failed.out) == (4, "")
        assert "--on-bad-image skip" in failed.err
        skipped = evaluate(damaged, runs["all"], "--on-bad-image", "skip")
        assert skipped.code == 0
        assert skipped.out.splitlines()[1].endswith("\t3 unreadable images skipped")
        sorted((photos / "test" / "airport").iterdir())[0].write_bytes(b"no picture")
        over = evaluate(damaged, runs["all"], "--on-bad-image", "skip")
        assert over.code == 4
        assert "4 of 30 test images cannot be read" in over.err
        assert evaluate(damaged, runs["all"], "--on-bad-image", "skip", "--max-skipped", 0.2).code == 0

    def test_the_split_is_that_of_the_training(self, world, tmp_path):
        photos = put_classes(tmp_path / "photos", {"airport": 12, "dog": 12})
        unsplit = {**world, "photos": photos}
        assert train(unsplit, tmp_path / "run", "--split-seed", 4).code == 0
        for example in open_dataset(photos, split_seed=4).train:
            example.path.write_bytes(b"")  # whoever takes one for a test picture will notice
        assert evaluate(unsplit, tmp_path / "run").code == 0

    def test_features_are_cached_unless_told_otherwise(self, world, runs, tmp_path, monkeypatch):
        monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path / "cache"))
        assert evaluate(world, runs["all"]).code == 0
        assert train(world, tmp_path / "run").code == 0
        assert not (tmp_path / "cache").exists()
        cached = call("eval", runs["all"], "--data", world["photos"], "--device", "cpu")
        assert len(list((tmp_path / "cache").rglob("*.npy"))) == 1
        assert call("eval", runs["all"], "--data", world["photos"], "--device", "cpu") == cached

    def test_threads_are_set(self, world, runs):
        torch.set_num_threads(2)
        assert evaluate(world, runs["all"], "--threads", 1).code == 0
        assert torch.get_num_threads() == 1

    def test_other_data_is_refused(self, world, runs, tmp_path):
        photos = put_classes(tmp_path / "photos", {"train/cat": 1, "train/dog": 1, "test/cat": 1, "test/dog": 1})
        result = evaluate({**world, "photos": photos}, runs["all"])
        assert result.code == 4
        assert "does not have the classes of the training" in result.err


def predict(run, *more):
    return call("predict", run, "--device", "cpu", *more)


class TestPredict:
    def test_a_pipe_gets_tab_separated_lines_and_a_folder_stands_for_its_pictures(self, world, runs):
        folder = world["photos"] / "test" / "dog"
        one = world["photos"] / "test" / "airport" / "00.png"
        code, out, err = predict(runs["all"], one, folder)
        rows = [line.split("\t") for line in out.splitlines()]
        assert code == 0
        assert err == ""
        assert rows[0] == ["path", "class", "probability", "experts"]
        assert [row[0] for row in rows[1:]] == [str(one), *(str(folder / f"{n:02d}.png") for n in range(5))]
        assert all(row[1] in CLASSNAMES and 0 < float(row[2]) <= 1 for row in rows[1:])

    def test_a_terminal_gets_a_table(self, world, runs, on_a_terminal):
        shown = on_a_terminal(250, "predict", runs["all"], world["photos"] / "test" / "dog")
        assert shown.count("│") == 5 * 5
        assert "┃ probability" in shown

    def test_json_is_one_line_a_picture(self, world, runs):
        code, out, _ = predict(runs["all"], world["photos"] / "test" / "dog", "--json", "--top", 2)
        lines = [json.loads(line) for line in out.splitlines()]
        assert code == 0
        assert len(lines) == 5
        for line in lines:
            assert list(line) == ["path", "class", "probability", "top_k", "experts"]
            assert len(line["top_k"]) == 2
            assert [list(expert) for expert in line["experts"]] == [["id", "weight", "templates"]] * 2
            assert sum(expert["weight"] for expert in line["experts"]) == pytest.approx(1, abs=2e-6)

    def test_bad_pictures_fail_or_are_told_in_their_place(self, world, runs, tmp_path):
        good, bad, missing = (
            world["photos"] / "test" / "dog" / "00.png",
            tmp_path / "a\nb\x1b[2J.png",
            tmp_path / "no.png",
        )
        bad.write_bytes(b"no picture")
        refused = predict(runs["all"], good, bad)
        assert (refused.code, refused.out) == (4, "")
        assert r"a\nb\x1b[2J.png" in refused.err
        assert len(refused.err.splitlines()) == 2
        assert predict(runs["all"], missing) == (
            4,
            "",
            f"mocoop: there is no image {missing}\n  hint: check the path\n",
        )
        found = predict(runs["all"], bad, missing, good, "--on-bad-image", "skip", "--json")
        lines = [json.loads(line) for line in found.out.splitlines()]
        assert found.code == 0
        assert [list(line)[:2] for line in lines] == [["path", "error"], ["path", "error"], ["path", "class"]]
        assert lines[0]["path"] == str(bad)
        shown = predict(runs["all"], bad, "--on-bad-image", "skip").out
        assert shown.splitlines()[1].startswith(f"{tmp_path}/a\\nb\\x1b[2J.png\t\t\tnot read: ")

    def test_a_folder_without_pictures_is_refused(self, runs, tmp_path):
        assert predict(runs["all"], tmp_path).err.startswith(f"mocoop: {tmp_path} has no images\n")

    def test_other_classes_come_from_a_file(self, world, runs, tmp_path):
        names = tmp_path / "names.txt"
        names.write_text("\ufeffquiet zebra\n\n grand piano \n", encoding="utf-8")
        out = predict(runs["all"], world["photos"] / "test" / "dog", "--json", "--classes-file", names).out
        assert {guess["class"] for line in out.splitlines() for guess in json.loads(line)["top_k"]} == {
            "quiet zebra", "grand piano"
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("content", "said"),
        [(b"one\n", "names 1 class"), (b"a\nA\n", "one and the same name"), (b"a\n\xff\n", "not UTF-8")],
    )
    def test_a_bad_file_of_classes_is_refused(self, world, runs, tmp_path, content, said):
        (tmp_path / "names.txt").write_bytes(content)
        result = predict(runs["all"], world["photos"] / "test" / "dog", "--classes-file", tmp_path / "names.txt")
        assert (result.code, result.out) == (4, "")
        assert said in result.err


class TestShow:
    def test_a_run_is_shown_with_its_experts_and_settings(self, world, runs):
        code, out, err = call("show", runs["base"])
        about, experts, settings = (part.splitlines() for part in out.rstrip("\n").split("\n\n"))
        assert (code, err) == (0, "")
        assert "classes\tbase: 3 of 6" in about
        assert [line.split("\t")[::2] for line in experts[1:]] == [
            [group["id"], ("* " if number == 0 else "") + text]
            for group in GROUPS["groups"]
            for number, text in enumerate(group["templates"])
        ]
        assert "epochs\t1" in settings

    def test_json_holds_the_same(self, runs):
        shown = json.loads(call("show", runs["base"], "--json").out)
        assert shown["classnames"] == sorted(CLASSNAMES)[:3]
        assert [expert["id"] for expert in shown["experts"]] == ["plain", "blurry", "texture"]
        assert sum(expert["use"] for expert in shown["experts"]) == pytest.approx(1)
        assert shown["last_epoch"]["epoch"] == 1

    def test_a_run_without_a_log_is_shown_without_losses(self, runs, tmp_path):
        shutil.copytree(runs["all"], tmp_path / "run")
        (tmp_path / "run" / "log.jsonl").unlink()
        assert "loss, last epoch\t-\n" in call("show", tmp_path / "run").out
        assert json.loads(call("show", tmp_path / "run", "--json").out)["last_epoch"] == {}

    def test_a_narrow_terminal_keeps_its_lines(self, runs, on_a_terminal):
        shown = on_a_terminal(20, "show", runs["all"])
        assert max(map(len, shown.splitlines())) <= 20
        assert "│ top_k" in shown


def rewrite(path, change):
    record = json.loads(path.read_text())
    path.write_text(json.dumps(change(record)))


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGE = {
    "no run folder": (lambda run: (run / "run.json").unlink(), "is not a run folder"),
    "unfinished": (lambda run: rewrite(run / "run.json", lambda r: {**r, "status": "running"}), "is not finished"),
    "newer": (lambda run: rewrite(run / "run.json", lambda r: {**r, "format": 99}), "newer mocoop"),
    "a list": (lambda run: rewrite(run / "run.json", lambda r: [r]), "is not the record of a run"),
    "few keys": (
        lambda run: rewrite(run / "run.json", lambda r: {k: r[k] for k in ("format", "status", "config")}),
        "'backbone' is a required property",
    ),
    "odd format": (
        lambda run: rewrite(run / "run.json", lambda r: {**r, "format": "new"}),
        "is not the record of a run",
    ),
    "odd setting": (lambda run: rewrite(run / "run.json", lambda r: {**r, "config": {"size": 3}}), "cannot be used"),
    "no groups": (lambda run: (run / "groups.json").unlink(), "groups.json is missing or has changed"),
    "other groups": (lambda run: rewrite(run / "groups.json", lambda r: {**r, "domain": "cats"}), "has changed"),
    "cut record": (lambda run: cut(run / "run.json"), "run.json"),
    "binary record": (lambda run: (run / "run.json").write_bytes(os.urandom(99)), "run.json"),
}
TENSORS = {
    "cut model": (lambda run: cut(run / "model.safetensors"), "model.safetensors has changed"),
    "no features": (lambda run: (run / "features.safetensors").unlink(), "features.safetensors is missing"),
    "changed features": (lambda run: cut(run / "features.safetensors"), "features.safetensors has changed"),
}


class TestDamagedRuns:
    @pytest.fixture
    def run(self, runs, tmp_path):
        return shutil.copytree(runs["all"], tmp_path / "run")

    @staticmethod
    def check(result, said):
        assert (result.code, result.out) == (6, "")
        line, *hint = result.err.splitlines()
        assert line.startswith("mocoop: ")
        assert said in line
        assert len(hint) <= 1

    @pytest.mark.parametrize(("damage", "said"), DAMAGE.values(), ids=DAMAGE)
    def test_show_eval_and_predict_refuse_it(self, world, run, damage, said):
        damage(run)
        self.check(call("show", run), said)
        self.check(evaluate(world, run), said)
        self.check(predict(run, world["photos"] / "test" / "dog"), said)

    @pytest.mark.parametrize(("damage", "said"), TENSORS.values(), ids=TENSORS)
    def test_eval_and_predict_refuse_damaged_tensors(self, world, run, damage, said):
        damage(run)
        self.check(evaluate(world, run), said)
        self.check(predict(run, world["photos"] / "test" / "dog"), said)

    def test_show_refuses_a_damaged_log(self, run):
        cut(run / "log.jsonl")
        self.check(call("show", run), "log.jsonl is damaged")

    def test_a_folder_that_is_not_there(self, world, tmp_path):
        self.check(call("show", tmp_path / "none"), "there is no folder")


class TestScenes:
    def test_tiles_are_drawn_into_class_folders(self, tmp_path):
        code, out, err = call("scenes", "-o", tmp_path / "tiles", "--train", 1, "--val", 0, "--test", 1)
        assert (code, out) == (0, f"{tmp_path / 'tiles'}\n")
        assert {path.name for path in (tmp_path / "tiles").iterdir()} == {"train", "test"}
        assert len(list((tmp_path / "tiles" / "train").iterdir())) == 32
        assert f"mocoop train --groups groups.json --data {tmp_path / 'tiles'}" in err

    def test_a_folder_with_files_in_it_is_refused(self, tmp_path):
        (tmp_path / "mine.txt").touch()
        code, out, err = call("scenes", "-o", tmp_path)
        assert (code, out) == (2, "")
        assert err == f"mocoop: {tmp_path} is not empty\n  hint: choose a new folder\n"
