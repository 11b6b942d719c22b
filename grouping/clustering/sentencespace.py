"""The space for grouping with a sentence model: four readings per template, uninformative directions scaled down.

A sentence model mostly encodes the subject and the boilerplate of a template, so each template is encoded in four
readings without a subject. Directions in which templates of the same hand-written aspect differ do not distinguish
aspects and are scaled down; they are learned from the bank, with the first reading. The bank's aspects that
benchmarks/grouping.py measures on are excluded from learning. Both were chosen by measurement; the benchmark has the
figures. T templates, D dimensions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mocoop.groupfile.templatetext import SLOT
from mocoop.grouping.bank import Aspect, load_bank
from mocoop.grouping.clustering.vectors import centred, unit
from mocoop.grouping.domains import GENERAL, profile_named

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mocoop.grouping.clustering.vectors import Encode

    Array = NDArray[np.float64]

SHRINKAGE = 10.0  # multiple of the mean variance that is added to the variance of each direction
_SLOT_WITH_ARTICLE = re.compile(r"\b(?:a|an|the)\b ?\{\}|\{\}")


def sentence_space(encode: Encode, texts: Sequence[str], tone: Array) -> Array:
    """Centred rows of length 1 (T, 4 D) of templates; `tone` is the matrix from `learned_tone`."""
    import numpy as np

    views = zip(*map(readings, texts), strict=True)
    return unit(np.hstack([centred(encode(view) @ tone) for view in views]))


def learned_tone(encode: Encode, aspects: Sequence[Sequence[str]]) -> Array:
    """A matrix (D, D) that scales down directions in which templates of the same aspect differ.

    The inverse root of the within-aspect covariance, with ten times its mean variance added to each direction, since a
    few hundred templates cannot determine 384 of them.
    """
    import numpy as np

    labels = np.repeat(np.arange(len(aspects)), [len(aspect) for aspect in aspects])
    rows = encode([readings(text)[0] for aspect in aspects for text in aspect])
    means = np.stack([rows[labels == label].mean(axis=0) for label in range(len(aspects))])
    within = rows - means[labels]
    covariance = within.T @ within / len(rows)
    width = len(covariance)
    covariance += SHRINKAGE * np.trace(covariance) / width * np.eye(width)
    return np.asarray(np.linalg.cholesky(np.linalg.inv(covariance)))


def reference_aspects() -> list[tuple[str, ...]]:
    """The templates of the bank's aspects used for learning."""
    apart = {aspect.name for aspect in measured_aspects()}
    return [aspect.templates for aspect in load_bank().aspects if aspect.name not in apart]


def measured_aspects() -> tuple[Aspect, ...]:
    """The aspects that the benchmark measures on: those of remote sensing, and the first 12 of the general profile."""
    general = profile_named(GENERAL).aspects[:12]
    return tuple(a for a in load_bank().aspects if "remote_sensing" in a.domains or a.name in general)


def readings(text: str) -> tuple[str, str, str, str]:
    """Four versions of a template that describe the picture rather than what is in the slot.

    The last two state that the rest is about how a picture looks. The average of the four cosines distinguishes
    aspects better than any one of them.
    """
    rest = " ".join(_SLOT_WITH_ARTICLE.sub("", text).split()).rstrip(".")
    return (
        " ".join(text.replace(SLOT, "").split()),
        " ".join(_SLOT_WITH_ARTICLE.sub("it", text).split()),
        f"visual style: {rest}",
        f"{rest}, a kind of picture",
    )
