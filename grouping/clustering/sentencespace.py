"""The space in which a sentence model's templates are grouped: four readings each, what says nothing toned down.

A sentence model mostly hears the subject and the boilerplate of a template. So each is read in four ways that have no
subject. And the model is shown what does not part aspects: directions in which templates of one hand-made aspect
differ among themselves count less, learned from the bank by the first reading. The bank's aspects that
benchmarks/grouping.py measures on are not learned from. Both were chosen by measurement; the benchmark has the
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

SHRINKAGE = 10.0  # how many times the mean variance is added to that of each direction
_SLOT_WITH_ARTICLE = re.compile(r"\b(?:a|an|the)\b ?\{\}|\{\}")


def sentence_space(encode: Encode, texts: Sequence[str], tone: Array) -> Array:
    """Centred rows of length 1 (T, 4 D) of templates; `tone` as `learned_tone` makes it."""
    import numpy as np

    views = zip(*map(readings, texts), strict=True)
    return unit(np.hstack([centred(encode(view) @ tone) for view in views]))


def learned_tone(encode: Encode, aspects: Sequence[Sequence[str]]) -> Array:
    """A matrix (D, D) that makes directions shorter in which templates of one aspect differ.

    The inverse root of the covariance within aspects, with ten times its mean variance added to each direction, as
    some hundred templates do not tell 384 of them apart.
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
    """The templates of the bank's aspects that are learned from."""
    apart = {aspect.name for aspect in measured_aspects()}
    return [aspect.templates for aspect in load_bank().aspects if aspect.name not in apart]


def measured_aspects() -> tuple[Aspect, ...]:
    """The aspects that the benchmark measures on: those of remote sensing, and the first 12 of the general profile."""
    general = profile_named(GENERAL).aspects[:12]
    return tuple(a for a in load_bank().aspects if "remote_sensing" in a.domains or a.name in general)


def readings(text: str) -> tuple[str, str, str, str]:
    """A template in four sentences about the picture rather than about what is in the slot.

    The last two say outright that the rest is about how a picture looks. The cosines of the four, averaged, tell
    aspects apart better than those of any one.
    """
    rest = " ".join(_SLOT_WITH_ARTICLE.sub("", text).split()).rstrip(".")
    return (
        " ".join(text.replace(SLOT, "").split()),
        " ".join(_SLOT_WITH_ARTICLE.sub("it", text).split()),
        f"visual style: {rest}",
        f"{rest}, a kind of picture",
    )
