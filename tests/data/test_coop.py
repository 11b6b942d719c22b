"""CoOp's layouts: all fifteen data sets, told by their lists or names, and lists that lie."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from datafiles import put_image

from mocoop.data.coop import LAYOUTS
from mocoop.data.sources import open_dataset
from mocoop.errors import DataError

SPLIT_JSON = {  # name: folder, image root, split file, as the data sets' users have them
    "caltech101": ("caltech-101", "101_ObjectCategories", "split_zhou_Caltech101.json"),
    "oxford_pets": ("oxford_pets", "images", "split_zhou_OxfordPets.json"),
    "stanford_cars": ("stanford_cars", ".", "split_zhou_StanfordCars.json"),
    "oxford_flowers": ("oxford_flowers", "jpg", "split_zhou_OxfordFlowers.json"),
    "food101": ("food-101", "images", "split_zhou_Food101.json"),
    "sun397": ("sun397", "SUN397", "split_zhou_SUN397.json"),
    "dtd": ("dtd", "images", "split_zhou_DescribableTextures.json"),
    "eurosat": ("eurosat", "2750", "split_zhou_EuroSAT.json"),
    "ucf101": ("ucf101", "UCF-101-midframes", "split_zhou_UCF101.json"),
}
VARIANTS = {
    "imagenetv2": ("imagenetv2", "imagenetv2-matched-frequency-format-val"),
    "imagenet_sketch": ("imagenet-sketch", "images"),
    "imagenet_a": ("imagenet-adversarial", "imagenet-a"),
    "imagenet_r": ("imagenet-rendition", "imagenet-r"),
}
WNIDS = ("n01440764", "n01443537", "n02999999")
CLASSNAMES = "n01440764 tench\nn01443537 goldfish\nn02999999 maillot, tank suit\n"


def split_value() -> dict[str, list[list[object]]]:
    return {
        "train": [["b/2.png", 1, "Sea_or Lake"], ["a/1.png", 0, "Forest"], ["b/1.png", 1, "Sea_or Lake"]],
        "val": [["a/3.png", 0, "Forest"]],
        "test": [["b/4.png", 1, "Sea_or Lake"], ["a/4.png", 0, "Forest"]],
    }


def put_split(home: Path, images: str, file: str, value: object, *, with_images: bool = True) -> Path:
    home.mkdir(parents=True, exist_ok=True)
    (home / images).mkdir(exist_ok=True)
    (home / file).write_text(json.dumps(value))
    if with_images:
        for seed, item in enumerate([item for items in split_value().values() for item in items]):
            put_image(home / images / str(item[0]), seed)
    return home


def put_imagenet(images: Path, folders: tuple[str, ...] = WNIDS, count: int = 2) -> None:
    for seed, name in enumerate(folders):
        for index in range(count):
            put_image(images / name / f"x_{index}.JPEG", 100 * seed + index)


def names(examples, root: Path) -> list[tuple[str, int]]:
    return [(path.relative_to(root).as_posix(), label) for path, label, _row in examples]


@pytest.mark.parametrize("name", SPLIT_JSON)
def test_split_json_layouts(tmp_path, name):
    folder, images, file = SPLIT_JSON[name]
    home = put_split(tmp_path / folder, images, file, split_value())
    dataset = open_dataset(home)
    assert dataset.name == name
    assert dataset.classnames == ("Forest", "Sea or Lake")
    assert names(dataset.train, home / images) == [("b/2.png", 1), ("a/1.png", 0), ("b/1.png", 1)]
    assert names(dataset.val, home / images) == [("a/3.png", 0)]
    assert names(dataset.test, home / images) == [("b/4.png", 1), ("a/4.png", 0)]
    assert open_dataset(tmp_path / name) == dataset  # by its name, whatever the folder is called


def test_the_split_file_tells_whatever_the_folder_is_called(tmp_path):
    home = put_split(tmp_path / "my copy", "2750", "split_zhou_EuroSAT.json", split_value())
    assert open_dataset(home).name == "eurosat"
    assert open_dataset(home, name="mine").name == "mine"


def test_fifteen_layouts():
    assert {layout.name for layout in LAYOUTS} == {*SPLIT_JSON, *VARIANTS, "imagenet", "fgvc_aircraft"}


def test_aircraft(tmp_path):
    home = tmp_path / "fgvc_aircraft"
    home.mkdir()
    (home / "variants.txt").write_text("737-200\nCessna 172\n")
    for split, numbers in {"train": (3, 1), "val": (2,), "test": (5, 4)}.items():
        lines = []
        for number in numbers:
            put_image(home / "images" / f"{number:07d}.jpg", number)
            lines.append(f"{number:07d} {'Cessna 172' if number % 2 else '737-200'}\n")
        (home / f"images_variant_{split}.txt").write_text("".join(lines))
    put_image(home / "images" / "0000007.jpg", 7)
    dataset = open_dataset(home)
    assert dataset.name == "fgvc_aircraft"
    assert dataset.classnames == ("737-200", "Cessna 172")
    assert names(dataset.train, home / "images") == [("0000003.jpg", 1), ("0000001.jpg", 1)]
    assert names(dataset.test, home / "images") == [("0000005.jpg", 1), ("0000004.jpg", 0)]
    (home / "images_variant_val.txt").write_text("0000002 Boeing\n")
    with pytest.raises(DataError, match=r'images_variant_val.txt:1: the variant "Boeing"'):
        open_dataset(home)


def test_imagenet(tmp_path):
    home = tmp_path / "imagenet"
    put_imagenet(home / "images" / "train", count=3)
    put_imagenet(home / "images" / "val", count=1)
    (home / "classnames.txt").write_text(CLASSNAMES)
    dataset = open_dataset(home)
    assert dataset.name == "imagenet"
    assert dataset.classnames == ("tench", "goldfish", "maillot, tank suit")
    assert dataset.counts("train") == (3, 3, 3)
    assert dataset.val == dataset.test
    assert dataset.counts("test") == (1, 1, 1)
    assert names(dataset.train, home / "images/train")[0] == ("n01440764/x_0.JPEG", 0)
    assert "val is the test set, as in CoOp" in dataset.notes


def test_imagenets_own_twins_are_noted_and_can_be_named(tmp_path):
    home = tmp_path / "imagenet"
    put_imagenet(home / "images" / "train")
    put_imagenet(home / "images" / "val")
    (home / "classnames.txt").write_text("n01440764 missile\nn01443537 missile\nn02999999 tench\n")
    assert any('"n01440764" and "n01443537" (missile)' in note for note in open_dataset(home).notes)
    named = {"n01440764": "missile", "n01443537": "projectile", "n02999999": "tench"}
    assert open_dataset(home, class_names=named).classnames[1] == "projectile"


@pytest.mark.parametrize("name", VARIANTS)
def test_imagenet_variants_have_a_test_set_only(tmp_path, name):
    folder, images = VARIANTS[name]
    home = tmp_path / folder
    put_imagenet(home / images, ("0", "1", "2") if name == "imagenetv2" else WNIDS)
    (home / "classnames.txt").write_text(CLASSNAMES)
    (home / images / "README.txt").touch()
    dataset = open_dataset(home)
    assert (dataset.name, dataset.train, dataset.val) == (name, (), ())
    assert dataset.classnames == ("tench", "goldfish", "maillot, tank suit")
    assert dataset.counts("test") == (2, 2, 2)
    (home / "classnames.txt").unlink()
    with pytest.raises(DataError, match=r"classnames.txt is not"):
        open_dataset(home)


def test_variants_label_the_classes_they_have(tmp_path):
    home = tmp_path / "imagenet-adversarial"
    put_imagenet(home / "imagenet-a", WNIDS[1:])
    (home / "classnames.txt").write_text(CLASSNAMES)
    assert open_dataset(home).classnames == ("goldfish", "maillot, tank suit")
    put_imagenet(home / "imagenet-a", ("n09999999",))
    with pytest.raises(DataError, match="no name for n09999999"):
        open_dataset(home)


def test_imagenetv2_folders_are_numbers_of_lines(tmp_path):
    home = tmp_path / "imagenetv2"
    put_imagenet(home / VARIANTS["imagenetv2"][1], ("0", "1", "2", "7"))
    (home / "classnames.txt").write_text(CLASSNAMES)
    with pytest.raises(DataError, match="no class for the folder 7"):
        open_dataset(home)


def test_classnames_that_do_not_read(tmp_path):
    home = tmp_path / "imagenet-rendition"
    put_imagenet(home / "imagenet-r")
    (home / "classnames.txt").write_text("n01440764 tench\nn01443537\n")
    with pytest.raises(DataError, match=r"classnames\.txt:2"):
        open_dataset(home)


def test_pickles_beside_the_images_are_never_read(tmp_path):
    home = put_split(tmp_path / "eurosat", "2750", "split_zhou_EuroSAT.json", split_value())
    trap = tmp_path / "sprung"
    code = f"cos\nsystem\n(S'touch {trap}'\ntR."
    (home / "split_fewshot").mkdir()
    (home / "split_fewshot" / "shot_16-seed_1.pkl").write_text(code)
    (home / "preprocessed.pkl").write_text(code)
    open_dataset(home)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (["../../../etc/passwd", 0, "Forest"], r"/train/1: the path '../../../etc/passwd' climbs out"),
        (["a/../../x.png", 0, "Forest"], "climbs out"),
        (["/etc/passwd", 0, "Forest"], "is absolute"),
        (["C:\\x.png", 0, "Forest"], "holds a backslash"),
        (["C:/x.png", 0, "Forest"], "is absolute"),
        (["a/\0.png", 0, "Forest"], "holds a NUL"),
        (["  ", 0, "Forest"], "is empty"),
        (["a/1.png", -1, "Forest"], "label -1 is no whole number"),
        (["a/1.png", True, "Forest"], "label True is no whole number"),
        (["a/1.png", "0", "Forest"], "label '0' is no whole number"),
        (["a/1.png", 0.0, "Forest"], "label 0.0 is no whole number"),
        (["a/1.png", 0, "Wood"], '/val/0: label 0 is "Forest" here and "Wood" before'),
        (["a/1.png", 2, "Forest"], "one and the same name"),
        (["a/1.png", 3, "Wood"], "label 2 has no image, label 3 has"),
        (["a/1.png", 10**9, "Wood"], "label 2 has no image, label 1000000000 has"),
        (["a/1.png", 0], "not a list of three"),
        ("a/1.png", "not a list of three"),
        ([7, 0, "Forest"], "must be strings"),
        (["b/2.png", 0, "Forest"], "listed under two classes"),
        (["a/4.png", 0, "Forest"], "is in train and in test"),
        (["x.png", 2, " _ "], "empty name"),
    ],
)
def test_split_files_that_lie(tmp_path, item, message):
    value = split_value()
    value["train"][1] = item
    with pytest.raises(DataError, match=message):
        open_dataset(put_split(tmp_path / "eurosat", "2750", "split_zhou_EuroSAT.json", value))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "not an object of lists"),
        ({"train": {}}, "not an object of lists"),
        ({"train": [], "dev": []}, "unknown split dev"),
        ({"train": [], "val": [], "test": []}, "there is no image"),
        ({}, "there is no image"),
    ],
)
def test_split_files_of_another_shape(tmp_path, value, message):
    with pytest.raises(DataError, match=message):
        open_dataset(put_split(tmp_path / "eurosat", "2750", "split_zhou_EuroSAT.json", value))


def test_a_split_file_that_is_no_json(tmp_path):
    home = put_split(tmp_path / "eurosat", "2750", "split_zhou_EuroSAT.json", {})
    for text in ('{"train": [', '{"train": [], "train": []}', "[" * 100_000, ""):
        (home / "split_zhou_EuroSAT.json").write_text(text)
        with pytest.raises(DataError, match=r"split_zhou_EuroSAT.json:\d+:\d+"):
            open_dataset(home)


def test_a_link_out_of_the_image_root(tmp_path):
    home = put_split(tmp_path / "eurosat", "2750", "split_zhou_EuroSAT.json", split_value())
    (home / "2750/a/1.png").unlink()
    (home / "2750/a/1.png").symlink_to("/etc/passwd")
    with pytest.raises(DataError, match="link that leaves"):
        open_dataset(home)
    assert open_dataset(home, follow_links=True)


def test_the_image_root_itself_may_be_a_link(tmp_path):
    home = put_split(tmp_path / "eurosat", "2750", "split_zhou_EuroSAT.json", split_value())
    (home / "2750").rename(tmp_path / "far")
    (home / "2750").symlink_to(tmp_path / "far", target_is_directory=True)
    assert len(open_dataset(home).train) == 3


def test_images_that_are_not_there(tmp_path):
    home = put_split(tmp_path / "eurosat", "2750", "split_zhou_EuroSAT.json", split_value())
    (home / "2750/a/4.png").unlink()
    assert any(note.startswith("1 of 6 listed images are missing") for note in open_dataset(home).notes)
    bare = put_split(tmp_path / "x", "2750", "split_zhou_EuroSAT.json", split_value(), with_images=False)
    with pytest.raises(DataError, match="6 of 6 listed images are missing"):
        open_dataset(bare)
    (bare / "2750").rmdir()
    with pytest.raises(DataError, match="2750 is missing"):
        open_dataset(bare)


def test_images_without_their_list(tmp_path):
    put_image(tmp_path / "eurosat" / "2750" / "Forest" / "1.png")
    with pytest.raises(DataError, match=r"split_zhou_EuroSAT\.json is not"):
        open_dataset(tmp_path / "eurosat")


def test_the_folder_above_several_data_sets(tmp_path):
    put_split(tmp_path / "eurosat", "2750", "split_zhou_EuroSAT.json", split_value())
    put_split(tmp_path / "dtd", "images", "split_zhou_DescribableTextures.json", split_value())
    with pytest.raises(DataError, match=r"holds several data sets .*/dtd"):
        open_dataset(tmp_path)
