"""Pictures of comparisons, in the style of `plots.py`: accuracy over shots or a setting, reliability, bars.

A curve has the same colour, marker and dash in all pictures of a report; error bars are deviations over seeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mocoop.reporting.plots import BLACK, BLUE, GREEN, ORANGE, PURPLE, RED, drawing, shortened

_COLOURS = (BLUE, RED, GREEN, PURPLE, ORANGE, "#56B4E9", BLACK)
_MARKERS = "os^DvPX*<>"
_DASHES = ("-", "--", "-.", ":")
Point = tuple[float, float, float | None]  # x, accuracy in percent, its deviation over seeds
Bin = tuple[int, float, float]  # images, mean confidence, accuracy in 0..1


def plot_curves(
    curves: Mapping[str, Sequence[Point]],
    path: Path,
    *,
    title: str,
    xlabel: str,
    names: Sequence[str] | None = None,
    by_doubling: bool = False,
) -> Path:
    """Accuracy in percent over a number, one curve per name; `names` fixes their styles across pictures."""
    order = list(names or curves)
    with drawing(path, 5.2, 3.4 + 0.17 * len(curves)) as figure:
        axes = figure.subplots()
        for name, points in curves.items():
            deviations = [deviation or 0 for *_, deviation in points]
            axes.errorbar(
                [x for x, *_ in points],
                [mean for _, mean, _ in points],
                yerr=deviations if any(deviations) else None,
                capsize=2,
                markersize=5,
                linewidth=1.4,
                label=shortened(name),
                **_style(order.index(name)),
            )
        ticks = sorted({x for points in curves.values() for x, *_ in points})
        if by_doubling:
            axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.set(xlabel=xlabel, ylabel="accuracy, %", title=shortened(title))
        axes.grid(axis="y", alpha=0.25)
        figure.legend(loc="outside lower left", ncols=_columns(curves), fontsize=9)
    return path


def plot_reliability(methods: Mapping[str, Sequence[Bin]], path: Path, *, title: str) -> Path:
    """Accuracy over confidence, one curve per method; the diagonal is perfect calibration."""
    with drawing(path, 5.2, 4.6 + 0.17 * len(methods)) as figure:
        axes = figure.subplots()
        axes.plot([0, 100], [0, 100], color=BLACK, linewidth=0.8, alpha=0.6)
        for place, (name, bins) in enumerate(methods.items()):
            xs, ys = [100 * sure for _, sure, _ in bins], [100 * right for _, _, right in bins]
            axes.plot(xs, ys, linewidth=1.4, markersize=4, label=shortened(name), **_style(place))
        axes.set(xlabel="confidence, %", ylabel="accuracy, %", title=shortened(title), xlim=(0, 100), ylim=(0, 100))
        axes.set_aspect("equal")
        figure.legend(loc="outside lower left", ncols=_columns(methods), fontsize=9)
    return path


def _columns(names: Iterable[str]) -> int:
    """Columns of a legend: one line if everything fits, else two names per line."""
    known = list(names)
    return len(known) if sum(len(name) + 8 for name in known) < 60 else 2


def _style(place: int) -> dict[str, Any]:
    return {
        "color": _COLOURS[place % len(_COLOURS)],
        "marker": _MARKERS[place % len(_MARKERS)],
        "linestyle": _DASHES[place % len(_DASHES)],
    }


def plot_differences(
    differences: Mapping[str, tuple[float, tuple[float, float] | None]], path: Path, *, title: str
) -> Path:
    """A mean difference in points per name, with its interval if there is one."""
    with drawing(path, 6.5, 1.2 + 0.32 * len(differences)) as figure:
        axes = figure.subplots()
        axes.axvline(0, color=BLACK, linewidth=0.8, alpha=0.6)
        for place, (middle, interval) in enumerate(differences.values()):
            if interval:
                axes.plot(interval, [place, place], color=BLUE, linewidth=1.6)
            axes.plot([middle], [place], "o", color=BLUE, markersize=5)
        axes.set_yticks(range(len(differences)), [shortened(name) for name in differences])
        axes.set_ylim(len(differences) - 0.5, -0.5)  # the first at the top
        axes.set(xlabel="difference in points, mean and 95 % interval", title=shortened(title))
        axes.tick_params(axis="y", length=0)
    return path
