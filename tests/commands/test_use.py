"""`mocoop eval`, `predict` and `show`, as they are typed, on sound runs and damaged ones."""

from __future__ import annotations

import csv
import json
import os
import shutil
import xml.etree.ElementTree as ET
from functools import partial

import numpy as np
import pytest
import torch
from command_line import (
    call,
    cut,
    evaluate,
    info,
    predict,
    rewrite,
    shown_on_a_terminal,
    train,
    without_hash_of_log,
)
from datafiles import put_classes
from towers import write_clip_folder
from worlds import CLASSNAMES, GROUPS

from mocoop.data.sources import open_dataset
from mocoop.files import sha256_file


@pytest.fixture
def on_a_terminal(monkeypatch):
    return partial(shown_on_a_terminal, monkeypatch)


class TestEval:
    @pytest.mark.parametrize("part", ["all", "base"])
    def test_the_classes_trained_on_are_the_default(self, world, runs, part):
        code, out, err = evaluate(world, runs[part])
        rows, certainty = ([line.split("\t") for line in table.splitlines()] for table in out.split("\n\n"))
        assert code == 0
        beside = ["balanced %", "worst class %", "largest class %"]
        assert rows[0] == ["classes", "images", "accuracy %", *beside, "preset", "remark"]
        assert [row[:2] for row in rows[1:]] == [[part, "30 of 54" if part == "all" else "15 of 27"]]
        assert certainty[0][:5] == ["classes", "ECE %", "before", "in 90 % sets", "classes a set"]
        assert certainty[0][5:] == ["wrong %: surest half", "80 %", "90 %", "all"]
        assert (certainty[1][0], certainty[1][-1]) == (part, f"{100 - float(rows[1][2]):.1f}")
        assert err.startswith("note: no val was given")

    def test_what_cannot_be_written_is_refused_before_the_work(self, world, runs, tmp_path):
        (tmp_path / "file").write_text("x")
        refused = {
            ("-o", tmp_path / "none" / "rows.csv"): "No such file or directory",
            ("-o", tmp_path / "file" / "rows.csv"): "Not a directory",
            ("--plots", tmp_path / "file" / "plots"): "Not a directory",
        }
        for (option, path), why in refused.items():
            code, out, err = evaluate(world, runs["all"], option, path)
            assert (code, out, err.splitlines()[0]) == (6, "", f"mocoop: cannot write {path}: {why}")
        assert [path.name for path in tmp_path.iterdir()] == ["file"]
        assert call("report", runs["all"], "-o", tmp_path / "none" / "page.html").code == 6

    def test_base_and_new_give_h(self, world, runs):
        record = json.loads(evaluate(world, runs["base"], "--classes", "base", "--classes", "new", "--json").out)
        base, new = (result["accuracy"] for result in record["results"])
        assert [result["classes"] for result in record["results"]] == ["base", "new"]
        assert (record["preset"], record["shots"], record["seed"]) == ("recommended", info(runs["base"])["shots"], 1)
        assert record["harmonic_mean"] == pytest.approx(2 * base * new / (base + new) if base + new else 0)
        assert record["results"][1]["seen_in_training"] is False
        assert not any("seen in training" in note for note in record["notes"])
        table = evaluate(world, runs["base"], "--classes", "base", "--classes", "new").out
        assert table.split("\n\n")[0].splitlines()[-1].split("\t")[:3] == ["H", "", f"{record['harmonic_mean']:.2f}"]

    def test_new_classes_that_were_seen_are_called_so(self, world, runs):
        code, out, err = evaluate(world, runs["all"], "--classes", "new")
        assert code == 0
        assert "seen in training" in out.split("\n\n")[0].splitlines()[-1].split("\t")[-1]
        assert "no measure of new classes" in err
        record = json.loads(evaluate(world, runs["all"], "--classes", "new", "--json").out)
        assert record["results"][0]["seen_in_training"] is True
        assert any("no measure of new classes" in note for note in record["notes"])

    def test_baselines_stand_beside_the_run(self, world, runs):
        from mocoop.backbone.backbone import load_backbone
        from mocoop.backbone.hard_features import hard_features
        from mocoop.data.splits import choose_classes
        from mocoop.groupfile.groups import load_groups
        from mocoop.runs.baselines import ENSEMBLE, GATED, LINEAR_PROBE, ONE_TEMPLATE
        from mocoop.training.inputs import load_inputs

        record = json.loads(evaluate(world, runs["base"], "--baselines", "--json").out)
        found = record["results"][0]["training_free"]
        assert list(found) == [ONE_TEMPLATE, ENSEMBLE, GATED]
        backbone = load_backbone(f"local-dir:{world['backbone']}", device="cpu")
        part = choose_classes(open_dataset(world["photos"]), "base")
        inputs = load_inputs(backbone, part, part.test)
        x = inputs.normalised(backbone.device)[0]
        texts = [group.texts for group in load_groups(world["groups"]).groups]
        hard = hard_features(backbone, texts, part.classnames)
        mean = torch.nn.functional.normalize(torch.cat(hard).mean(dim=0), dim=-1)
        for name, features in ((ONE_TEMPLATE, hard[0][0]), (ENSEMBLE, mean)):
            right = ((x @ features.T).argmax(-1) == inputs.labels).sum().item()
            assert found[name] == pytest.approx(100 * right / len(inputs.labels))
        rows = [line.split("\t") for line in evaluate(world, runs["base"], "--baselines").out.splitlines()]
        assert [row[-1].split("; ")[0] for row in rows[2:6]] == [ONE_TEMPLATE, ENSEMBLE, GATED, LINEAR_PROBE]
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
        assert any("read the names of 3 classes" in note for note in record["notes"])

    def test_all_classes_on_a_run_of_the_base_classes_are_called_so(self, world, runs):
        out = evaluate(world, runs["base"], "--classes", "all").out
        assert out.split("\n\n")[0].endswith("\thalf of these classes were not trained on")

    def test_a_set_of_classes_asked_for_twice_is_measured_once(self, world, runs):
        out = evaluate(world, runs["all"], "--classes", "all", "--classes", "all").out
        assert len(out.split("\n\n")[0].splitlines()) == 2

    def test_per_class_adds_a_line_a_class(self, world, runs):
        lines = evaluate(world, runs["base"], "--per-class").out.split("\n\n")[1].splitlines()
        assert [line.split("\t")[:3] for line in lines[1:]] == [["base", name, "5"] for name in sorted(CLASSNAMES)[:3]]

    def test_pictures_are_written_beside_the_table(self, world, runs, tmp_path):
        result = evaluate(world, runs["base"], "--classes", "base", "--classes", "new", "--plots", tmp_path / "plots")
        of_parts = [
            f"{what}-{part}.svg" for part in ("base", "new") for what in ("expert-use", "confusion", "reliability")
        ]
        names = ["losses.svg", *of_parts, "base-new.svg"]
        assert result.err.splitlines()[-8:] == [f"picture: {tmp_path / 'plots' / name}" for name in names]
        words = {name: ET.tostring(ET.parse(tmp_path / "plots" / name).getroot(), "unicode") for name in names}
        assert "airport" in words["expert-use-base.svg"]
        assert "sea snake" in words["expert-use-new.svg"]

    def test_a_line_an_image_is_written(self, world, runs, tmp_path):
        result = evaluate(world, runs["base"], "--classes", "base", "--classes", "new", "-o", tmp_path / "images.csv")
        assert result.err.splitlines()[-1] == f"a line an image: {tmp_path / 'images.csv'}"
        rows = list(csv.DictReader((tmp_path / "images.csv").read_text(encoding="utf-8").splitlines()))
        assert [row["classes"] for row in rows] == ["base"] * 15 + ["new"] * 15
        right = [row["right"] == "yes" for row in rows if row["classes"] == "base"]
        assert f"{100 * sum(right) / len(right):.2f}" == result.out.splitlines()[1].split("\t")[2]
        for row in rows:
            assert (row["right"] == "yes") == (row["label"] == row["answer"])
            assert float(row["probability"]) >= float(row["second_probability"])
            assert row["answer"] != row["second"]

    def test_results_are_printed_even_where_pictures_cannot_be_written(self, world, runs, tmp_path):
        evaluate(world, runs["all"], "--plots", tmp_path / "plots")
        for picture in (tmp_path / "plots").iterdir():  # found out only when it is written
            picture.unlink()
            picture.mkdir()
        result = evaluate(world, runs["all"], "--plots", tmp_path / "plots")
        assert result.code == 6
        assert result.out.startswith("classes\t")

    def test_a_folder_that_cannot_be_made_is_refused_before_the_work(self, world, runs, tmp_path):
        (tmp_path / "file").touch()
        result = evaluate(world, runs["all"], "--plots", tmp_path / "file" / "plots")
        assert (result.code, result.out) == (6, "")
        assert f"cannot write {tmp_path / 'file' / 'plots'}" in result.err

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
        assert skipped.out.splitlines()[1].endswith("3 unreadable images skipped")
        sorted((photos / "test" / "airport").iterdir())[0].write_bytes(b"no picture")
        over = evaluate(damaged, runs["all"], "--on-bad-image", "skip")
        assert over.code == 4
        assert "4 of 30 test images cannot be read" in over.err
        assert evaluate(damaged, runs["all"], "--on-bad-image", "skip", "--max-skipped", 0.2).code == 0

    def test_the_split_is_that_of_the_training(self, world, tmp_path):
        photos = put_classes(tmp_path / "photos", {"airport": 12, "dog": 12})
        unsplit = {**world, "photos": photos}
        assert train(unsplit, tmp_path / "run", "--split-seed", 4).code == 0
        kept = info(tmp_path / "run")["data"]["images_sha256"]
        data = open_dataset(photos, split_seed=4)
        for example in (*data.train, *data.val):
            if sha256_file(example.path) not in kept:  # by those that are, the folder is known again
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
        assert "has classes that the training did not have" in result.err


class TestPredict:
    def test_a_pipe_gets_tab_separated_lines_and_a_folder_stands_for_its_pictures(self, world, runs):
        folder = world["photos"] / "test" / "dog"
        one = world["photos"] / "test" / "airport" / "00.png"
        code, out, err = predict(runs["all"], one, folder)
        rows = [line.split("\t") for line in out.splitlines()]
        assert code == 0
        assert [line.partition(":")[2][:45] for line in err.splitlines()] == [
            " of the training of this run: it may have lea"
        ]  # one epoch from a random tower
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
            assert [list(expert) for expert in line["experts"]] == [["id", "weight"]] * 3
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
        slip = good.with_stem(good.stem + "x")
        assert predict(runs["all"], slip).err.startswith(
            f"mocoop: there is no image {slip} ({good} is there: is that meant?)\n"
        )
        code, _, said = predict(runs["all"], "https://example.org/a.png")
        assert code == 4
        assert "images must be files here, and https://example.org/a.png is an address" in said
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


class TestPredictFeatures:
    def test_a_file_of_features_stands_for_its_rows_beside_images(self, world, runs, tmp_path):
        np.savez(tmp_path / "x.npz", features=np.load(world["data"])["features"][:3])
        image = next((world["photos"] / "test" / "dog").iterdir())
        out = predict(runs["all"], tmp_path / "x.npz", image, "--json").out
        found = [json.loads(line) for line in out.splitlines()]
        assert [one["path"] for one in found] == [*(f"{tmp_path / 'x.npz'} row {row}" for row in range(3)), str(image)]
        assert {one["class"] for one in found} <= set(CLASSNAMES)

    def test_the_backbone_may_be_gone(self, world, runs, tmp_path):
        shutil.copytree(runs["all"], tmp_path / "run")
        rewrite(tmp_path / "run" / "run.json", lambda r: {**r, "backbone": {**r["backbone"], "name": "local-dir:gone"}})
        np.savez(tmp_path / "x.npz", features=np.load(world["data"])["features"][:3])
        assert predict(tmp_path / "run", tmp_path / "x.npz").code == 0


class TestCollapse:
    SAID = "the router collapsed: expert blurry comes first for 97% of the training images"

    def test_it_is_said_wherever_the_run_is_looked_at(self, world, runs, tmp_path):
        shutil.copytree(runs["all"], tmp_path / "run")
        rewrite(tmp_path / "run" / "run.json", lambda r: {**r, "collapse": self.SAID})
        assert f"router\t{self.SAID}" in call("show", tmp_path / "run").out
        assert f"note: {self.SAID}" in evaluate(world, tmp_path / "run").err

    def test_a_sound_run_says_nothing_of_it(self, world, runs):
        assert info(runs["all"])["collapse"] is None
        assert "collapsed" not in call("show", runs["all"]).out + evaluate(world, runs["all"]).err


def test_a_run_of_the_first_version_opens_and_predicts_the_same(world, tmp_path):
    """Its settings, its record and its log lack what came since."""
    assert train(world, tmp_path / "run", "--set", "router_form=linear", "--top-k", 2).code == 0
    before = predict(tmp_path / "run", world["photos"] / "test" / "dog").out
    new = ("router_form", "router_lr", "gate_softness")

    def older(record):
        config = {name: value for name, value in record["config"].items() if name not in new}
        record = without_hash_of_log(record)
        return {name: value for name, value in {**record, "config": config}.items() if name != "collapse"}

    rewrite(tmp_path / "run" / "run.json", older)
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    lines = [json.dumps({k: v for k, v in line.items() if k != "reference_use"}) + "\n" for line in log]
    (tmp_path / "run" / "log.jsonl").write_text("".join(lines))
    assert predict(tmp_path / "run", world["photos"] / "test" / "dog").out == before
    assert call("show", tmp_path / "run").code == 0


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
        rewrite(tmp_path / "run" / "run.json", without_hash_of_log)
        assert "loss, last epoch\t-\n" in call("show", tmp_path / "run").out
        assert json.loads(call("show", tmp_path / "run", "--json").out)["last_epoch"] == {}

    def test_a_narrow_terminal_keeps_its_lines(self, runs, on_a_terminal):
        shown = on_a_terminal(20, "show", runs["all"])
        assert max(map(len, shown.splitlines())) <= 20
        assert "│ top_k" in shown


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
    "no groups": (lambda run: (run / "groups.json").unlink(), "groups.json is missing"),
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
        self.check(call("show", run), "log.jsonl has changed")

    def test_a_folder_that_is_not_there(self, world, tmp_path):
        self.check(call("show", tmp_path / "none"), "there is no folder")


@pytest.fixture(scope="module")
def probe(world, tmp_path_factory):
    """Trained on features that no backbone here made."""
    out = tmp_path_factory.mktemp("probe") / "run"
    what = ("--method", "linear-probe", "--data", world["data"], "--backbone", "features:24", "--shots", 4)
    done = call("train", *what, "--no-cache", "-o", out)
    assert (done.code, f"mocoop predict {out} FEATURES.npz" in done.err) == (0, True)
    return out


class TestFeaturesOfNoBackbone:
    """A run that never saw a picture: `--backbone features:WIDTH`."""

    def test_pictures_are_refused_before_anything_waits_for_them(self, world, probe, tmp_path):
        dog = world["photos"] / "test" / "dog"
        commands = (
            ("predict", probe, dog),
            ("predict", probe, world["data"], dog, "-o", tmp_path / "rows.csv"),
            ("predict-many", probe, dog, "-o", tmp_path / "rows"),
            ("export", probe, "-o", tmp_path / "model.onnx"),
            ("serve", probe, "--port", 0),
        )
        for command in commands:
            code, out, err = call(*command)
            assert (code, out) == (2, "")
            assert err.startswith("mocoop: features:24 makes no features of images\n  hint: give a file of features")

    def test_eval_and_report_say_that_no_text_is_beside_it(self, world, probe, tmp_path):
        table = call("eval", probe, "--data", world["data"], "--baselines").out
        assert "linear probe, the same training images" in table
        assert "zero-shot, one template: features:24 has no text tower" in table
        assert call("report", probe, "--data", world["data"], "-o", tmp_path / "page.html").code == 0
        assert "linear probe, the same training images" in (tmp_path / "page.html").read_text()


class TestOutputsOverOtherFiles:
    """A slip of the pen behind `-o` costs neither a run nor the table that was measured."""

    @pytest.fixture
    def run(self, runs, tmp_path):
        return shutil.copytree(runs["all"], tmp_path / "run")

    def test_a_file_of_another_kind_is_not_written(self, world, run):
        before = {path: path.read_bytes() for path in run.iterdir()}
        for command, end in (("eval", ".csv"), ("show", ".html or .htm"), ("export", ".onnx"), ("report", ".csv")):
            for path in before:
                code, out, err = call(command, run, "--data", world["photos"], "-o", path)
                assert (code, out) == (2, "")
                assert end in err.splitlines()[1]
        assert {path: path.read_bytes() for path in run.iterdir()} == before

    def test_what_is_read_is_not_written(self, world, run, tmp_path):
        table, names = tmp_path / "photos.csv", tmp_path / "names.csv"
        for path in (table, names):
            path.write_text("path,label\na.png,dog\n")
        (tmp_path / "same.csv").symlink_to(table)
        for command, *given in (
            ("eval", run, "--data", table, "-o", table),
            ("eval", run, "--data", table, "-o", tmp_path / "same.csv"),
            ("eval", run, "--data", world["photos"], "--class-names", names, "-o", names),
            ("report", run, "--data", table, "-o", tmp_path / "photos.html", "--also", "csv"),
        ):
            code, out, err = call(command, *given)
            assert (code, out) == (2, "")
            assert "is what this command reads" in err
            assert table.read_text() == names.read_text() == "path,label\na.png,dog\n"


@pytest.mark.parametrize("names", [("{}.jpg",), ("/there/{}.jpg", "pictures/{}.jpg")], ids=["relative", "both"])
def test_features_whose_pictures_are_elsewhere_are_looked_at_without_them(world, probe, tmp_path, names):
    with np.load(world["data"]) as file:
        arrays = dict(file)
    count = len(arrays["labels"])
    paths = np.array([names[row // 2 % len(names)].format(row) for row in range(count)])
    arrays["labels"][arrays["split"] == "test"] = 0  # so that there are mistakes to be shown
    np.savez(tmp_path / "elsewhere.npz", **arrays, paths=paths)
    given = ("--data", tmp_path / "elsewhere.npz", "--no-cache", "--device", "cpu")
    assert call("show", probe, *given, "-o", tmp_path / "look.html").code == 0
    assert call("report", probe, *given, "-o", tmp_path / "page.html").code == 0
    for page in ("look.html", "page.html"):
        text = (tmp_path / page).read_text()
        assert any(str(path) in text for path in paths[arrays["split"] == "test"])
