"""One run as a page in plain words: what it was trained on, how good it is, what it gets wrong, what to do next.

Without an evaluation the page says what was trained and how to measure it. N images, C classes, E experts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mocoop.certainty.measures import BINS, Bin, chance_error, confidence_bins
from mocoop.data.dataset import common_folder
from mocoop.reporting.advice import next_step
from mocoop.reporting.calibration import FEWEST
from mocoop.reporting.curves import plot_reliability
from mocoop.reporting.document import Block, Document, Entry, Number, Picture, Section, Table, Tiles, Words
from mocoop.reporting.mistakes import Mistake, class_scores, commonest, confusion
from mocoop.reporting.plots import plot_confusion, plot_expert_use, plot_losses
from mocoop.reporting.printing import experts_told
from mocoop.reporting.thumbnails import small_copy
from mocoop.runs.summary import summarise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mocoop.data.reading import Reading
    from mocoop.runs.evaluate import Evaluation
    from mocoop.runs.run import Run

MOST_CLASSES = 60  # of a drawn confusion matrix
MOST_MISTAKES = 10  # kinds of mistakes in the table


def run_page(
    run: Run,
    result: Evaluation | None,
    data: str | None,
    pictures: Path,
    *,
    more_images: int = 0,
    most_images: int = 24,
    reading: Reading | None = None,
) -> Document:
    """The page. `pictures` is a folder for small copies; `data` is how the data was named; `more_images` are training
    images that the run did not use. Raises ImageError for a picture that has gone since it was measured."""
    document = Document(f"What {run.path.resolve().name} learned")
    notes = [Words(note, "note") for note in run.info.get("notes", ())]
    if result is None:
        why = "How good it is was not measured: give --data, a folder or table with test images that it has not seen."
        blocks: list[Block] = [Words(_trained(run)), *notes, Words(why, "note")]
        document.sections.append(Section("short", "In short", blocks))
    else:
        matrix = confusion(_labels(result), result.predictions, len(result.per_class))
        names = [one.name for one in result.per_class]
        mistakes = commonest(matrix, names, MOST_MISTAKES)
        said = next_step(run, result, mistakes, more_images=more_images)
        short: list[Block] = [
            Words(_trained(run)),
            *map(Words, _how_good(result)),
            _beside(result),
            *notes,
            *(Words(note, "note") for note in result.notes),
            Words(f"Next: {said}", "note"),
        ]
        document.sections += [
            Section("short", "In short", short),
            _classes(names, matrix, mistakes),
            _wrong_images(run, result, pictures, most_images, reading),
            _certainty(result),
        ]
    document.sections += [section for section in (_groups(run, result), _training(run, data)) if section.blocks]
    return document


def _labels(result: Evaluation) -> list[int]:
    return [example.label for example in result.examples]


def _trained(run: Run) -> str:
    info = run.info
    images, classes = info["data"]["images"], len(run.classnames)
    learned = f"learned from {images} images of {info['data']['name']}" if run.method.learns else "learned nothing"
    return (
        f"This run tells {classes} classes apart. It {learned} ({run.method.title}, {info['shots']} images a class at "
        f"most, seed {info['seed']}, preset {info['preset']}), on the backbone {info['backbone']['name']}."
    )


def _how_good(result: Evaluation) -> Iterator[str]:
    from scipy.stats import binomtest

    scores = result.scores
    assert scores is not None
    right = round(result.images * result.accuracy / 100)
    low, high = binomtest(right, result.images).proportion_ci(method="wilson")
    yield (
        f"Of {result.images} test images it names {right} right: {result.accuracy:.1f} of 100. With other images of "
        f"the same kind that may be anything from {100 * low:.0f} to {100 * high:.0f} (95 % interval, Wilson's). "
        f"It finds {scores.balanced_accuracy:.1f} of 100 images of a class on average, of the worst, "
        f"{scores.worst_class!r}, {scores.worst_recall:.0f}."
    )


def _beside(result: Evaluation) -> Table:
    """What else there is for the same images."""
    scores = result.scores
    assert scores is not None
    rows = [
        ("guessing", 100 / len(result.per_class)),
        *((name, one.accuracy) for name, one in result.baselines.items()),
    ]
    if scores.largest_class_share >= rows[0][1] + 0.1:  # then an accuracy is to be read beside this one
        rows.append((f"always {scores.largest_class!r}", scores.largest_class_share))
    told = (("this run", result.accuracy), *sorted(rows, key=lambda row: -row[1]))
    entries = tuple((name, Number(accuracy, digits=1)) for name, accuracy in told)
    return Table("beside", ("classifier", "right, of 100"), entries, "On the same test images")


def _classes(names: Sequence[str], counts: NDArray[np.int64], mistakes: Sequence[Mistake]) -> Section:
    rows = tuple(
        (one.name, Number(one.images, digits=0), *(_number(value) for value in (one.precision, one.recall, one.f1)))
        for one in class_scores(counts, names)
    )
    section = Section("classes", "Class by class")
    present = [c for c in range(len(names)) if counts[c].sum() or counts[:, c].sum()]
    if len(present) <= MOST_CLASSES:
        shown = counts[np.ix_(present, present)].tolist()
        draw = partial(plot_confusion, shown, [names[c] for c in present], title="Which class was taken for which")
        section.blocks.append(Picture("confusion", draw, "Each row is a class; the numbers are its images by answer."))
    if mistakes:
        kinds = tuple((one.true, one.said, Number(one.images, digits=0)) for one in mistakes)
        caption = "The commonest mistakes"
        section.blocks.append(Table("mistakes", ("is", "was taken for", "images"), kinds, caption))
    columns = ("class", "images", "precision, %", "recall, %", "F1, %")
    caption = (
        "Precision: how many of the images given this name have it. Recall: how many of its images were found. "
        "F1: their harmonic mean."
    )
    section.blocks.append(Table("classes", columns, rows, caption))
    return section


def _number(value: float | None) -> Entry:
    return None if value is None else Number(value, digits=1)


def _wrong_images(run: Run, result: Evaluation, pictures: Path, most: int, reading: Reading | None) -> Section:
    """The wrong answers, the surest first: they show wrong labels and what the classifier looks at."""
    section = Section("wrong", "What it got wrong")
    sure = result.probabilities.max(dim=1).values
    wrong = [i for i, guess in enumerate(result.predictions) if guess != result.examples[i].label]
    if not wrong:
        section.blocks.append(Words("Nothing, on these images."))
        return section
    first = sorted(wrong, key=lambda i: -float(sure[i]))[:most]
    names = [one.name for one in result.per_class]
    many = f"{len(wrong)} images" if len(wrong) > 1 else "1 image"
    some = f"; the {len(first)} of which it was surest are shown" if len(first) < len(wrong) else ""
    section.blocks.append(Words(f"{many}{some}. An answer that is sure and wrong is often a wrong label."))
    tiles = []
    for i in first:
        path = result.examples[i].picture
        if path is not None:
            caption = (
                f"{names[result.predictions[i]]} {100 * float(sure[i]):.0f}%; is {names[result.examples[i].label]}"
            )
            tiles.append((small_copy(path, pictures / f"wrong-{i}.png", reading), caption))
    if tiles:
        section.blocks.append(Tiles(tuple(tiles)))
    shown = _short_names(result, first)
    rows = tuple(
        (
            shown[i],
            names[result.examples[i].label],
            names[result.predictions[i]],
            Number(100 * float(sure[i]), digits=1),
            _experts_of(run, result, i),
        )
        for i in first
    )
    columns = ("image", "is", "was taken for", "probability, %", "experts that spoke")
    section.blocks.append(Table("wrong", columns, rows, "The surest mistakes first"))
    return section


def _short_names(result: Evaluation, places: Sequence[int]) -> dict[int, str]:
    """The images' names without the folder that all of them are in."""
    folder = common_folder(result.examples)
    above = len(folder.rstrip("/")) + 1 if folder else 0
    return {i: str(result.examples[i])[above if result.examples[i].path else 0 :] for i in places}


def _experts_of(run: Run, result: Evaluation, place: int) -> str:
    weights = result.gate[place].tolist()
    experts = [{"id": name, "weight": weight} for name, weight in zip(run.groups.ids, weights, strict=True) if weight]
    experts.sort(key=lambda expert: -expert["weight"])
    return experts_told(experts) if len(run.groups.ids) > 1 else ""


def _certainty(result: Evaluation) -> Section:
    found = result.certainty
    section = Section("certainty", "How sure it is, and how rightly")
    if found is None:
        return section
    everything = confidence_bins(result.probabilities.numpy(), np.array(_labels(result)))
    bins = [one for one in everything if one[0] >= FEWEST]
    how = (
        "its probabilities were calibrated on images it was not trained on"
        if found.temperature is not None
        else "its probabilities are as the training left them"
    )
    text = f"They are {found.ece:.1f} points from the truth on average (expected calibration error); {how}."
    if found.temperature is not None:
        text += f" Before that it was {found.ece_before:.1f}."
    section.blocks.append(
        Words(f"Probabilities are worth what they say if, of all answers at 80 %, 80 % are right. {text}")
    )
    if result.images < BINS * FEWEST:
        section.blocks.append(Words(_few(result.images, everything), "note"))
    if bins:
        draw = partial(plot_reliability, {"this run": bins}, title="Right answers over probability")
        section.blocks.append(Picture("reliability", draw, "Below the diagonal it is surer than it is right."))
    risk = tuple((Number(share, digits=0), Number(wrong, digits=1)) for share, wrong in found.risk)
    caption = "If only the images of which it is surest are answered, and a person looks at the others"
    section.blocks.append(Table("risk", ("answered, %", "wrong answers, %"), risk, caption))
    if found.sets:
        sets = tuple(
            (Number(one.coverage, digits=0), Number(one.covered, digits=1), Number(one.mean_size, digits=2))
            for one in found.sets
        )
        caption = "Prediction sets (mocoop predict --coverage): the classes that cannot be ruled out"
        columns = ("asked to hold the class, %", "did, %", "classes in a set")
        section.blocks.append(Table("sets", columns, sets, caption))
    return section


def _few(images: int, bins: Sequence[Bin]) -> str:
    """Why the calibration error of few images says little."""
    return (
        f"That error is measured on {images} images only, which are divided among {BINS} bins of probability: fewer "
        f"than {FEWEST} a bin on average. Chance alone makes {chance_error(bins):.1f} points of it, even where every "
        f"probability is exactly right. With {BINS * FEWEST} test images or more it tells more."
    )


def _groups(run: Run, result: Evaluation | None) -> Section:
    """What the experts stand for, and how often each comes first."""
    section = Section("groups", "Which groups of templates were used")
    if len(run.groups.ids) < 2:
        return section
    use = [0] * len(run.groups.ids)
    for first in result.first_expert if result else ():
        use[first] += 1
    images = max(1, sum(use))
    rows = tuple(
        (
            group.id,
            Number(100 * count / images, digits=1) if result else None,
            " / ".join(group.texts),
        )
        for group, count in zip(run.groups.groups, use, strict=True)
    )
    caption = f"Groups for {run.groups.domain}; an expert comes first for an image if it has the largest weight there."
    section.blocks.append(Table("groups", ("expert", "first, % of images", "its templates"), rows, caption))
    if result is not None and len(result.per_class) <= MOST_CLASSES:
        shares = [one.expert_use for one in result.per_class]
        names = [one.name for one in result.per_class]
        draw = partial(plot_expert_use, shares, names, run.groups.ids, title="First expert by class")
        section.blocks.append(
            Picture("expert-use", draw, "Each row says how many images of a class have each expert first.")
        )
    return section


def _training(run: Run, data: str | None) -> Section:
    section = Section("training", "How it was trained")
    summary = summarise(run)
    history = run.history()
    if history:
        section.blocks.append(Picture("losses", partial(plot_losses, history), "The loss and accuracy of each batch."))
    facts = {
        "backbone": summary["backbone"]["name"],
        "data": summary["data"]["name"],
        "groups": f"{run.groups.domain}, sha256 {run.groups.sha256[:12]}",
        "machine": f"{summary['device']}, {summary['precision']}, {summary['threads']} threads",
        "versions": ", ".join(f"{name} {version}" for name, version in summary["versions"].items()),
        **{name: str(value) for name in summary["read"] if (value := summary["config"][name]) is not None},
    }
    section.blocks.append(Table("settings", ("what", "value"), tuple(facts.items()), "Settings and circumstances"))
    again = f"mocoop eval {run.path} --data {data} --baselines" if data else f"mocoop show {run.path}"
    section.blocks.append(Words(f"The numbers again: {again}"))
    return section
