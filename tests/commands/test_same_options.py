"""Every command that opens a data set or reads pictures takes the same options for it, and does the same with them."""

from __future__ import annotations

import json
import shlex
import shutil
import warnings

import pytest
from command_line import call, evaluate, info, predict, small_world, train
from geotiffs import converted, four_bands, thirteen_bands
from result_rows import drawn_rows, write_rows

from mocoop.bench.rows import read_rows
from mocoop.commands import mocoop
from mocoop.estimator import MoCoOpClassifier

SOURCE = {"--class-names", "--names-by-position", "--columns", "--follow-links"}
READING = {"--bands", "--range"}
WANTED = {
    **dict.fromkeys(("train", "eval", "bench", "tune", "export", "auto", "report", "show"), SOURCE | READING),
    "predict": READING,  # pictures only: no data set, no labels
    "predict-many": READING | {"--columns", "--follow-links"},  # tables, without labels
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
    marks = {"--data", "--images", "--on-bad-image"}
    reads = {name for name in mocoop.list_commands(None) if marks & options(name).keys()}
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
    return row["accuracy"]


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
        page = tmp_path / f"{name}.html"
        told = call("report", results, "--run", runs["all"], "--images", photos / "test", "-o", page, *more)
        assert told.code == 0, told.err
        pages[name] = page.read_text()
    assert pages["plain"] != pages["bands"]
    assert pages["plain"] == pages["unused"]
    assert "--range is not used" in told.err
    alone = call("report", results, "-o", tmp_path / "r.html", "--bands", "3,2,1")
    assert (alone.code, "--bands and --range are for --images" in alone.err) == (2, True)


ASSUMED = "says no mean and std: images are prepared as by open_clip's default"


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A world whose backbone does not say how its images are prepared, and a run in it."""
    folder = tmp_path_factory.mktemp("bare")
    world = small_world(folder)
    config = world["backbone"] / "open_clip_config.json"
    config.write_text(json.dumps({"model_cfg": json.loads(config.read_text())["model_cfg"]}))
    trained = train(world, folder / "run")
    assert trained.err.count(ASSUMED) == 1
    return {**world, "run": folder / "run"}


def test_every_command_says_once_what_was_assumed_of_the_weights(bare, tmp_path):
    run, photos = bare["run"], bare["photos"]
    results = write_rows(tmp_path / "results.jsonl", drawn_rows(seeds=(1,), methods=("coop", "mocoop")))
    asked = {
        "eval": evaluate(bare, run, "--classes", "all", "--classes", "base", "--baselines"),
        "predict": predict(run, photos / "test"),
        "bench": bench(bare, photos, tmp_path / "b.jsonl", "--jobs", 2),
        "tune": tune(bare, photos, tmp_path / "t.jsonl", "--groups", bare["groups"], "--method", "mocoop",
                     "--groups", shutil.copy(bare["groups"], tmp_path / "again.json"), "--trainings", 2),
        "report": call("report", results, "--run", run, "--images", photos / "test", "-o", tmp_path / "r.html"),
    }  # fmt: skip
    assert {name: (told.code, told.err.count(ASSUMED)) for name, told in asked.items()} == dict.fromkeys(asked, (0, 1))
    assert call("show", run).out.count(ASSUMED) == 1
    notes = json.loads(evaluate(bare, run, "--json").out)["notes"]
    assert sum(ASSUMED in note for note in notes) == 1


def test_the_classifier_in_python_warns_of_it(bare):
    images = sorted((bare["photos"] / "train").rglob("*.png"))
    labels = [path.parent.name for path in images]
    classifier = MoCoOpClassifier(
        bare["groups"], backbone=f"local-dir:{bare['backbone']}", settings={"epochs": 1}, device="cpu", cache=False
    )
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        classifier.fit(images, labels)
        classifier.predict(images)
    assert sum(ASSUMED in str(one.message) for one in heard) == 1
    loaded = MoCoOpClassifier.load(bare["run"], device="cpu", cache=False)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        loaded.predict(images)
        loaded.predict_proba(images)
    assert sum(ASSUMED in str(one.message) for one in heard) == 1
