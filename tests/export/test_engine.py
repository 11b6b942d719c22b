"""The engine without torch: the same images, the same words, in the same places."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import pytest
from command_line import call, predict
from datafiles import pixels
from exports import small_run, some_pictures, written
from geotiffs import tiff, twelve_bits

from mocoop.errors import DataError
from mocoop.export.engine import Engine
from mocoop.runs.predict import predict_images


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return small_run(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return some_pictures(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def model(run, tmp_path_factory):
    return written(run, tmp_path_factory.mktemp("model") / "model.onnx").path


def by_torch(run, *more):
    """`mocoop predict` in single precision, which a CPU may not choose by itself."""
    return predict(run, "--precision", "float32", *more)


def alike(ours, theirs):
    """Equal but for the last digits of numbers."""
    assert type(ours) is type(theirs)
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        for key in ours:
            alike(ours[key], theirs[key])
    elif isinstance(ours, list):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            alike(one, other)
    elif isinstance(ours, float):
        assert ours == pytest.approx(theirs, abs=2e-5)
    else:
        assert ours == theirs


def lines(told):
    assert told.code == 0, told.err
    return [json.loads(line) for line in told.out.splitlines()]


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_its_answers_are_the_runs(run, model, photos, batch_size):
    theirs = list(predict_images(run, photos, backbone=run.load_backbone("cpu", precision="float32")))
    alike(list(Engine(model).predict_images(photos, batch_size=batch_size)), theirs)


@pytest.mark.parametrize("written", [False, True])
def test_torch_is_never_imported(model, photos, tmp_path, written):
    out = tmp_path / "out.jsonl"
    more = ["-o", str(out), "--sort-into", str(tmp_path / "sorted")] if written else ["--json"]
    script = f"""
        import sys
        sys.modules.update(dict.fromkeys(("torch", "torchvision", "open_clip", "timm", "transformers", "onnx")))
        from mocoop import cli
        from mocoop.commands import mocoop
        cli.run(mocoop, "mocoop", ["predict", {str(model)!r}, {str(photos[0])!r}, *{more!r}])
    """
    command = [sys.executable, "-c", "\n".join(line.strip() for line in script.splitlines())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(out.read_text() if written else done.stdout)["path"] == str(photos[0])
    loaded = "import mocoop.export.engine, sys; print({'torch', 'open_clip', 'onnxruntime', 'onnx'} & set(sys.modules))"
    assert (
        subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout == "set()\n"
    )


class TestTheCommand:
    def test_a_model_is_used_as_a_run_is(self, run, model, photos):
        theirs = lines(by_torch(run.path, *photos, "--json"))
        alike(lines(call("predict", model, *photos, "--json", "--threads", 1)), theirs)
        table = call("predict", model, *photos, "--top", 1).out.splitlines()
        assert table[0] == "path\tclass\tprobability\texperts"
        assert len(table) == 1 + len(photos)

    @pytest.mark.parametrize("form", ["jsonl", "parquet", "csv", "html"])
    def test_files_and_folders_are_written_too(self, model, photos, tmp_path, form):
        out, bad = tmp_path / f"out.{form}", tmp_path / "bad.png"
        bad.write_bytes(b"GIF89a")
        done = call("predict", model, *photos, bad, "-o", out, "--sort-into", tmp_path / "sorted")
        assert done.code == 0, done.err
        assert f"{out}: {len(photos) + 1} images, 1 of them not read" in done.err
        rows = lines(call("predict", model, *photos, bad, "--json", "--on-bad-image", "skip"))
        if form == "jsonl":
            assert [json.loads(line) for line in out.read_text().splitlines()] == rows
        there = {path.name: path.parent.name for path in (tmp_path / "sorted").rglob("*.*") if path.name[0] != "_"}
        assert there == {path.name: row["class"] for path, row in zip(photos, rows, strict=False)}

    def test_very_many_pictures_are_answered_the_same(self, model, photos, tmp_path):
        (folder := tmp_path / "photos").mkdir()
        for path in photos:
            shutil.copy(path, folder)
        done = call(
            "predict-many", model, folder, "-o", tmp_path / "out", "--format", "jsonl", "--part-size", 2, "--threads", 1
        )
        assert done.code == 0, done.err
        rows = [row for part in sorted((tmp_path / "out").glob("*.jsonl")) for row in part.read_text().splitlines()]
        alike([json.loads(row) for row in rows], lines(call("predict", model, folder, "--json", "--experts", "ids")))
        refused = call("predict-many", model, folder, "-o", tmp_path / "other", "--precision", "float16")
        assert (refused.code, "--precision" in refused.err) == (2, True)

    def test_a_run_folder_is_used_by_its_own_model(self, run, model, photos, tmp_path):
        folder = shutil.copytree(run.path, tmp_path / "run")
        missing = call("predict", folder, photos[0], "--engine", "onnx")
        assert (missing.code, "has no model.onnx" in missing.err, "mocoop export" in missing.err) == (6, True, True)
        shutil.copy(model, folder / "model.onnx")
        theirs = lines(by_torch(folder, photos[0], "--json"))
        alike(lines(call("predict", folder, photos[0], "--engine", "onnx", "--json")), theirs)
        record = folder / "run.json"
        record.write_text(record.read_text() + "\n")
        stale = call("predict", folder, photos[0], "--engine", "onnx")
        assert (stale.code, "exported from another training" in stale.err) == (6, True)

    @pytest.mark.parametrize(
        ("more", "said"),
        [
            (("--classes-file", "names.txt"), "--classes-file"),
            (("--backbone", "miniclip"), "--backbone"),
            (("--precision", "float16"), "--precision"),
            (("--device", "cuda"), "not on cuda"),
        ],
    )
    def test_options_it_cannot_follow_are_refused(self, model, photos, tmp_path, more, said):
        told = call("predict", model, photos[0], *more)
        assert (told.code, said in told.err) == (2, True)

    def test_features_are_refused_and_so_is_what_is_no_model(self, model, photos, tmp_path):
        told = call("predict", model, tmp_path / "features.npz")
        assert (told.code, "takes images" in told.err) == (2, True)
        (tmp_path / "model.onnx").write_bytes(photos[0].read_bytes())
        told = call("predict", tmp_path / "model.onnx", photos[0])
        assert (told.code, "is no ONNX file" in told.err) == (6, True)
        told = call("predict", tmp_path / "none.onnx", photos[0])
        assert (told.code, "cannot read the model" in told.err) == (6, True)

    def test_bad_images_are_named_or_skipped(self, run, model, photos, tmp_path):
        cut = tmp_path / "cut.png"
        cut.write_bytes(photos[0].read_bytes()[:60])
        refused = call("predict", model, photos[0], cut)
        assert (refused.code, "1 of 2 images cannot be read" in refused.err) == (4, True)
        asked = (cut, tmp_path / "none.png", photos[0], "--on-bad-image", "skip", "--json")
        alike(lines(call("predict", model, *asked)), lines(by_torch(run.path, *asked)))

    def test_deep_pictures_are_read_by_the_rule_of_the_run_or_as_asked(self, run, model, tmp_path):
        path = tmp_path / "deep.tif"
        path.write_bytes(tiff(twelve_bits(pixels(3)), photometric="rgb"))
        for more in ((), ("--range", "0,4095"), ("--bands", "3,2,1", "--range", "0,2000")):
            ours, theirs = call("predict", model, path, "--json", *more), by_torch(run.path, path, "--json", *more)
            alike(lines(ours), lines(theirs))
            assert [line for line in ours.err.splitlines() if "deep" in line or "bits" in line] == [
                line for line in theirs.err.splitlines() if "deep" in line or "bits" in line
            ]

    def test_skipping_nothing_but_bad_images_is_an_answer_too(self, model, tmp_path):
        engine = Engine(model)
        paths = [tmp_path / f"{n}.png" for n in range(3)]
        assert ["error" in one for one in engine.predict_images(paths, on_bad_image="skip")] == [True] * 3
        with pytest.raises(DataError, match="3 of 3 images cannot be read"):
            list(engine.predict_images(paths))


class TestExportOnTheCommandLine:
    @pytest.mark.slow
    def test_it_says_what_it_wrote_and_equal_runs_give_equal_files(self, run, model, tmp_path):
        told = call("export", run.path, "-o", tmp_path / "m.onnx", "--images", 3, "--threads", 1, "--json")
        assert told.code == 0, told.err
        said = json.loads(told.out)
        assert (said["path"], said["bytes"]) == (str(tmp_path / "m.onnx"), (tmp_path / "m.onnx").stat().st_size)
        assert (said["input"], said["sample"]) == (["N", 3, 32, 32], "drawn tiles")
        assert (said["check"]["images"], said["check"]["same_class"]) == (3, 100)
        assert said["check"]["accuracy_before"] is None
        data = (tmp_path / "m.onnx").read_bytes()
        assert data == model.read_bytes()
        for word in (b"site-packages", b".py", str(tmp_path.parent.parent).encode()):
            assert word not in data, "it tells nothing of this machine"

    @pytest.mark.slow
    def test_the_accuracy_before_and_after_is_printed(self, tmp_path):
        from command_line import runs_in, small_world

        world = small_world(tmp_path)
        run = runs_in(world, tmp_path)["base"]
        asked = ("export", run, "--data", world["photos"], "--precision", "float16", "--pixels", "uint8", "--images", 9)
        told = call(*asked)
        assert told.code == 0, told.err
        said = dict(line.split("\t") for line in told.out.splitlines()[1:])
        assert said["takes"] == "pixels (N, 32, 32, 3) uint8"
        assert said["compared on"] == "9 images of photos"
        assert re.fullmatch(r"[\d.]+ % before, [\d.]+ % after \([+-][\d.]+\)", said["accuracy on these"])
        refused = call(*asked, "--tolerance", 0)
        assert (refused.code, "differs from the run" in refused.err) == (4, True)
        asked = (run, world["photos"], "--json")
        ours, theirs = call("predict", *asked, "--engine", "onnx"), by_torch(*asked)
        known = [one.get("trained_on") for one in lines(theirs)]
        assert [one.get("trained_on") for one in lines(ours)] == known
        assert known.count(True) == 6
        assert "6 of 54 images were trained on" in ours.err

    def test_what_cannot_be_together_is_refused(self, run, tmp_path):
        told = call("export", run.path, "--format", "torch-export", "--precision", "int8")
        assert (told.code, "float32 only" in told.err) == (2, True)
        features = tmp_path / "x.npz"
        shutil.copy(run.path.parent / "features.npz", features)
        told = call("export", run.path, "-o", tmp_path / "m.onnx", "--data", features)
        assert (told.code, "holds features" in told.err) == (4, True)
