"""Pictures of a training run and its results: losses over steps, expert use by class, base / new / H bars.

Every function takes plain numbers and a path, and draws one labelled picture: SVG, PNG or PDF by the suffix. The
colours are Okabe and Ito's and cividis, which colour-blind people can distinguish. Figures are made without pyplot:
no display is needed and no global state remains. The numbers are computed elsewhere.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mocoop.cli import printable
from mocoop.errors import UsageError
from mocoop.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mocoop.training.trainer import StepLog

SUFFIXES = (".svg", ".png", ".pdf")
BLUE, ORANGE, GREEN, RED, PURPLE, BLACK = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#333333"

_STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "text.parse_math": False,  # a class may be called "$5 bill"
    "svg.fonttype": "none",  # text stays text: it can be searched and read aloud
    "svg.hashsalt": "mocoop",  # the same numbers give the same file
}
_LONGEST_LABEL = 40  # characters of a class, group or method name on an axis
_MOST_COUNTED = 40 * 40  # the same of a confusion matrix, most of whose cells are zero
_LEAST = (5.6, 3.8)  # inches of a heat map, in which its title and the label of its colours have room
_MOST_NUMBERED = 400  # maximum cells of a heat map with printed numbers


@dataclass(frozen=True, kw_only=True)
class BaseNewResult:
    """One method's accuracies in percent; the deviations over seeds are None if nothing varies."""

    method: str
    base: float
    new: float
    h: float
    base_sd: float | None = None
    new_sd: float | None = None
    h_sd: float | None = None


def plot_losses(history: Sequence[StepLog], path: Path, title: str = "Training") -> Path:
    """The loss terms and accuracy of each batch over the steps (faint), with their means over epochs (strong)."""
    with drawing(path, 9.0, 3.6) as figure:
        losses, accuracy = figure.subplots(1, 2)
        terms = (
            ("class loss", BLUE, "-", [log.class_loss for log in history]),
            ("router loss", RED, "--", [log.router_loss for log in history]),
            ("text loss", GREEN, "-.", [log.text_loss for log in history]),
        )
        for name, colour, dash, values in terms:
            if any(values):  # a term of weight 0 is not computed
                _curve(losses, history, values, colour, dash, name)
        losses.set(xlabel="step", ylabel="loss, before its weight", title=title)
        losses.set_ylim(bottom=0)
        if losses.get_legend_handles_labels()[0]:
            losses.legend()
        _curve(accuracy, history, [100 * log.accuracy for log in history], BLUE, "-", "batch")
        accuracy.set(xlabel="step", ylabel="accuracy of the batch, %", title="Accuracy on training images")
        accuracy.set_ylim(0, 102)
    return path


def plot_expert_use(
    use: Sequence[Sequence[float]], rows: Sequence[str], group_ids: Sequence[str], path: Path, title: str
) -> Path:
    """A heat map (R, E): for each row (such as a class), the share of its images by first expert.

    Raises ValueError if `use` does not have a row for each name and a column for each group.
    """
    if len(use) != len(rows) or any(len(row) != len(group_ids) for row in use):
        raise ValueError(f"expert use is not {len(rows)} rows of {len(group_ids)} experts")
    width, height = 3.2 + 0.62 * len(group_ids), 1.8 + 0.26 * len(rows)
    with drawing(path, max(_LEAST[0], width), max(_LEAST[1], height)) as figure:
        axes = figure.subplots()
        percent = [[100 * share for share in row] for row in use]
        image = axes.imshow(percent, cmap="cividis", vmin=0, vmax=100, aspect="auto")
        axes.set_yticks(range(len(rows)), [shortened(row) for row in rows])
        names = [shortened(name) for name in group_ids]
        axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
        axes.set_title(title)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        figure.colorbar(image, ax=axes, label="share of the images, %", fraction=0.05)
        if len(rows) * len(names) <= _MOST_NUMBERED:
            _number_cells(axes, percent)
    return path


def plot_confusion(matrix: Sequence[Sequence[int]], classnames: Sequence[str], path: Path, title: str) -> Path:
    """A heat map (C, C): the images of each class (row) by the class that was answered (column).

    Colours are shares of a row, numbers are images. Raises ValueError if it is not square.
    """
    size = len(classnames)
    if len(matrix) != size or any(len(row) != size for row in matrix):
        raise ValueError(f"a confusion matrix of {size} classes has {size} rows and columns")
    with drawing(path, max(_LEAST[0], 3.4 + 0.34 * size), max(_LEAST[1], 2.4 + 0.3 * size)) as figure:
        axes = figure.subplots()
        shares = [[100 * count / max(1, sum(row)) for count in row] for row in matrix]
        image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=100, aspect="auto")
        names = [shortened(name) for name in classnames]
        axes.set_yticks(range(size), names)
        axes.set_xticks(range(size), names, rotation=40, ha="right", rotation_mode="anchor")
        axes.set(title=title, xlabel="answered", ylabel="true class")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        figure.colorbar(image, ax=axes, label="share of the class's images, %", fraction=0.05)
        if size * size <= _MOST_COUNTED:
            _number_cells(axes, shares, matrix)
    return path


def plot_base_new(results: Sequence[BaseNewResult], path: Path, title: str = "Base and new classes") -> Path:
    """Base, new and H of each method as bars with their values, and error bars over seeds."""
    with drawing(path, 8.0, 1.6 + 0.72 * len(results)) as figure:
        axes = figure.subplots()
        series = (
            ("base", BLUE, "", [(r.base, r.base_sd) for r in results]),
            ("new", ORANGE, "//", [(r.new, r.new_sd) for r in results]),
            ("H", GREEN, "..", [(r.h, r.h_sd) for r in results]),
        )
        for place, (name, colour, hatch, values) in enumerate(series):
            _bars(axes, place, name, colour, hatch, values)
        axes.set_yticks([n + 0.27 for n in range(len(results))], [shortened(r.method) for r in results])
        axes.invert_yaxis()  # the first method at the top
        axes.set(xlabel="accuracy on test images, %", title=title, xlim=(0, 112))
        axes.set_xticks(range(0, 101, 20))
        axes.tick_params(axis="y", length=0)
        figure.legend(loc="outside lower center", ncols=3)
    return path


def shortened(name: str) -> str:
    """A name that fits on an axis, without characters that a picture cannot contain."""
    name = printable(name)
    return name if len(name) <= _LONGEST_LABEL else f"{name[: _LONGEST_LABEL - 3]}..."


def _curve(axes: Axes, history: Sequence[StepLog], values: Sequence[float], colour: str, dash: str, name: str) -> None:
    axes.plot([log.step for log in history], values, color=colour, alpha=0.25, linewidth=0.8)
    by_epoch: dict[int, list[tuple[int, float]]] = {}
    for log, value in zip(history, values, strict=True):
        by_epoch.setdefault(log.epoch, []).append((log.step, value))
    middles = [sum(step for step, _ in epoch) / len(epoch) for epoch in by_epoch.values()]
    means = [sum(value for _, value in epoch) / len(epoch) for epoch in by_epoch.values()]
    axes.plot(middles, means, color=colour, linestyle=dash, linewidth=1.8, label=name)


def _number_cells(
    axes: Axes, percent: Sequence[Sequence[float]], shown: Sequence[Sequence[float]] | None = None
) -> None:
    """Print the numbers `shown` (the percentages if left out) in the cells; a zero adds nothing to the colour."""
    for y, row in enumerate(percent):
        for x, value in enumerate(row):
            told = f"{(shown or percent)[y][x]:.0f}"
            if told != "0":
                shade = "black" if value > 50 else "white"
                axes.text(x, y, told, ha="center", va="center", color=shade, fontsize=8)


def _bars(
    axes: Axes, place: int, name: str, colour: str, hatch: str, values: Sequence[tuple[float, float | None]]
) -> None:
    positions = [n + 0.27 * place for n in range(len(values))]
    heights = [value for value, _ in values]
    bars = axes.barh(positions, heights, height=0.25, color=colour, hatch=hatch, edgecolor="white", label=name)
    for bar, (value, deviation) in zip(bars, values, strict=True):
        middle = bar.get_y() + bar.get_height() / 2
        if deviation is not None:
            axes.errorbar(value, middle, xerr=deviation, color=BLACK, capsize=2, linewidth=1)
        words = f"{value:.1f}" if deviation is None else f"{value:.1f} ± {deviation:.1f}"
        axes.text(value + (deviation or 0) + 1, middle, words, va="center", fontsize=8)


@contextmanager
def drawing(path: Path, width: float, height: float) -> Iterator[Figure]:
    """An empty figure, size in inches, written to `path` when the body is done. Raises UsageError, StorageError."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"{path} cannot be drawn", f"end the name with one of {', '.join(SUFFIXES)}")
    with mpl.rc_context({**_STYLE}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # a box is drawn instead
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        undated: dict[str, Any] = {} if suffix == ".png" else {"Date" if suffix == ".svg" else "CreationDate": None}
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format=suffix[1:], dpi=150, metadata=undated)
