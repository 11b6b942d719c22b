"""Pictures of many bands and depths, BMP, and files left out, through `train`, `eval` and `predict`."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from command_line import evaluate, info, predict, rewrite, train
from geotiffs import KINDS, converted, four_bands, thirteen_bands
from PIL import Image

from mocoop.data.sources import open_dataset


def on(world, photos):
    return {**world, "photos": photos}


def answers(result):
    assert result.code == 0, result.err
    return [(one["class"], one["probability"]) for one in map(json.loads, result.out.splitlines())]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_classes_as_from_the_rgb_original(world, runs, tmp_path, kind):
    make, options = KINDS[kind]
    photos = converted(world["photos"], tmp_path / "photos", make)
    trained = train(on(world, photos), tmp_path / "run", *options)
    assert trained.code == 0, trained.err
    assert info(tmp_path / "run")["data"]["sha256"] == info(runs["all"])["data"]["sha256"]  # the very same features
    measured = evaluate(on(world, photos), tmp_path / "run", "--json")  # bands and scale are the run's
    original = evaluate(world, runs["all"], "--json")
    assert json.loads(measured.out)["results"] == json.loads(original.out)["results"]
    expected = answers(predict(runs["all"], world["photos"] / "test", "--json"))
    assert answers(predict(tmp_path / "run", photos / "test", "--json")) == expected
    assert answers(predict(runs["all"], photos / "test", *options, "--json")) == expected


def test_the_notes_say_what_was_done_and_the_record_keeps_it(world, tmp_path):
    photos = converted(world["photos"], tmp_path / "four", four_bands)
    said = train(on(world, photos), tmp_path / "run")
    note = "12 of 12 pictures have more than 3 bands: bands 1, 2, 3 are used and none is transparency"
    assert note in said.err
    assert any(note in one for one in info(tmp_path / "run")["data"]["notes"])
    assert "30 of 30 pictures have more than 3 bands" in evaluate(on(world, photos), tmp_path / "run").err
    assert "30 of 30 pictures have more than 3 bands" in predict(tmp_path / "run", photos / "test").err
    photos = converted(world["photos"], tmp_path / "thirteen", thirteen_bands)
    said = train(on(world, photos), tmp_path / "deep", "--bands", "4,3,2")
    assert "pictures of uint16 use 12 bits: 0 to 4095 becomes 0..255" in said.err
    assert "more than 3 bands" not in said.err
    kept = {"bands": [4, 3, 2], "limits": None, "bits": 12, "top": None}
    assert info(tmp_path / "deep")["data"]["reading"] == kept
    ranged = train(on(world, photos), tmp_path / "ranged", "--range", "0,4095", "--bands", "4,3,2")
    assert ranged.code == 0
    assert info(tmp_path / "ranged")["data"]["reading"]["limits"] == [0, 4095]
    assert train(on(world, photos), tmp_path / "per", "--range", "percentile").code == 0
    low, high = info(tmp_path / "per")["data"]["reading"]["limits"]
    assert 0 < low < 200 < 3900 < high < 4095


def test_bands_that_cannot_be_exit_2_and_those_a_file_lacks_exit_4(world, runs, tmp_path):
    assert train(world, tmp_path / "run", "--bands", "1,2").code == 2
    assert evaluate(world, runs["all"], "--range", "3").code == 2
    photos = converted(world["photos"], tmp_path / "four", four_bands)
    result = predict(runs["all"], photos / "test", "--bands", "7,3,2")
    assert result.code == 4
    assert "it has 4 bands, and band 7 is asked for" in result.err


def test_a_run_from_before_reads_16_bits_by_their_high_byte(world, runs, tmp_path):
    shutil.copytree(runs["all"], tmp_path / "old")
    rewrite(
        tmp_path / "old" / "run.json",
        lambda r: {**r, "data": {k: v for k, v in r["data"].items() if k != "reading"}},
    )
    Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64)).save(tmp_path / "dark.png")
    result = predict(tmp_path / "old", tmp_path / "dark.png")
    assert result.code == 0
    assert f"nearly black: {tmp_path / 'dark.png'}" in result.err
    now = predict(runs["all"], tmp_path / "dark.png")
    assert "use 12 bits" in now.err
    assert "nearly black" not in now.err


def test_bmp_is_read_everywhere(world, runs, tmp_path):
    for path in world["photos"].rglob("*.png"):
        to = tmp_path / "photos" / path.relative_to(world["photos"]).with_suffix(".bmp")
        to.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).save(to)
    photos = tmp_path / "photos"
    assert train(on(world, photos), tmp_path / "run").code == 0
    assert info(tmp_path / "run")["data"]["sha256"] == info(runs["all"])["data"]["sha256"]
    assert answers(predict(runs["all"], photos / "test", "--json")) == answers(
        predict(runs["all"], world["photos"] / "test", "--json")
    )


def test_a_file_left_out_is_named(world, runs, tmp_path):
    photos = tmp_path / "photos"
    shutil.copytree(world["photos"], photos)
    (photos / "test" / "dog" / "film.gif").write_bytes(b"GIF89a")
    shutil.copy(photos / "test" / "dog" / "00.png", photos / "test" / "dog" / "IMG_0001")
    left = ["film.gif", "IMG_0001"]
    predicted = predict(runs["all"], photos / "test" / "dog")
    assert all(name in predicted.err for name in left)
    trained = train(on(world, photos), tmp_path / "run")
    assert all(name in trained.err for name in left)


def test_one_bad_image_of_a_small_class_is_left_out_and_said(world, tmp_path):
    photos = tmp_path / "photos"
    shutil.copytree(world["photos"], photos)
    dogs = [one.path for one in open_dataset(photos).train if one.path.parent.name == "dog"]
    dogs[0].write_bytes(b"")
    result = train(on(world, photos), tmp_path / "run", "--on-bad-image", "skip", "--shots", len(dogs) + 5)
    assert result.code == 0
    assert "1 image(s) could not be read and were replaced by others, except in dog, which had no more" in result.err
    assert str(dogs[0]) in result.err
    for bad in dogs:
        bad.write_bytes(b"")
    none_left = train(on(world, photos), tmp_path / "none", "--on-bad-image", "skip", "--shots", len(dogs) + 5)
    assert none_left.code == 4
    assert "dog (0 can be read)" in none_left.err


def test_a_saved_folder_of_datasets_gives_what_the_image_files_give(world, runs, tmp_path):
    pytest.importorskip("pyarrow")
    from savedsets import save_dict

    keys = sorted(path.name for path in (world["photos"] / "train").iterdir())
    parts = {}
    for split in ("train", "test"):
        paths = [path for key in keys for path in sorted((world["photos"] / split / key).iterdir())]
        parts[split] = [path.read_bytes() for path in paths], [keys.index(path.parent.name) for path in paths]
    saved = on(world, save_dict(tmp_path / "saved", parts, names=keys))
    trained = train(saved, tmp_path / "run")
    assert trained.code == 0, trained.err
    own, files = info(tmp_path / "run"), info(runs["all"])
    assert own["data"]["sha256"] == files["data"]["sha256"]  # the very same features
    assert own["data"]["images_sha256"] == files["data"]["images_sha256"]
    assert own["classnames"] == files["classnames"]
    measured = json.loads(evaluate(saved, tmp_path / "run", "--json").out)["results"]
    assert measured == json.loads(evaluate(world, runs["all"], "--json").out)["results"]
    other_way = json.loads(evaluate(saved, runs["all"], "--json").out)["results"]
    assert other_way == measured
    online = train(saved, tmp_path / "online", "--views", "online")
    assert online.code == 0, online.err
    assert "trained on" in predict(tmp_path / "run", world["photos"] / "train").err


def test_a_bad_picture_of_a_saved_folder_is_left_out_and_named(world, tmp_path):
    pytest.importorskip("pyarrow")
    from savedsets import picture, save_dict

    names = sorted(path.name for path in (world["photos"] / "train").iterdir())
    labels = [label for label in range(len(names)) for _ in range(5)]
    pictures = [picture(label, number) for number, label in enumerate(labels)]
    broken = [b"broken", *pictures[1:]]
    folder = save_dict(
        tmp_path / "saved", {"train": (broken, labels), "val": (pictures, labels), "test": (pictures[::-1], labels)},
        names=names, shards=1,
    )  # fmt: skip
    whole = train(on(world, folder), tmp_path / "a", "--shots", "4")
    skipped = train(on(world, folder), tmp_path / "b", "--shots", "4", "--on-bad-image", "skip")
    assert skipped.code == 0, skipped.err
    left = [one["path"] for one in info(tmp_path / "b")["data"]["skipped"]]
    if whole.code:
        assert "data-00000-of-00001.arrow/image/0: this is text" in whole.err
        assert [path.endswith("saved/train/data-00000-of-00001.arrow/image/0") for path in left] == [True]
    else:
        assert left == []
