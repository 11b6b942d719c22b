"""What X may be: every form that Python's libraries give pictures and features in, read to the same."""

from __future__ import annotations

import datasets
import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
from PIL import Image

from mocoop.errors import DataError
from mocoop.estimator.inputs import read_images

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 6, 8, 3), dtype=np.uint8)  # (N, H, W, 3)
FEATURES = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
LABELS = [0, 1, 1, 0]
NAMES = ["dog", "airport"]


@pytest.fixture(scope="module")
def pictures():
    return [Image.fromarray(pixels) for pixels in PIXELS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, pictures):
    """Class folders, as torchvision's ImageFolder reads them."""
    root = tmp_path_factory.mktemp("folders")
    for number, (picture, label) in enumerate(zip(pictures, LABELS, strict=True)):
        (root / NAMES[label]).mkdir(exist_ok=True)
        picture.save(root / NAMES[label] / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def hugging_face(pictures):
    kinds = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=NAMES), "note": datasets.Value("string")}
    )
    return datasets.Dataset.from_dict({"image": pictures, "label": LABELS, "note": list("abcd")}, features=kinds)


class Pairs(torch.utils.data.Dataset):
    """A torch Dataset that counts what is asked of it."""

    def __init__(self, items):
        self.items, self.asked = items, []

    def __len__(self):
        return len(self.items)

    def __getitem__(self, place):
        self.asked.append(place)
        return self.items[place]


FORMS = {
    "a list of Pillow images": lambda given: given,
    "a tuple of them": tuple,
    "a generator of them": iter,
    "an array": lambda given: PIXELS,
    "a tensor": lambda given: torch.from_numpy(PIXELS),
    "a list of arrays": lambda given: list(PIXELS),
    "torchvision's tensors": lambda given: list(torch.from_numpy(PIXELS).permute(0, 3, 1, 2)),
    "an array of objects": lambda given: pd.Series(given).to_numpy(),
    "a Series": lambda given: pd.Series(given, index=[7, 5, 3, 1]),
    "a DataFrame of one column": lambda given: pd.DataFrame({"image": given}, index=[7, 5, 3, 1]),
    "a torch Dataset": Pairs,
    "a torch Dataset of pairs": lambda given: Pairs(list(zip(given, LABELS, strict=True))),
    "pairs": lambda given: list(zip(given, LABELS, strict=True)),
    "rows": lambda given: [{"image": one, "label": 1} for one in given],
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_pictures_come_in_many_forms(pictures, form):
    found = read_images(form(pictures))
    assert len(found) == 4
    for picture, pixels in zip(found.pictures, PIXELS, strict=True):
        np.testing.assert_array_equal(np.asarray(picture), pixels)
    np.testing.assert_array_equal(np.asarray(found.only(np.array([2, 0])).pictures[0]), PIXELS[2])


@pytest.mark.parametrize("decode", [True, False])
def test_a_hugging_face_dataset_brings_its_labels_and_their_names(hugging_face, decode):
    given = hugging_face if decode else hugging_face.cast_column("image", datasets.Image(decode=False))
    found = read_images(given)
    assert (found.labels, found.names) == (LABELS, {0: "dog", 1: "airport"})
    np.testing.assert_array_equal(np.asarray(found.pictures[3]), PIXELS[3])
    for same in (given["image"], given.to_list(), given[np.arange(4)], [given[place] for place in (0, 1, 2, 3)]):
        np.testing.assert_array_equal(np.asarray(read_images(same).pictures[3]), PIXELS[3])


def test_a_hugging_face_dataset_from_the_disk(hugging_face, tmp_path):
    hugging_face.save_to_disk(str(tmp_path / "saved"))
    found = read_images(datasets.load_from_disk(str(tmp_path / "saved")))
    np.testing.assert_array_equal(np.asarray(found.pictures[1]), PIXELS[1])


def test_torchvision_brings_its_labels_and_their_names(folder):
    data = torchvision.datasets.ImageFolder(str(folder))
    found = read_images(data)
    assert found.labels == [0, 0, 1, 1]
    assert found.names == {0: "airport", 1: "dog"}
    np.testing.assert_array_equal(np.asarray(found.pictures[0]), PIXELS[1])
    assert read_images(torch.utils.data.Subset(data, [3, 1])).labels == [1, 0]
    fake = read_images(torchvision.datasets.FakeData(5, (3, 8, 8), 2))
    assert (len(fake), fake.pictures[0].size, set(fake.labels)) == (5, (8, 8), {0, 1})


def test_items_of_a_data_set_are_read_when_they_are_asked_for(pictures):
    data = Pairs(pictures)
    found = read_images(data)
    data.asked.clear()
    assert found.pictures[2] is pictures[2]
    assert data.asked == [2]


@pytest.mark.parametrize("form", [list, tuple, np.array, pd.Series, lambda given: pd.DataFrame({"path": given})])
def test_paths_come_in_many_forms(folder, form):
    paths = sorted(str(path) for path in folder.rglob("*.png"))
    assert [str(path) for path in read_images(form(paths)).paths] == paths


@pytest.mark.parametrize(
    "form",
    [
        np.asarray, np.float64, np.float16, torch.from_numpy, list, lambda given: given.tolist(), pd.DataFrame,
        lambda given: datasets.Dataset.from_dict({"x": given})["x"], lambda given: given.astype(object),
    ],
)  # fmt: skip
def test_features_come_in_many_forms(form):
    found = read_images(form(FEATURES)).features
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, FEATURES, rtol=2e-3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (PIXELS / 255, r"X is float64 of \(4, 6, 8, 3\) \(pictures as arrays are uint8"),
        (PIXELS.transpose(0, 3, 1, 2), "move the channels last"),
        (pd.DataFrame({"path": ["a.png"], "width": [3]}), "X has the columns path, width"),
        (datasets.DatasetDict({"train": datasets.Dataset.from_dict({"x": [1]})}), r"choose one, as in data\['train'\]"),
        (datasets.Dataset.from_dict({"x": [1], "y": [2]}), "X has 0 columns of images among x, y"),
        ([Image.new("RGB", (4, 4)), "a.png"], "neither paths, nor pictures"),
        (["a.png", Image.new("RGB", (4, 4))], "neither paths, nor pictures"),
        (np.zeros((0, 4, 4, 3), np.uint8), "X is uint8 of"),
        (Pairs([]), "X is Pairs without images"),
        ({"x": [1], "y": [2]}, "X has 0 columns of images among x, y"),
        (7, "X is int"),
        ([], "X is empty"),
        ([[1.0, 2.0], [3.0]], "neither paths, nor pictures"),
        ([{"note": "no picture"}], "neither paths, nor pictures"),
    ],
)
def test_what_is_none_of_them_is_refused(given, message):
    with pytest.raises(DataError, match=message):
        read_images(given)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (torch.zeros(3, 4, 4), r"picture 1 is torch.float32 of \(3, 4, 4\) \(leave transforms out"),
        ({"left": Image.new("RGB", (4, 4)), "right": Image.new("RGB", (4, 4))}, "row 1 holds 2 pictures"),
        ({"bytes": b"no picture", "path": None}, "picture 1: "),
        (None, "picture 1 is NoneType"),
    ],
)
def test_an_item_that_is_no_picture_is_named(pictures, item, message):
    with pytest.raises(DataError, match=message):
        list(read_images(Pairs([pictures[0], item])).pictures)
