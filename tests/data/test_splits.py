"""Shots equal to CoOp's, halves of the classes, splits made where there are none."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mocoop.data.dataset import Dataset, Example
from mocoop.data.sources import open_dataset
from mocoop.data.splits import choose_classes, chosen_on, class_halves, divide, few_shot, make_val, up_to
from mocoop.errors import DataError, UsageError

COOP = {"dtd": ("images", "DescribableTextures"), "eurosat": ("2750", "EuroSAT")}


def examples(labels: list[int], prefix: str = "") -> tuple[Example, ...]:
    return tuple(Example(Path(f"{prefix}{number}.png"), label) for number, label in enumerate(labels))


def toy(train: list[int], val: list[int] = (), test: list[int] = (), classes: int = 3) -> Dataset:
    names = tuple("abcdefghijklmnop"[:classes])
    return Dataset("toy", names, examples(train, "t"), examples(list(val), "v"), examples(list(test), "e"))


@pytest.fixture(scope="module", params=COOP)
def coop_dataset(request, tmp_path_factory, test_data):
    """A data set of CoOp's, opened from its split JSON with empty files for its images."""
    images, stem = COOP[request.param]
    source = test_data / "coop_splits" / f"split_zhou_{stem}.json"
    home = tmp_path_factory.mktemp("root") / request.param
    home.mkdir()
    (home / source.name).write_bytes(source.read_bytes())
    for items in json.loads(source.read_bytes()).values():
        for relative, _label, _name in items:
            path = home / images / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return open_dataset(home), home / images


@pytest.mark.parametrize("shots", [1, 16])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_shots_are_coops_image_for_image(coop_dataset, shots, seed, test_data):
    dataset, images = coop_dataset
    picks = test_data / "coop_splits" / "indices" / dataset.name / f"shot_{shots}-seed_{seed}.json"
    stored = json.loads(picks.read_bytes())
    drawn = few_shot(dataset, shots, seed)
    for split in ("train", "val"):
        expected = [
            (item["impath"].split(f"/{images.name}/", 1)[1], item["label"], item["classname"])
            for item in stored[split]["data"]
        ]
        found = [
            (path.relative_to(images).as_posix(), label, dataset.classnames[label])
            for path, label, _row in drawn.split(split)
        ]
        assert found == expected  # the order too
    assert drawn.test == dataset.test


def test_the_published_sizes(coop_dataset):
    dataset, _ = coop_dataset
    sizes = {"dtd": (47, 2820, 1128, 1692), "eurosat": (10, 13500, 5400, 8100)}[dataset.name]
    assert (len(dataset.classnames), *map(len, (dataset.train, dataset.val, dataset.test))) == sizes
    base, new = (len(choose_classes(dataset, half).classnames) for half in ("base", "new"))
    assert (base, new) == {"dtd": (24, 23), "eurosat": (5, 5)}[dataset.name]


def test_the_stream_is_that_of_the_global_generator():
    dataset = toy([2, 0, 2, 1, 0, 2, 1, 0, 1, 2], val=[1, 0, 1, 0, 2, 2, 0])
    random.seed(7)
    expected = []
    for split, shots in ((dataset.train, 2), (dataset.val, 2)):
        by_label: dict[int, list[Example]] = {}
        for example in split:
            by_label.setdefault(example.label, []).append(example)
        expected.append([pick for items in by_label.values() for pick in random.sample(items, shots)])
    state = random.getstate()
    drawn = few_shot(dataset, 2, 7)
    assert [list(drawn.train), list(drawn.val)] == expected
    assert random.getstate() == state


def test_val_gets_four_at_most_and_test_stays():
    drawn = few_shot(toy([0, 1, 2] * 16, val=[0, 1, 2] * 9, test=[0, 1, 2] * 5), 16, 1)
    assert drawn.counts("train") == (16, 16, 16)
    assert drawn.counts("val") == (4, 4, 4)
    assert drawn.counts("test") == (5, 5, 5)


def test_images_to_choose_on_are_val_then_unused_training_images_and_no_others():
    dataset = toy([0, 1] * 9, val=[0, 1, 0, 0], test=[0, 1], classes=2)
    shared = dataset.test[0]._replace(label=1)
    train = (*dataset.train, shared)  # one picture in all three, which somebody's table may have
    dataset = replace(dataset, train=train, val=(*dataset.val, shared), test=(*dataset.test, shared))
    used = few_shot(replace(dataset, train=train[:-1]), 4, 1).train
    found = up_to(5, used, dataset, seed=1)
    counted = Counter((example.path.name[0], example.label) for example in found)
    assert counted == {("v", 0): 3, ("t", 0): 2, ("v", 1): 1, ("t", 1): 4}
    assert not set(found) & {*used, *dataset.test}
    assert Counter(example.label for example in up_to(99, used, dataset, seed=1)) == {0: 8, 1: 6}
    no_val = replace(dataset, val=(), train=(*train[:3], shared))
    assert shared not in chosen_on(replace(no_val, train=()), no_val.train, 9, seed=1)
    assert up_to(5, used, dataset, seed=1) == found != up_to(5, used, dataset, seed=2)


def test_a_class_with_too_few_gives_all_in_order_and_a_note():
    drawn = few_shot(toy([0, 1, 1, 0, 2, 1, 2, 2, 1]), 3, 1)
    assert [example.path.name for example in drawn.train if example.label == 0] == ["t0.png", "t3.png"]
    assert drawn.notes == ("fewer than 3 training images: a (2)",)


def test_a_class_without_training_images_is_an_error():
    with pytest.raises(DataError, match="no training image of b"):
        few_shot(toy([0, 2], test=[1]), 1, 1)


@pytest.mark.parametrize("shots", [0, -1, True, 1.0, "16"])
def test_shots_are_whole_numbers(shots):
    with pytest.raises(UsageError, match="shots is"):
        few_shot(toy([0, 1, 2]), shots, 1)


def test_halves():
    assert [tuple(map(len, class_halves(count))) for count in (4, 5, 47, 102)] == [
        (2, 2),
        (3, 2),
        (24, 23),
        (51, 51),
    ]
    base, new = class_halves(5)
    assert [*base, *new] == [0, 1, 2, 3, 4]


def test_choosing_classes_counts_labels_from_zero():
    dataset = toy([0, 1, 2, 3, 4], val=[4, 2], test=[3, 0], classes=5)
    base, new = choose_classes(dataset, "base"), choose_classes(dataset, "new")
    assert base.classnames == ("a", "b", "c")
    assert [example.label for example in base.train] == [0, 1, 2]
    assert new.classnames == ("d", "e")
    assert [(str(example.path), example.label) for example in (*new.train, *new.val, *new.test)] == [
        ("t3.png", 0),
        ("t4.png", 1),
        ("v0.png", 1),
        ("e0.png", 0),
    ]
    assert choose_classes(dataset, "all") is dataset


def test_classes_that_cannot_be_halved():
    assert len(choose_classes(toy([0, 1, 2]), "base").classnames) == 2
    with pytest.raises(DataError, match="3 classes leave 1 for new"):
        choose_classes(toy([0, 1, 2]), "new")
    with pytest.raises(UsageError, match="one of: all, base, new"):
        choose_classes(toy([0, 1, 2]), "novel")


counts = st.lists(st.integers(1, 30), min_size=2, max_size=6)


@given(counts=counts, seed=st.integers(0, 5))
def test_dividing_is_by_class_complete_and_has_the_shares(counts, seed):
    everything = examples([label for label, count in enumerate(counts) for _ in range(count)])
    parts = divide(everything, [str(label) for label in range(len(counts))], seed)
    assert sorted(sum(parts.values(), ())) == sorted(everything)
    for name, share in (("train", 0.5), ("val", 0.2), ("test", 0.3)):
        found = Counter(example.label for example in parts[name])
        for label, count in enumerate(counts):
            assert abs(found[label] - share * count) <= 1
    assert all(Counter(example.label for example in parts["train"])[label] for label in range(len(counts)))
    assert list(parts["train"]) == sorted(parts["train"], key=everything.index)


@given(counts=counts, seed=st.integers(0, 5))
def test_val_is_a_fifth_of_train_and_the_rest_stays(counts, seed):
    train = examples([label for label, count in enumerate(counts) for _ in range(count)])
    kept, val = make_val(train, [str(label) for label in range(len(counts))], seed)
    assert sorted(kept + val) == sorted(train)
    found = Counter(example.label for example in val)
    assert [found[label] for label in range(len(counts))] == [int(0.2 * count + 0.5) for count in counts]
    assert {example.label for example in kept} == set(range(len(counts)))


def test_a_class_is_split_alike_whatever_the_others_are():
    few = divide(examples([0] * 20), ["forest"], 3)
    more = divide(examples([0] * 20) + examples([1] * 9, "x"), ["forest", "river"], 3)
    assert list(few["test"]) == [example for example in more["test"] if example.label == 0]
    assert divide(examples([0] * 20), ["forest"], 4) != few
    assert divide(examples([0] * 20), ["forest"], 3) == few
    assert [int(example.path.stem) for example in few["val"]] == [1, 7, 11, 16]  # as ever
