"""Do prediction sets hold what they promise? On runs, over random divisions of the images that they left.

    mocoop train ... --shots 16 -o RUN
    python benchmarks/coverage.py RUN=DATA [RUN=DATA ...]
    python benchmarks/coverage.py RUN=DATA --pair buildings,denseresidential --groups GROUPS.json

The images of DATA that a run was not trained on are divided at random into those that it is calibrated on (as many as
`mocoop train` takes, 20 a class or 400) and those that are tested, 20 times. For each coverage are printed the mean
coverage and mean set size of
    one:      one threshold for all classes, and no class put in for being the answer: what theory speaks of
    T = 1:    the same without a temperature, which theory speaks of to the letter
    by class: each class by its own scores, however few, if they give a threshold at all
    mocoop:   by class for classes with many scores, and the answer always in the set: what the commands give
and, beside them, in how many of the divisions the images covered lie within the interval of 95 % that theory gives
(beta-binomial: images covered of m, after n scores), and the mean coverage of the class that has least.

--pair compares with the package conformal-clip, which knows two classes only: the run's shots of both classes are its
exemplars, mocoop trains on the same, and both get the same images to calibrate on and to test. Its defaults are sets by
class and no calibration of probabilities; a line with isotonic regression stands beside.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mocoop.certainty.calibration import Calibration
from mocoop.certainty.conformal import prediction_sets, quantile, rank
from mocoop.certainty.measures import COVERAGES, calibration_error, coverage_and_size
from mocoop.certainty.temperature import tempered
from mocoop.cli import show_table
from mocoop.data.cache import FeatureCache
from mocoop.data.leaks import content
from mocoop.data.sources import open_dataset
from mocoop.runs.calibrating import A_CLASS, IN_ALL
from mocoop.runs.evaluate import on_classes_of
from mocoop.runs.measured import training_images
from mocoop.runs.run import Run
from mocoop.training.inputs import load_inputs

PEER_TEMPERATURE = 0.01  # CLIP's; the peer's default of 1 gives sets that are the same and probabilities near a half


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN=DATA")
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--pair", help="two classes, to compare with conformal-clip on")
    parser.add_argument("--groups", type=Path, help="the group file of mocoop for the two classes")
    options = parser.parse_args()
    for given in options.runs:
        where, _, data = given.partition("=")
        run = Run.open(where)
        left, shots = features(run, Path(data))
        if options.pair:
            compare(run, left, shots, options)
        else:
            cover(run, Path(data).stem, left, options.splits)


class Images:
    """Features (N, D) and labels (N,)."""

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        self.x, self.y = x, y

    def of(self, chosen: np.ndarray) -> Images:
        return Images(self.x[chosen], self.y[chosen])


def features(run: Run, data: Path) -> tuple[Images, Images]:
    """The images that a run was not trained on, without copies of those it was; and those it was trained on."""
    kept = run.info.get("names_by_key")
    dataset = on_classes_of(run, open_dataset(data, kept_names=kept, split_seed=run.info["split_seed"]))
    backbone, known = run.load_backbone(), run.trained_images or frozenset()
    trained, why = training_images(run, dataset)
    if why:
        sys.exit(f"{data}: {why}")
    everything = dict.fromkeys((*dataset.train, *dataset.val, *dataset.test))
    left = [example for example in everything if content(dataset, example) not in known]
    reading = replace(dataset, reading=run.reading)
    found = [load_inputs(backbone, reading, some, cache=FeatureCache()) for some in (left, trained)]
    ours, shots = (Images(one.view(0).numpy(), one.labels.numpy()) for one in found)
    return ours, shots


def divisions(images: int, calibrated_on: int, splits: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Places of the images to calibrate on, and of those to test."""
    for seed in range(splits):
        order = np.random.default_rng(seed).permutation(images)
        yield order[:calibrated_on], order[calibrated_on:]


def cover(run: Run, name: str, left: Images, splits: int) -> None:
    """Print the table of one run."""
    import torch
    from scipy.stats import betabinom

    before = run.classifier(calibrated=False).predict(torch.from_numpy(left.x)).probabilities.numpy()
    classes = len(run.classnames)
    count = min(max(A_CLASS * classes, IN_ALL), len(left.y) // 2)
    rows: dict[tuple[float, str], list[tuple[float, ...]]] = {}
    errors, temperatures = [], []
    for val, test in divisions(len(left.y), count, splits):
        fitted = Calibration.fit(before[val], left.y[val], run.classnames)
        after = tempered(before, fitted.temperature)
        temperatures.append(fitted.temperature)
        errors.append([100 * calibration_error(one[test], left.y[test]) for one in (before, after)])
        for a in COVERAGES:
            low, high = betabinom.interval(0.95, len(test), rank(count, a), count + 1 - rank(count, a))
            for line, p in (("one", after), ("T = 1", before)):
                scores = 1 - np.asarray(p, np.float64)[np.arange(len(p)), left.y]
                sets = 1 - np.asarray(p[test], np.float64) <= quantile(scores[val].tolist(), a)
                rows.setdefault((a, line), []).append(told(sets, left.y[test], classes, low, high))
            shared = quantile([score for own in fitted.scores for score in own], a)
            own = [quantile(s, a) if rank(len(s), a) <= len(s) else shared for s in fitted.scores]
            sets = 1 - after[test] <= np.asarray(own)
            rows.setdefault((a, "by class"), []).append(told(sets, left.y[test], classes, low, high))
            sets = prediction_sets(after[test], fitted.limits(a))
            rows.setdefault((a, "mocoop"), []).append(told(sets, left.y[test], classes, low, high))
    ece, t = np.mean(errors, axis=0), statistics.fmean(temperatures)
    accuracy = 100 * float((before.argmax(1) == left.y).mean())
    print(
        f"{name}: {classes} classes, calibrated on {count} and tested on {len(left.y) - count} images, {splits} times"
    )
    print(f"accuracy {accuracy:.1f} %, temperature {t:.2f}, ECE {ece[0]:.1f} % before and {ece[1]:.1f} % after")
    shown = []
    for (a, line), found in rows.items():
        covered, size, inside, worst = (statistics.fmean(values) for values in zip(*found, strict=True))
        within = f"{round(inside * splits)} of {splits}" if line in ("one", "T = 1") else ""
        shown.append((f"{100 * a:g} %", line, f"{covered:.1f}", f"{size:.2f}", within, f"{worst:.1f}"))
    show_table(("asked", "thresholds", "covered %", "classes a set", "within", "least of a class %"), shown)


def told(sets: np.ndarray, labels: np.ndarray, classes: int, low: float, high: float) -> tuple[float, ...]:
    """Coverage in percent, mean size, whether within the interval, and the least coverage of a class."""
    covered, size = coverage_and_size(sets, labels)
    hit = sets[np.arange(len(sets)), labels]
    worst = min(float(hit[labels == c].mean()) for c in range(classes) if (labels == c).any())
    return 100 * covered, size, float(low <= hit.sum() <= high), 100 * worst


def compare(run: Run, left: Images, shots: Images, options: argparse.Namespace) -> None:
    """Print what both packages reach on two classes of a run."""
    names = options.pair.split(",")
    if len(names) != 2 or any(name not in run.classnames for name in names):
        sys.exit(f"--pair {options.pair}: two of {', '.join(run.classnames)}")
    left, shots = (two_of(images, [run.classnames.index(name) for name in names]) for images in (left, shots))
    count = len(left.y) // 3
    ours = ours_on(run, names, shots, options.groups).predict_proba(left.x)
    rows: dict[tuple[float, str], list[tuple[float, ...]]] = {}
    for val, test in divisions(len(left.y), count, options.splits):
        fitted = Calibration.fit(ours[val], left.y[val], names)
        after = tempered(ours[test], fitted.temperature)
        for a in COVERAGES:
            sets = prediction_sets(after, fitted.limits(a))
            rows.setdefault((a, "mocoop"), []).append(measured(after, sets, left.y[test]))
            for calibration in (None, "isotonic"):
                line = "conformal-clip" + (f", {calibration}" if calibration else "")
                found = theirs_on(names, shots, left.of(val), left.of(test), 1 - a, calibration)
                rows.setdefault((a, line), []).append(measured(*found, left.y[test]))
    print(
        f"{names[0]} and {names[1]}: {len(shots.y)} shots, calibrated on {count} and tested on {len(left.y) - count} "
        f"images, {options.splits} times"
    )
    lines = [
        (f"{100 * a:g} %", line, *(f"{mean:{form}}" for mean, form in zip(np.mean(found, axis=0), _FORMS, strict=True)))
        for (a, line), found in rows.items()
    ]
    show_table(("asked", "by", "accuracy %", "ECE %", "covered %", "least of both %", "classes a set"), lines)


_FORMS = (".1f", ".1f", ".1f", ".1f", ".2f")


def measured(p: np.ndarray, sets: np.ndarray, labels: np.ndarray) -> tuple[float, ...]:
    covered, size, _, worst = told(sets, labels, 2, 0, 0)
    accuracy = 100 * float((p.argmax(1) == labels).mean())
    return accuracy, 100 * calibration_error(p, labels), covered, worst, size


def two_of(images: Images, classes: list[int]) -> Images:
    mine = images.of(np.isin(images.y, classes))
    return Images(mine.x, (mine.y == classes[1]).astype(np.int64))


def ours_on(run: Run, names: list[str], shots: Images, groups: Path | None) -> Any:
    """MoCoOp of the two classes."""
    from mocoop import MoCoOpClassifier

    given = groups or run.path / "groups.json"
    classifier = MoCoOpClassifier(
        given, backbone=run.load_backbone(), settings={"views": 0}, class_names=dict(enumerate(names))
    )
    return classifier.fit(shots.x, shots.y)


def theirs_on(
    names: list[str], shots: Images, val: Images, test: Images, alpha: float, calibration: str | None
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and sets of conformal-clip, which is given features in the place of images."""
    import torch
    from conformal_clip.conformal import few_shot_fault_classification_conformal

    class Identity:
        @staticmethod
        def encode_image(x: Any) -> Any:
            return x

    def rows(x: np.ndarray) -> list[Any]:
        return [torch.from_numpy(row[None].copy()) for row in x]

    found = few_shot_fault_classification_conformal(
        Identity(),
        rows(test.x),
        [str(place) for place in range(len(test.y))],
        rows(shots.x[shots.y == 0]),
        ["" for _ in range(int((shots.y == 0).sum()))],
        rows(shots.x[shots.y == 1]),
        ["" for _ in range(int((shots.y == 1).sum()))],
        rows(val.x),
        [names[label] for label in val.y],
        alpha=alpha,
        temperature=PEER_TEMPERATURE,
        class_labels=tuple(names),
        prob_calibration=calibration,
    )
    p = np.array([[row[f"{name}_prob"] for name in names] for row in found])
    sets = np.array([[name in row["prediction_set"].split("|") for name in names] for row in found])
    return p, sets


if __name__ == "__main__":
    main()
