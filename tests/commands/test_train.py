"""`mocoop train`, as it is typed."""

from __future__ import annotations

import json
import shutil
import signal

import pytest
from command_line import (
    call,
    info,
    train,
)
from datafiles import put_classes
from worlds import CLASSNAMES

from mocoop.data.sources import open_dataset
from mocoop.files import sha256_file


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

    def test_the_papers_groups_are_taken_by_the_name_of_the_data(self, world, tmp_path):
        data = shutil.copy(world["data"], tmp_path / "caltech101.npz")
        assert train(world, tmp_path / "run", "--groups", "paper", "--data", data).code == 0
        assert info(tmp_path / "run")["groups"]["file"] == "caltech101.json"
        refused = train(world, tmp_path / "other", "--groups", "paper", "--data", world["data"])
        assert refused.code == 2
        assert refused.err.startswith("mocoop: the paper has no groups for features\n")

    def test_a_file_called_paper_is_a_file(self, world, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        shutil.copy(world["groups"], "paper")
        assert train(world, tmp_path / "run", "--groups", "paper").code == 0
        assert info(tmp_path / "run")["groups"]["ids"] == ["plain", "blurry", "texture"]

    @pytest.mark.parametrize(("word", "value"), [("all", "all"), ("2", 2)])
    def test_experts_may_be_some_or_all(self, world, tmp_path, word, value):
        assert train(world, tmp_path / "run", "--top-k", word).code == 0
        assert info(tmp_path / "run")["config"]["top_k"] == value

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
    """A training with miniclip: its result, the run and the arguments."""
    folder = tmp_path_factory.mktemp("miniclip")
    counts = {f"{part}/{name}": 2 for part in ("train", "test") for name in ("forest", "quokka")}
    photos = put_classes(folder / "photos", counts)
    arguments = ["train", "--groups", world["groups"], "--data", photos, "--epochs", 1, "--no-cache"]
    arguments += ["--backbone", "miniclip", "--device", "cpu", "-o", folder / "run"]
    return call(*arguments), folder / "run", arguments


class TestMiniclip:
    """The stand-in, which knows few words."""

    def test_it_is_said_to_be_a_stand_in(self, with_miniclip):
        result, run, _ = with_miniclip
        assert result.code == 0
        assert info(run)["backbone"]["name"] == "miniclip"
        assert result.err.count("miniclip is a small stand-in") == 1
        assert "backbone\tminiclip (a stand-in)\n" in result.out
        assert any("stand-in" in note for note in info(run)["notes"])

    def test_photographs_take_photoclip_and_that_is_said(self, world, with_miniclip, tmp_path):
        arguments = [one for one in with_miniclip[2][:-1] if one not in ("--backbone", "miniclip")]
        result = call(*arguments, tmp_path / "run")
        assert result.code == 0
        assert info(tmp_path / "run")["backbone"]["name"] == "photoclip"
        assert result.err.count("photoclip is a small model of ours") == 1

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
