"""Bad images in a data set: what a training, an evaluation and a prediction make of each kind."""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from datafiles import encoded, pixels, put_image
from PIL import Image
from tinyencoder import TinyEncoder, examples_of
from towers import write_clip_folder
from worlds import GROUPS

from mocoop.config import preset
from mocoop.data.features import image_features
from mocoop.data.sources import open_dataset
from mocoop.errors import DataError
from mocoop.evaluate import evaluate
from mocoop.predict import predict_images
from mocoop.training import TrainingPlan, train

CLASSES = ("dog", "airport", "black swan")


def bomb() -> bytes:
    """A PNG of a few hundred bytes whose header promises 2.5 gigapixels."""
    chunks = {b"IHDR": struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0), b"IDAT": zlib.compress(bytes(999))}
    body = b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in {**chunks, b"IEND": b""}.items()
    )
    return b"\x89PNG\r\n\x1a\n" + body


def animated(kind: str) -> bytes:
    return encoded(pixels(0), kind, save_all=True, append_images=[Image.fromarray(pixels(1))])


BAD = {
    "nothing": b"",
    "text": b"an image, honestly\n",
    "cut JPEG": encoded(pixels(), "JPEG")[:-300],
    "cut PNG": encoded(pixels(), "PNG")[:-300],
    "PNG without its last bytes": encoded(pixels(), "PNG")[:-13],
    "bomb": bomb(),
    "strip": encoded(Image.new("L", (1, 30_000)), "PNG"),
    "dark 16 bits": encoded(np.arange(4096, dtype=np.uint16).reshape(64, 64), "PNG"),
    "GIF": encoded(pixels(), "GIF"),
    "animated GIF": animated("GIF"),
    "animated WebP": animated("WEBP"),
    "TIFF of two pages": animated("TIFF"),
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'><rect width='9' height='9'/></svg>",
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "FITS": b"SIMPLE  =                    T / a header\n" + b" " * 2880,
}
EXIF = Image.Exif()
EXIF[0x0112] = 6
GOOD = {
    "one pixel": encoded(pixels(0, 1, 1), "PNG"),
    "CMYK": encoded(Image.fromarray(pixels()).convert("CMYK"), "JPEG"),
    "palette and alpha": encoded(Image.fromarray(pixels()).convert("P"), "PNG", transparency=0),
    "16 bits": encoded(np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64), "PNG"),
    "turned by EXIF": encoded(pixels(), "JPEG", exif=EXIF),
    "TIFF named .jpg": encoded(pixels(), "TIFF"),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> dict[str, Path]:
    """A tiny backbone, a group file, and 6 training and 10 test images of each class."""
    home = tmp_path_factory.mktemp("images")
    for number, name in enumerate(CLASSES):
        for index in range(16):
            split = "train" if index < 6 else "test"
            put_image(home / "data" / split / name.replace(" ", "_") / f"{index:02d}.jpg", 100 * number + index)
    (home / "groups.json").write_text(json.dumps(GROUPS))
    return {"backbone": write_clip_folder(home / "tiny"), "groups": home / "groups.json", "data": home / "data"}


@pytest.fixture
def data(world, tmp_path) -> Path:
    return Path(shutil.copytree(world["data"], tmp_path / "data"))


def plan(world: dict[str, Path], data: Path, **changes: object) -> TrainingPlan:
    values = {
        "groups": world["groups"],
        "data": data,
        "out": data.parent / "run",
        "config": preset("recommended", epochs=1, batch_size=4),
        "shots": 3,
        "backbone": f"local-dir:{world['backbone']}",
        "device": "cpu",
        "use_cache": False,
    }
    return TrainingPlan(**{**values, **changes})


@pytest.fixture(scope="module")
def finished(world, tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "run"
    return train(plan(world, world["data"], out=out))


def spoil(data: Path, split: str, count: int, content: bytes = b"") -> list[Path]:
    """Damage the first images of the class `dog` in a split."""
    paths = sorted((data / split / "dog").iterdir())[:count]
    for path in paths:
        path.write_bytes(content)
    return paths


def put_all(folder: Path, contents: dict[str, bytes]) -> list[Path]:
    """One file a kind, all named .jpg."""
    folder.mkdir()
    for name, content in contents.items():
        (folder / f"{name}.jpg").write_bytes(content)
    return [folder / f"{name}.jpg" for name in contents]


def test_every_bad_kind_named_jpg_is_told_by_path_and_reason_and_every_good_one_read(tmp_path):
    bad, good = put_all(tmp_path / "bad", BAD), put_all(tmp_path / "good", GOOD)
    examples = examples_of([*bad, *good])
    with pytest.raises(DataError) as caught:
        image_features(TinyEncoder(), examples, cache=None)
    assert all(str(path) in str(caught.value) for path in bad)
    assert not any(str(path) in str(caught.value) for path in good)
    found = image_features(TinyEncoder(), examples, cache=None, on_bad_image="skip")
    assert [path for path, why in found.skipped if why] == bad
    assert [examples[i].path for i in found.kept] == good
    assert np.isfinite(found.features).all()


def test_a_training_names_every_bad_image_of_its_shots(world, data):
    paths = spoil(data, "train", 6, BAD["cut JPEG"])
    with pytest.raises(DataError) as caught:
        train(plan(world, data))
    named = [path for path in paths if str(path) in str(caught.value)]
    assert len(named) == 3  # the shots drawn of this class


def test_a_training_fails_where_skipping_leaves_a_class_too_few_shots(world, data):
    spoil(data, "train", 6)
    with pytest.raises(DataError, match=r"dog"):
        train(plan(world, data, on_bad_image="skip"))
    assert not (data.parent / "run" / "model.safetensors").exists()


def test_an_evaluation_names_the_bad_image(finished, data):
    (path,) = spoil(data, "test", 1, BAD["text"])
    with pytest.raises(DataError, match=str(path)):
        evaluate(finished, open_dataset(data), backbone=finished.load_backbone("cpu"))


def test_an_evaluation_counts_what_it_skips(finished, data):
    spoil(data, "test", 3)
    backbone = finished.load_backbone("cpu")
    result = evaluate(finished, open_dataset(data), backbone=backbone, on_bad_image="skip")
    assert (result.images, result.skipped) == (27, 3)
    assert result.to_dict()["skipped"] == 3
    assert [row.images for row in result.per_class if row.name == "dog"] == [7]


def test_an_evaluation_fails_above_the_share_that_may_be_skipped(finished, data):
    paths = spoil(data, "test", 4)
    dataset, backbone = open_dataset(data), finished.load_backbone("cpu")
    with pytest.raises(DataError, match=rf"4 of 30 test images cannot be read.*{paths[0]}.*--max-skipped"):
        evaluate(finished, dataset, backbone=backbone, on_bad_image="skip")
    assert evaluate(finished, dataset, backbone=backbone, on_bad_image="skip", max_skipped=0.2).skipped == 4


def test_a_prediction_goes_on_past_bad_images_when_told_to(finished, data):
    (bad,) = spoil(data, "test", 1, BAD["SVG"])
    good = data / "test" / "airport" / "08.jpg"
    backbone = finished.load_backbone("cpu")
    with pytest.raises(DataError, match="SVG"):
        list(predict_images(finished, [bad, good], backbone=backbone))
    first, second = predict_images(finished, [bad, good], backbone=backbone, on_bad_image="skip")
    assert (first["path"], second["path"]) == (str(bad), str(good))
    assert "SVG" in first["error"]
    assert second["class"] in CLASSES
