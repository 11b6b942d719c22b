"""What the page shows, as plain JSON values: the run, its classes and experts, and a column of numbers for each thing
that is said of an image.

Every text is printable: control characters and those that turn the direction of writing are shown as what they are.
N images, C classes, E experts.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mocoop.backbone.nearest import letters_of, nearest_words
from mocoop.backbone.pretrained import LOCAL
from mocoop.certainty.conformal import prediction_sets
from mocoop.cli import printable
from mocoop.data.dataset import common_folder

if TYPE_CHECKING:
    from torch import Tensor

    from mocoop.backbone.backbone import Backbone
    from mocoop.certainty.doubt import Doubt
    from mocoop.data.dataset import Example
    from mocoop.runs.evaluate import Evaluation
    from mocoop.runs.run import Run

FORMAT = 1
MOST_IMAGES = 20_000
TOP = 5  # likeliest classes of an image
NEAREST = 4  # words of a learned token
_DIGITS = 4


def some_of(result: Evaluation, most: int = MOST_IMAGES) -> tuple[Evaluation, tuple[str, ...]]:
    """An evaluation of as many images as a page can show, evenly spaced where there are more; and a note on that."""
    total = len(result.examples)
    if total <= most:
        return result, ()
    places = list(range(0, total, math.ceil(total / most)))
    some = replace(
        result,
        examples=tuple(result.examples[n] for n in places),
        predictions=tuple(result.predictions[n] for n in places),
        probabilities=result.probabilities[places],
        gate=result.gate[places],
        features=result.features[places],
    )
    return some, (f"{len(places):,} of {total:,} images are shown, evenly spaced; all numbers here are of those",)


def page_content(
    run: Run,
    result: Evaluation,
    reference: Tensor | None,
    doubt: Doubt,
    *,
    data: str,
    coverage: float | None,
    backbone: Backbone,
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """The content of the page of an evaluation.

    Args:
        reference: the reference gate (N, E), if there is one.
        doubt: the thresholds of the sets with that `coverage`, and below which probability an answer is not sure.
        data: how the data set is called.
        notes: what is to be known of all of it.
    """
    return {
        "format": FORMAT,
        "run": printable(run.path.resolve().name),
        "data": printable(data),
        "backbone": printable(_without_folder(run.info["backbone"]["name"])),
        "method": run.method.title,
        "domain": printable(run.groups.domain),
        "coverage": coverage,
        "unsure_below": doubt.unsure_below,
        "notes": [printable(note) for note in dict.fromkeys(notes)],
        "classes": [printable(one.name) for one in result.per_class],
        "experts": list(_experts(run, backbone)),
        "images": _images(result, reference, doubt),
    }


def _without_folder(backbone: str) -> str:
    """A backbone's name without the folders of one that is a local folder: the page may be mailed."""
    return os.path.basename(backbone.rstrip("/")) if backbone.startswith(LOCAL) else backbone


def _images(result: Evaluation, reference: Tensor | None, doubt: Doubt) -> dict[str, Any]:
    """A list for each thing that is said of an image, all in the order of the evaluation."""
    chances = result.probabilities.numpy()
    order = (-chances).argsort(axis=1, kind="stable")
    several = result.gate.shape[1] > 1
    return {
        "name": image_names(result.examples),
        "picture": [int(example.picture is not None) for example in result.examples],
        "label": [example.label for example in result.examples],
        "guess": list(result.predictions),
        "top": [
            [[c, _short(row[c])] for c in places[:TOP].tolist()] for row, places in zip(chances, order, strict=True)
        ],
        "truth": [_short(row[example.label]) for row, example in zip(chances, result.examples, strict=True)],
        "set": _sets(chances, order, doubt),
        "unsure": [int(float(row.max()) < (doubt.unsure_below or 0)) for row in chances],
        "gate": _rows(result.gate.numpy()) if several else None,
        "reference": _rows(reference.numpy()) if reference is not None and several else None,
    }


def _sets(chances: np.ndarray, order: np.ndarray, doubt: Doubt) -> list[list[int]] | None:
    """Each image's prediction set, the likeliest class first; None if there are none."""
    if doubt.limits is None:
        return None
    inside = prediction_sets(chances, doubt.limits)
    return [[c for c in places.tolist() if held[c]] for held, places in zip(inside, order, strict=True)]


def _rows(values: np.ndarray) -> list[list[float]]:
    found: list[list[float]] = values.astype(np.float64).round(_DIGITS).tolist()
    return found


def _short(value: float) -> float:
    return round(float(value), _DIGITS)


def image_names(examples: Sequence[Example]) -> list[str]:
    """The images' paths without the folders that all of them are in, or their rows; printable."""
    above = common_folder(examples)
    return [printable(os.path.relpath(one.file, above) if one.file and above else one) for one in examples]


def _experts(run: Run, backbone: Backbone) -> Iterator[dict[str, Any]]:
    """Each expert: its group, and the words nearest to its learned tokens."""
    method = run.method
    tokens = _tokens(run, backbone)
    for place, group in enumerate(run.groups.groups):
        yield {
            "id": printable(group.id),
            "title": printable(group.title or ""),
            "start": printable(method.start(run.config, group) or ""),
            "templates": [printable(text) for text in group.texts] if method.reads_groups or not method.learns else [],
            "tokens": tokens[place] if tokens else [],
        }


def _tokens(run: Run, backbone: Backbone) -> list[list[dict[str, Any]]]:
    """For each expert its learned tokens: whether before or after the class name, what each started from, and what is
    nearest now. Empty where there is no one prompt for all classes and images."""
    ctx, contexts = run.tensors.get("ctx"), run.learned.contexts
    if ctx is None or run.config.class_ctx or len(ctx) != sum(map(len, contexts)):
        return []
    near, found, row = nearest_words(backbone, ctx, NEAREST), [], 0
    for context, group in zip(contexts, run.groups.groups, strict=True):
        mine, start = [], (run.method.start(run.config, group) or "").lower()
        for place, word in enumerate(letters_of(backbone, (*context.before, *context.after))):
            mine.append(
                {
                    "before": place < len(context.before),
                    "start": printable(word) if word.lower() in start else "",  # a random one started as no word
                    "near": [[printable(one.word), round(one.distance, 3)] for one in near[row]],
                }
            )
            row += 1
        found.append(mine)
    return found
