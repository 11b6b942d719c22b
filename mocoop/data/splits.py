"""Which images are used: the few shots, the halves of the classes, and splits that a source lacks.

Two separate seeds: `seed` draws the shots, exactly as CoOp does; `split_seed` makes splits if the data set has none,
before any shot is drawn, so that validation and test images are the same for every `seed`. These are pure functions:
no global random state is read or changed.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal, get_args

from mocoop.data.dataset import Dataset, Example, named
from mocoop.errors import DataError, UsageError

VAL_SHOTS = 4  # maximum validation images per class, as in CoOp
Half = Literal["all", "base", "new"]


def few_shot(dataset: Dataset, shots: int, seed: int) -> Dataset:
    """`shots` training and min(shots, 4) validation images per class, the same ones as CoOp draws.

    One random stream for both: first train, then val; classes in the order in which they first appear in the split;
    `random.sample` for each, or all images in order if a class has too few, which is noted. The images are CoOp's if
    the order of the data set is CoOp's, that is for split JSONs and FGVC Aircraft; for ImageNet CoOp used the file
    system's order, here it is by name. The test split is unchanged. Raises DataError for a class without a training
    image.
    """
    if isinstance(shots, bool) or not isinstance(shots, int) or shots < 1:
        raise UsageError(f"shots is {shots!r}", "give a whole number of images a class, 1 or more")
    rng = random.Random(seed)
    train = _draw(dataset.train, shots, rng)
    val = _draw(dataset.val, min(shots, VAL_SHOTS), rng)
    drawn = replace(dataset, train=train, val=val)
    return replace(drawn, notes=(*dataset.notes, *_shortfall(drawn, shots)))


def chosen_on(drawn: Dataset, available: Sequence[Example], most: int, seed: int) -> tuple[Example, ...]:
    """The images that settings may be chosen on: val, or up to `most` unused training images per class.

    A val that is the test set, as for ImageNet in CoOp's layout, does not count: nothing is chosen on test images.
    """
    return _without(drawn.val, drawn.test) or unused((*drawn.train, *drawn.test), available, most, seed)


def up_to(most: int, used: Sequence[Example], available: Dataset, seed: int) -> tuple[Example, ...]:
    """Up to `most` images per class that settings may be chosen on, from val first, then unused training images.

    More images than CoOp's four distinguish settings better. None of them is a test image.
    """
    rng = random.Random(seed)
    val = _draw(_without(available.val, available.test), most, rng)
    left = {label: most - sum(example.label == label for example in val) for label in range(len(available.classnames))}
    found = list(val)
    for example in _draw(_without(available.train, (*used, *available.test)), most, rng):
        if left[example.label]:
            left[example.label] -= 1
            found.append(example)
    return tuple(found)


def unused(used: Sequence[Example], available: Sequence[Example], most: int, seed: int) -> tuple[Example, ...]:
    """Up to `most` unused examples per class of those available: the replacement for a missing val."""
    return _draw(_without(available, used), most, random.Random(seed))


def class_halves(count: int) -> tuple[range, range]:
    """Labels of the base and the new classes: the first half (the larger one if odd), and the rest."""
    middle = (count + 1) // 2
    return range(middle), range(middle, count)


def choose_classes(dataset: Dataset, which: Half) -> Dataset:
    """The data set restricted to all, the base or the new classes, relabelled from 0.

    Draw the shots first: CoOp draws them over all classes. Raises DataError if fewer than two classes are left.
    """
    if which not in get_args(Half):
        raise UsageError(f"classes {which!r}", "one of: all, base, new")
    if which == "all":
        return dataset
    base, new = class_halves(len(dataset.classnames))
    chosen = base if which == "base" else new
    if len(chosen) < 2:
        message = f"{len(dataset.classnames)} classes leave {len(chosen)} for {which}"
        raise DataError(message, "base and new need two classes each; use --classes all")
    return replace(
        dataset,
        classnames=tuple(dataset.classnames[label] for label in chosen),
        keys=tuple(dataset.keys[label] for label in chosen) if dataset.keys else (),
        train=_relabelled(dataset.train, chosen),
        val=_relabelled(dataset.val, chosen),
        test=_relabelled(dataset.test, chosen),
    )


def make_val(
    train: Sequence[Example], keys: Sequence[str], split_seed: int
) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """Split a validation set off train: a fifth of each class, as CoOp does (none for one or two images).

    The choice depends only on `split_seed` and the class's key, not on the other classes. Returns (train, val), both
    in the order of `train`.
    """
    held: set[int] = set()
    for shuffled in _shuffled_by_class(train, keys, split_seed):
        held.update(shuffled[: _tenths(2, len(shuffled))])
    return _pick(train, held, inside=False), _pick(train, held, inside=True)


def divide(examples: Sequence[Example], keys: Sequence[str], split_seed: int) -> dict[str, tuple[Example, ...]]:
    """Split examples without splits by CoOp's shares of each class: 50% train, 20% val, 30% test.

    A class of two images has no val, a class of one only train. It depends on the same things as `make_val`.
    """
    val: set[int] = set()
    test: set[int] = set()
    for shuffled in _shuffled_by_class(examples, keys, split_seed):
        for_test = _tenths(3, len(shuffled))
        for_val = _tenths(2, len(shuffled))
        test.update(shuffled[:for_test])
        val.update(shuffled[for_test : for_test + for_val])
    return {
        "train": _pick(examples, val | test, inside=False),
        "val": _pick(examples, val, inside=True),
        "test": _pick(examples, test, inside=True),
    }


def _without(examples: Iterable[Example], others: Iterable[Example]) -> tuple[Example, ...]:
    taken = set(others)
    return tuple(example for example in examples if example not in taken)


def _draw(examples: Iterable[Example], shots: int, rng: random.Random) -> tuple[Example, ...]:
    by_label: dict[int, list[Example]] = {}
    for example in examples:
        by_label.setdefault(example.label, []).append(example)
    drawn: list[Example] = []
    for items in by_label.values():
        drawn += rng.sample(items, shots) if len(items) >= shots else items
    return tuple(drawn)


def _shortfall(drawn: Dataset, shots: int) -> list[str]:
    counts = dict(zip(drawn.classnames, drawn.counts("train"), strict=True))
    if empty := [name for name, count in counts.items() if count == 0]:
        raise DataError(f"no training image of {named(empty)}", "add some, or take the class out")
    short = [f"{name} ({count})" for name, count in counts.items() if count < shots]
    return [f"fewer than {shots} training images: {named(short)}"] if short else []


def _relabelled(examples: Iterable[Example], chosen: range) -> tuple[Example, ...]:
    return tuple(
        example._replace(label=example.label - chosen.start) for example in examples if example.label in chosen
    )


def _shuffled_by_class(examples: Sequence[Example], keys: Sequence[str], split_seed: int) -> list[list[int]]:
    """Indices into `examples`, one shuffled list per class."""
    by_label: list[list[int]] = [[] for _ in keys]
    for position, example in enumerate(examples):
        by_label[example.label].append(position)
    for key, positions in zip(keys, by_label, strict=True):
        random.Random(f"{split_seed} {key}").shuffle(positions)
    return by_label


def _tenths(tenths: int, count: int) -> int:
    """`tenths` tenths of a count, rounded half up."""
    return (tenths * count + 5) // 10


def _pick(examples: Sequence[Example], positions: set[int], *, inside: bool) -> tuple[Example, ...]:
    return tuple(example for position, example in enumerate(examples) if (position in positions) is inside)
