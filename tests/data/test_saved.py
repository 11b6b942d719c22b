"""Folders of Hugging Face's `save_to_disk`: the same images, labels and splits as the Dataset has."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

arrow = pytest.importorskip("pyarrow")

from savedsets import image_type, picture, save_dataset, save_dict  # noqa: E402

from mocoop.data import arrowfile, images  # noqa: E402
from mocoop.data.contents import picture_bytes, picture_sha256  # noqa: E402
from mocoop.data.images import open_image  # noqa: E402
from mocoop.data.leaks import leaks  # noqa: E402
from mocoop.data.sources import open_dataset  # noqa: E402
from mocoop.errors import DataError, ImageError, UsageError  # noqa: E402
from mocoop.files import sha256_bytes  # noqa: E402

LABELS = [1, 0, 1, 0, 0, 1, 1, 0, 0, 1]
PICTURES = [picture(label, number) for number, label in enumerate(LABELS)]


def everything(dataset):
    return [*dataset.train, *dataset.val, *dataset.test]


def contents(examples):
    """{sha256 of a picture: its label}"""
    return {picture_sha256(example.path): example.label for example in examples}


WANTED = {sha256_bytes(data): label for data, label in zip(PICTURES, LABELS, strict=True)}


class TestListing:
    def test_a_dataset_is_split_like_a_folder_without_splits(self, tmp_path):
        dataset = open_dataset(save_dataset(tmp_path / "pets", PICTURES, LABELS))
        assert dataset.name == "pets"
        assert dataset.classnames == ("cat", "dog")
        assert dataset.divided
        assert contents(everything(dataset)) == WANTED
        assert len(everything(dataset)) == 10

    def test_a_dict_has_its_splits(self, tmp_path):
        parts = {"train": (PICTURES[:6], LABELS[:6]), "validation": (PICTURES[6:8], LABELS[6:8]),
                 "test": (PICTURES[8:], LABELS[8:])}  # fmt: skip
        dataset = open_dataset(save_dict(tmp_path / "pets", parts))
        for split, (data, labels) in zip(("train", "val", "test"), parts.values(), strict=True):
            wanted = dict(zip(map(sha256_bytes, data), labels, strict=True))
            assert contents(dataset.split(split)) == wanted, split
        assert [example.label for example in dataset.train] == LABELS[:6], "in the order of the rows"

    def test_classes_are_in_the_order_of_the_class_label(self, tmp_path):
        dataset = open_dataset(save_dataset(tmp_path / "pets", PICTURES, LABELS, names=("zebra", "ant")))
        assert dataset.classnames == ("zebra", "ant")
        assert contents(everything(dataset)) == WANTED

    def test_splits_whose_class_labels_differ_in_order_are_matched_by_name(self, tmp_path):
        save_dict(tmp_path / "pets", {"train": (PICTURES[:6], LABELS[:6]), "test": (PICTURES[6:], LABELS[6:])})
        features = {"image": {"_type": "Image"}, "label": {"names": ["dog", "cat"], "_type": "ClassLabel"}}
        (tmp_path / "pets/test/dataset_info.json").write_text(json.dumps({"features": features}))
        dataset = open_dataset(tmp_path / "pets")
        assert dataset.classnames == ("cat", "dog")
        assert [example.label for example in dataset.test] == [1 - label for label in LABELS[6:]]

    def test_the_only_split_is_divided(self, tmp_path):
        dataset = open_dataset(save_dict(tmp_path / "pets", {"train": (PICTURES, LABELS)}))
        assert dataset.divided
        assert dataset.test
        assert "train is the only split" in " ".join(dataset.notes)

    def test_the_folder_of_one_split_is_a_dataset(self, tmp_path):
        folder = save_dict(tmp_path / "pets", {"train": (PICTURES[:6], LABELS[:6]), "test": (PICTURES[6:], LABELS[6:])})
        assert len(everything(open_dataset(folder / "test"))) == 4

    def test_the_only_image_and_class_label_are_found_under_any_name(self, tmp_path):
        extra = {"name": arrow.array([f"n{number}" for number in range(10)])}
        dataset = open_dataset(
            save_dataset(tmp_path / "pets", PICTURES, LABELS, columns=("photo", "kind_of_pet"), extra=extra)
        )
        assert contents(everything(dataset)) == WANTED
        assert "columns: photo is the path, kind_of_pet is the label" in dataset.notes
        assert "columns not used: name" in dataset.notes

    def test_columns_can_be_named(self, tmp_path):
        names = {"names": ["a", "b"], "_type": "ClassLabel"}
        features = {"img": {"_type": "Image"}, "fine": names, "coarse": names}
        folder = save_dataset(
            tmp_path / "pets", PICTURES, LABELS, columns=("img", "fine"), features=features,
            extra={"coarse": arrow.array([0, 1] * 5)},
        )  # fmt: skip
        with pytest.raises(DataError, match=r'no column "label".*--columns path=\.\.\.,label=\.\.\.'):
            open_dataset(folder)
        fine = open_dataset(folder, columns={"label": "fine"})
        assert contents(everything(fine)) == WANTED
        coarse = open_dataset(folder, columns={"label": "coarse"})
        assert contents(everything(coarse)) == {sha256_bytes(data): n % 2 for n, data in enumerate(PICTURES)}
        with pytest.raises(UsageError, match="none of path, label and split"):
            open_dataset(folder, columns={"labels": "fine"})

    def test_labels_may_be_text(self, tmp_path):
        words = [("cat", "dog")[label] for label in LABELS]
        dataset = open_dataset(save_dataset(tmp_path / "pets", PICTURES, words, names=None))
        assert contents(everything(dataset)) == WANTED

    def test_images_without_label_are_left_out_and_counted(self, tmp_path):
        labels = [-1, None, *LABELS[2:]]
        dataset = open_dataset(save_dataset(tmp_path / "pets", PICTURES, labels))
        assert len(everything(dataset)) == 8
        assert "2 images without a label are left out" in dataset.notes

    def test_classes_without_images_are_left_out(self, tmp_path):
        dataset = open_dataset(
            save_dataset(tmp_path / "pets", PICTURES, [2 * label for label in LABELS], names=("cat", "cow", "dog"))
        )
        assert dataset.classnames == ("cat", "dog")
        assert contents(everything(dataset)) == WANTED
        assert "classes without an image are left out: cow" in dataset.notes

    def test_other_splits_are_left_out_with_a_note(self, tmp_path):
        part = (PICTURES[:4], LABELS[:4])
        folder = save_dict(tmp_path / "pets", {"train": part, "test": (PICTURES[4:], LABELS[4:]), "extra": part})
        dataset = open_dataset(folder)
        assert len(everything(dataset)) == 10
        assert "not used, beside the splits: extra" in dataset.notes

    def test_splits_of_unknown_names_are_refused(self, tmp_path):
        part = (PICTURES, LABELS)
        with pytest.raises(DataError, match="none of summer, winter is called train"):
            open_dataset(save_dict(tmp_path / "pets", {"summer": part, "winter": part}))

    def test_paths_stand_for_pictures_below_the_folder(self, tmp_path):
        folder = tmp_path / "pets"
        pairs = [(None, f"files/{number}.png") for number in range(10)]
        pairs[3] = (None, str(folder / "files/3.png"))
        save_dataset(folder, pairs, LABELS)
        (folder / "files").mkdir()
        for number, data in enumerate(PICTURES):
            (folder / f"files/{number}.png").write_bytes(data)
        dataset = open_dataset(folder)
        assert contents(everything(dataset)) == WANTED
        (folder / "files/0.png").unlink()
        assert "1 of 10 listed images are missing" in " ".join(open_dataset(folder).notes)

    @pytest.mark.parametrize(("path", "why"), [("/etc/hosts", "is absolute"), ("../x.png", "climbs out")])
    def test_paths_that_leave_the_folder_are_refused(self, tmp_path, path, why):
        with pytest.raises(DataError, match=why):
            open_dataset(save_dataset(tmp_path / "pets", [(None, path)] * 10, LABELS))

    def test_links_that_leave_the_folder_are_refused(self, tmp_path):
        folder = save_dataset(tmp_path / "pets", PICTURES, LABELS, shards=1)
        file = folder / "data-00000-of-00001.arrow"
        file.rename(tmp_path / "elsewhere.arrow")
        file.symlink_to(tmp_path / "elsewhere.arrow")
        with pytest.raises(DataError, match="a link that leaves"):
            open_dataset(folder)
        assert contents(everything(open_dataset(folder, follow_links=True))) == WANTED


class TestPictures:
    def test_a_row_is_the_picture_that_was_saved(self, tmp_path):
        folder = save_dataset(tmp_path / "pets", PICTURES, LABELS, shards=2, chunk=2)
        for number, data in enumerate(PICTURES):
            path = folder / f"data-0000{number // 5}-of-00002.arrow/image/{number % 5}"
            assert picture_bytes(path) == data
            assert np.asarray(open_image(path))[0, 0].tolist() == [40 * LABELS[number] + 10, 100, number]

    def test_a_changed_file_is_read_again(self, tmp_path):
        path = save_dataset(tmp_path / "a", PICTURES, LABELS, shards=1) / "data-00000-of-00001.arrow"
        assert picture_bytes(path / "image/0") == PICTURES[0]
        other = save_dataset(tmp_path / "b", PICTURES[::-1][:9], LABELS[:9], shards=1) / path.name
        other.replace(path)
        assert picture_bytes(path / "image/0") == PICTURES[9]
        with pytest.raises(ImageError, match="there is no such row"):
            picture_bytes(path / "image/9")

    def test_pictures_may_be_plain_bytes(self, tmp_path):
        folder = save_dataset(tmp_path / "pets", PICTURES, LABELS, extra={"raw": arrow.array(PICTURES)})
        dataset = open_dataset(folder, columns={"path": "raw", "label": "label"})
        assert contents(everything(dataset)) == WANTED

    def test_a_picture_that_leaks_is_found(self, tmp_path):
        parts = {"train": (PICTURES[:4], LABELS[:4]), "val": (PICTURES[4:6], LABELS[4:6]),
                 "test": ([PICTURES[0], *PICTURES[6:]], [1, *LABELS[6:]])}  # fmt: skip
        found = leaks(open_dataset(save_dict(tmp_path / "pets", parts)))
        assert len(found) == 1
        assert "1 of 5 pictures of test are in train too" in found[0]

    def test_pictures_that_are_missing_or_damaged_are_named(self, tmp_path):
        pictures = [None, b"no picture", *PICTURES[2:]]
        dataset = open_dataset(save_dataset(tmp_path / "pets", pictures, LABELS, shards=1))
        paths = {int(example.path.name): example.path for example in everything(dataset)}
        with pytest.raises(ImageError, match=r"arrow/image/0: there is no picture in this row"):
            open_image(paths[0])
        with pytest.raises(ImageError, match=r"arrow/image/1: this is text, not a picture"):
            open_image(paths[1])

    def test_the_limits_on_pixels_and_bytes_hold(self, tmp_path, monkeypatch):
        folder = save_dataset(tmp_path / "pets", PICTURES, LABELS, shards=1)
        path = folder / "data-00000-of-00001.arrow/image/0"
        with pytest.raises(ImageError, match="8 x 8 pixels, more than 63"):
            open_image(path, max_pixels=63)
        with pytest.raises(ImageError, match="larger than 20 bytes"):
            open_image(path, max_bytes=20)
        assert images.MAX_BYTES == 512 * 1024 * 1024

    def test_a_picture_costs_its_own_bytes_only(self, tmp_path):
        big = [bytes(5_000_000)] * 6
        path = save_dataset(tmp_path / "pets", big, [0, 1] * 3, shards=1) / "data-00000-of-00001.arrow"
        before = arrow.total_allocated_bytes()
        assert len(picture_bytes(path / "image/5")) == 5_000_000
        assert arrow.total_allocated_bytes() - before < 1_000_000

    def test_a_folder_that_is_called_like_a_file_is_a_folder(self, tmp_path):
        (tmp_path / "x.arrow/image").mkdir(parents=True)
        (tmp_path / "x.arrow/image/7").write_bytes(PICTURES[0])
        assert picture_bytes(tmp_path / "x.arrow/image/7") == PICTURES[0]


class TestRefusals:
    @pytest.mark.parametrize("codec", ["lz4", "zstd"])
    def test_compressed_batches(self, tmp_path, codec):
        if not arrow.Codec.is_available(codec):
            pytest.skip(f"this pyarrow has no {codec}")
        options = arrow.ipc.IpcWriteOptions(compression=codec)
        with pytest.raises(DataError, match="it is compressed"):
            open_dataset(save_dataset(tmp_path / "pets", PICTURES, LABELS, options=options))

    def test_python_objects(self, tmp_path):
        folder = save_dataset(tmp_path / "pets", PICTURES, LABELS, shards=1)
        schema = arrow.schema(
            [arrow.field("image", image_type(), metadata={"ARROW:extension:name": "arrow.py_extension_type"}),
             arrow.field("label", arrow.int64())]
        )  # fmt: skip
        with arrow.OSFile(str(folder / "data-00000-of-00001.arrow"), "wb") as file:
            arrow.ipc.new_stream(file, schema).close()
        with pytest.raises(DataError, match="it holds Python objects"):
            open_dataset(folder)

    @pytest.mark.parametrize(
        "content", [b"", b"no arrow", b"ARROW1\0\0" + bytes(100), b"\xff\xff\xff\xff\xff\xff\xff\x7f"]
    )
    def test_files_of_another_kind(self, tmp_path, content):
        folder = save_dataset(tmp_path / "pets", PICTURES, LABELS, shards=1)
        (folder / "data-00000-of-00001.arrow").write_bytes(content)
        with pytest.raises(DataError, match=r"no Arrow stream|no image"):
            open_dataset(folder)

    def test_a_file_cut_between_two_batches(self, tmp_path):
        folder = save_dataset(tmp_path / "pets", PICTURES, LABELS, shards=1)
        path = folder / "data-00000-of-00001.arrow"
        path.write_bytes(path.read_bytes()[:-8])
        with pytest.raises(DataError, match="cut off"):
            open_dataset(folder)

    def test_cut_and_changed_files_never_crash(self, tmp_path):
        folder = save_dataset(tmp_path / "pets", PICTURES, LABELS, shards=1)
        path = folder / "data-00000-of-00001.arrow"
        data, rng = path.read_bytes(), np.random.default_rng(1)
        for trial in range(150):
            changed = bytearray(data[: rng.integers(len(data))] if trial % 3 == 0 else data)
            for place in rng.integers(0, max(1, min(len(changed), 1600)), 3 if changed else 0):
                changed[place] = rng.integers(256)
            path.unlink()
            path.write_bytes(changed)
            try:
                for example in everything(open_dataset(folder)):
                    picture_bytes(example.path)
            except DataError:
                pass

    def test_labels_beyond_the_names(self, tmp_path):
        with pytest.raises(DataError, match=r"label 2 of 2 classes"):
            open_dataset(save_dataset(tmp_path / "pets", PICTURES, [2, *LABELS[1:]]))

    def test_an_index_of_rows(self, tmp_path):
        state = {"_indices_data_files": [{"filename": "indices.arrow"}]}
        with pytest.raises(DataError, match=r"chosen by an index .*flatten_indices"):
            open_dataset(save_dataset(tmp_path / "pets", PICTURES, LABELS, state=state))

    def test_files_that_leave_the_folder(self, tmp_path):
        state = {"_data_files": [{"filename": "../other.arrow"}]}
        with pytest.raises(DataError, match="climbs out"):
            open_dataset(save_dataset(tmp_path / "pets", PICTURES, LABELS, state=state))

    def test_a_missing_file(self, tmp_path):
        folder = save_dataset(tmp_path / "pets", PICTURES, LABELS)
        (folder / "data-00001-of-00002.arrow").unlink()
        with pytest.raises(DataError, match=r"data-00001-of-00002\.arrow is missing"):
            open_dataset(folder)

    def test_columns_of_other_types(self, tmp_path):
        folder = save_dataset(tmp_path / "pets", PICTURES, LABELS, extra={"boxes": arrow.array([[1.0]] * 10)})
        with pytest.raises(DataError, match='the column "boxes" is list'):
            open_dataset(folder, columns={"path": "image", "label": "boxes"})
        with pytest.raises(DataError, match='the column "label" is int64'):
            open_dataset(folder, columns={"path": "label", "label": "boxes"})

    def test_too_many_rows(self, tmp_path, monkeypatch):
        from mocoop.data import saved

        monkeypatch.setattr(saved, "MAX_ROWS", 9)
        with pytest.raises(DataError, match="more than 9 images"):
            open_dataset(save_dataset(tmp_path / "pets", PICTURES, LABELS))

    def test_too_many_batches(self, tmp_path, monkeypatch):
        monkeypatch.setattr(arrowfile, "MAX_BATCHES", 1)
        with pytest.raises(DataError, match="more than 1 batches"):
            open_dataset(save_dataset(tmp_path / "pets", PICTURES, LABELS, chunk=2))

    def test_without_pyarrow_it_says_how_to_get_it(self, tmp_path, monkeypatch):
        folder = save_dataset(tmp_path / "pets", PICTURES, LABELS)
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(DataError, match=r"needs pyarrow \(pip install pyarrow"):
            open_dataset(folder)
