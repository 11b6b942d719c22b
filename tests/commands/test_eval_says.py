"""`mocoop eval` and `predict` say what they measured, and name pictures that the run was trained on."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from command_line import call, evaluate, info, predict, rewrite, train
from datafiles import put_classes, put_image
from worlds import CLASSNAMES

from mocoop.data.leaks import content
from mocoop.data.sources import open_dataset
from mocoop.estimator import MoCoOpClassifier
from mocoop.files import sha256_bytes, sha256_file
from mocoop.runs.baselines import LINEAR_PROBE

NAMES = [name.replace(" ", "_") for name in CLASSNAMES]


@pytest.fixture(scope="module")
def unsplit(world, tmp_path_factory):
    """A run on an unsplit folder of 20 pictures a class, 8 shots of two classes."""
    folder = tmp_path_factory.mktemp("unsplit")
    photos = put_classes(folder / "photos", {"airport": 20, "dog": 20})
    assert train({**world, "photos": photos}, folder / "run", "--shots", 8).code == 0
    return {**world, "photos": photos, "run": folder / "run"}


def rows(result):
    return [line.split("\t") for line in result.out.splitlines()]


def test_a_run_keeps_the_hashes_of_the_images_it_was_trained_on(unsplit):
    kept = info(unsplit["run"])["data"]["images_sha256"]
    train_files = {sha256_file(example.path) for example in open_dataset(unsplit["photos"]).train}
    assert len(kept) == len(set(kept)) == 16
    assert kept == sorted(kept)
    assert set(kept) <= train_files
    assert "images_sha256" not in json.loads(call("show", unsplit["run"], "--json").out)["data"]


def test_the_folder_of_the_training_is_measured_on_its_test_split_and_says_so(unsplit):
    found = evaluate(unsplit, unsplit["run"])
    assert rows(found)[1][:2] == ["all", "12 of 40"]
    assert "note: no splits were given: each class was split 50/20/30 by split_seed 0" in found.err
    assert "trained on" not in found.err


def test_an_unsplit_folder_that_is_not_that_of_the_training_is_measured_whole(unsplit, world, tmp_path):
    held_out = put_classes(tmp_path / "more", {"airport": 0, "dog": 0})
    for number in range(30):
        put_image(held_out / ("airport", "dog")[number % 2] / f"{number}.png", seed=90_000 + number)
    found = evaluate({**world, "photos": held_out}, unsplit["run"])
    assert rows(found)[1][:2] == ["all", "30 of 30"]
    assert "no splits were given" not in found.err
    assert "note: none of its 30 images was trained on, and it has no splits: all are measured\n" in found.err
    record = json.loads(evaluate({**world, "photos": held_out}, unsplit["run"], "--json").out)
    assert (record["results"][0]["images"], record["results"][0]["images_in_data"]) == (30, 30)


def test_pictures_added_to_the_folder_of_the_training_do_not_put_training_pictures_into_the_test(
    unsplit, world, tmp_path
):
    """The split is by position, so new pictures move old ones: some that were trained on stand in the new test."""
    grown = tmp_path / "grown"
    shutil.copytree(unsplit["photos"], grown)
    for number in range(20):
        for name in ("airport", "dog"):
            put_image(grown / name / f"0{number}a.png", seed=80_000 + number + 100 * (name == "dog"))
    kept = set(info(unsplit["run"])["data"]["images_sha256"])
    test = open_dataset(grown).test
    met = [example for example in test if sha256_file(example.path) in kept]
    assert len(test) == 24
    assert met  # or this test says nothing
    found = evaluate({**world, "photos": grown}, unsplit["run"])
    assert rows(found)[1][:2] == ["all", f"{24 - len(met)} of 80"]
    assert f"note: {len(met)} of 24 test images were trained on and are left out: {met[0].path}" in found.err


def test_an_unsplit_folder_of_training_pictures_only_is_refused(unsplit, world, tmp_path):
    kept = set(info(unsplit["run"])["data"]["images_sha256"])
    for example in open_dataset(unsplit["photos"]).train:
        if sha256_file(example.path) in kept:
            to = tmp_path / "same" / example.path.parent.name / example.path.name
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(example.path, to)
    found = evaluate({**world, "photos": tmp_path / "same"}, unsplit["run"])
    assert (found.code, found.out) == (4, "")
    assert "all of them were trained on" in found.err


def test_training_pictures_in_a_test_split_are_named_and_stay(runs, world, tmp_path):
    """Published splits have copies: their numbers stay comparable, and it is said."""
    photos = tmp_path / "photos"
    shutil.copytree(world["photos"], photos)
    kept = set(info(runs["all"])["data"]["images_sha256"])
    one = next(path for path in sorted((photos / "train").rglob("*.png")) if sha256_file(path) in kept)
    shutil.copy(one, photos / "test" / one.parent.name / "copy.png")
    found = evaluate({**world, "photos": photos}, runs["all"])
    assert rows(found)[1][:2] == ["all", "31 of 55"]
    assert f"note: 1 of 31 test images was trained on: {photos / 'test' / one.parent.name / 'copy.png'}" in found.err


def test_a_run_without_hashes_opens_and_says_that_it_cannot_know(unsplit, world, tmp_path):
    shutil.copytree(unsplit["run"], tmp_path / "old")
    rewrite(
        tmp_path / "old" / "run.json",
        lambda r: {**r, "data": {k: v for k, v in r["data"].items() if k != "images_sha256"}},
    )
    found = evaluate(unsplit, tmp_path / "old")
    assert rows(found)[1][:2] == ["all", "12 of 40"]
    assert "kept no hashes of its training images" in found.err
    assert predict(tmp_path / "old", unsplit["photos"]).code == 0


def test_rows_of_features_are_known_again(world, tmp_path):
    out = tmp_path / "run"
    assert train({**world, "photos": world["data"]}, out, "--shots", 8).code == 0
    with np.load(world["data"]) as file:
        features, labels, names = file["features"], file["labels"], file["classnames"]
    data = open_dataset(world["data"])
    digests = {sha256_bytes(features[row].tobytes()): row for row in range(len(features))}
    trained = sorted(digests[one] for one in info(out)["data"]["images_sha256"])
    assert {content(data, example) for example in data.train} >= set(info(out)["data"]["images_sha256"])
    fresh = np.random.default_rng(5).normal(size=(60, features.shape[1])).astype(np.float32)
    np.savez(tmp_path / "fresh.npz", features=fresh, labels=np.arange(60) % len(names), classnames=names)
    found = evaluate({**world, "photos": tmp_path / "fresh.npz"}, out)
    assert rows(found)[1][:2] == ["all", "60 of 60"]
    told = predict(out, world["data"])
    assert f"note: {len(trained)} of {len(labels)} images were trained on: {world['data']} row {trained[0]}" in told.err


def test_predict_names_training_pictures(unsplit):
    kept = set(info(unsplit["run"])["data"]["images_sha256"])
    found = predict(unsplit["run"], unsplit["photos"])
    assert "note: 16 of 40 images were trained on: " in found.err
    lines = [json.loads(line) for line in predict(unsplit["run"], unsplit["photos"], "--json").out.splitlines()]
    marked = {line["path"] for line in lines if line.get("trained_on")}
    assert marked == {line["path"] for line in lines if sha256_file(line["path"]) in kept}
    assert len(marked) == 16


def test_base_and_new_of_the_training_folder_are_both_its_test_split(world, tmp_path):
    photos = put_classes(tmp_path / "photos", dict.fromkeys(("a_cat", "a_dog", "cow", "ewe"), 10))
    mine = {**world, "photos": photos}
    assert train(mine, tmp_path / "run", "--classes", "base").code == 0
    found = evaluate(mine, tmp_path / "run", "--classes", "base", "--classes", "new")
    assert [row[:2] for row in rows(found)[1:3]] == [["base", "6 of 20"], ["new", "6 of 20"]]


def test_data_notes_are_printed(world, runs, tmp_path):
    photos = tmp_path / "photos"
    shutil.copytree(world["photos"], photos)
    for path in (photos / "train" / NAMES[0]).iterdir():
        (photos / "test" / NAMES[0] / f"twin{path.name}").write_bytes(path.read_bytes())
    notes = open_dataset(photos).notes
    assert notes
    found = evaluate({**world, "photos": photos}, runs["all"])
    for note in notes:
        assert f"note: {note}\n" in found.err
    assert json.loads(evaluate({**world, "photos": photos}, runs["all"], "--json").out)["data_notes"] == list(notes)


def test_a_constant_classifier_is_called_one_at_the_end_of_training_and_in_eval(unsplit):
    """One step with the warm-up's rate, from a random tower: nothing can have been learned."""
    said = train(unsplit, unsplit["run"].with_name("again"), "--shots", 8)
    assert "note: it may have learned nothing: accuracy 50.0% on the 16 training images" in said.err
    assert any("learned nothing" in note for note in info(unsplit["run"])["notes"])
    found = evaluate(unsplit, unsplit["run"])
    scores = json.loads(evaluate(unsplit, unsplit["run"], "--json").out)["results"][0]["scores"]
    assert scores["constant"] is True
    assert (scores["balanced_accuracy"], scores["worst_recall"], scores["answered_share"]) == (50.0, 0.0, 100.0)
    assert rows(found)[1][2:6] == ["50.00", "50.0", "0.0", "50.0"]
    assert f"the answer is nearly always {scores['answered']!r} (100.0% of the 12 images)" in found.err
    assert rows(found)[1][-1] == f"nearly always {scores['answered']!r}: tells nothing apart", "in the table too"


def test_a_constant_baseline_is_called_one_in_the_table(world, runs):
    shown = rows(evaluate(world, runs["base"], "--baselines"))
    found = json.loads(evaluate(world, runs["base"], "--baselines", "--json").out)["results"][0]["baselines"]
    remarks = {row[-1].split("; ")[0]: row[-1] for row in shown[2:]}
    for name, scores in found.items():
        assert ("tells nothing apart" in remarks[name]) is scores["constant"], name
    assert any(scores["constant"] for scores in found.values())


def test_predictions_of_a_run_that_learned_nothing_say_so(unsplit):
    image = next(iter(sorted(unsplit["photos"].rglob("*.png"))))
    for more in ((), ("--json",)):
        said = predict(unsplit["run"], image, *more).err
        assert said.count("note: of the training of this run: it may have learned nothing: accuracy 50.0%") == 1


def test_the_probe_of_the_baselines_is_that_of_a_training_on_the_same_images(unsplit, tmp_path):
    found = json.loads(evaluate(unsplit, unsplit["run"], "--baselines", "--json").out)["results"][0]
    probe, backbone = tmp_path / "probe", ("--backbone", f"local-dir:{unsplit['backbone']}")
    options = ("--method", "linear-probe", "--data", unsplit["photos"], *backbone)
    assert call("train", *options, "--shots", 8, "--device", "cpu", "--no-cache", "-o", probe).code == 0
    own = json.loads(evaluate(unsplit, probe, "--json").out)["results"][0]
    assert info(probe)["data"]["images_sha256"] == info(unsplit["run"])["data"]["images_sha256"]
    assert found["baselines"][LINEAR_PROBE] == own["scores"]
    assert found["missing_baselines"] == {}


def test_a_probe_that_cannot_be_says_why(unsplit, world, runs, tmp_path):
    held_out = put_classes(tmp_path / "more", {"airport": 0, "dog": 0})
    for number in range(8):
        put_image(held_out / ("airport", "dog")[number % 2] / f"{number}.png", seed=70_000 + number)
    out = evaluate({**world, "photos": held_out}, unsplit["run"], "--baselines").out
    assert out.split("\n\n")[0].endswith(f"{LINEAR_PROBE}: 0 of its 16 training images are in this data set")
    out = evaluate(world, runs["base"], "--baselines", "--classes", "new").out
    assert f"{LINEAR_PROBE}: it knows only classes it was trained on, not 'dog'" in out


def test_rows_of_bench_say_what_stands_beside_the_accuracy(world, tmp_path):
    results = tmp_path / "results.jsonl"
    ran = call(
        "bench", "few-shot", "--data", world["photos"], "--groups", world["groups"], "--methods", "coop", "--shots", 2,
        "--backbone", f"local-dir:{world['backbone']}", "--seeds", 1, "--set", "epochs=1", "--device", "cpu",
        "--no-cache", "-o", results,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    (row,) = [json.loads(line) for line in results.read_text().splitlines()]
    scores = row["scores"]["all"]
    assert scores["images"] == row["images"]["all"] == 30
    assert scores["accuracy"] == pytest.approx(row["accuracy"]["all"])
    assert scores["largest_class_share"] == pytest.approx(100 / 6)
    assert 100 / 6 <= scores["answered_share"] <= 100
    assert scores["constant"] == any("nearly always" in note for note in row["notes"])
    assert any("it may have learned nothing" in note for note in row["notes"])


def test_a_classifier_that_python_saved_knows_its_images_too(world, tmp_path):
    photos = put_classes(tmp_path / "photos", {"airport": 4, "dog": 4})
    paths = sorted(photos.rglob("*.png"))
    settings = {"epochs": 1, "batch_size": 8}
    made = {"backbone": f"local-dir:{world['backbone']}", "device": "cpu", "cache": False, "settings": settings}
    with pytest.warns(UserWarning, match="it may have learned nothing"):
        fitted = MoCoOpClassifier(str(world["groups"]), **made).fit(paths, [path.parent.name for path in paths])
    run = fitted.save(tmp_path / "run")
    assert info(run)["data"]["images_sha256"] == sorted(sha256_file(path) for path in paths)
    found = evaluate({**world, "photos": photos}, run)
    assert (found.code, "all of them were trained on" in found.err) == (4, True)
