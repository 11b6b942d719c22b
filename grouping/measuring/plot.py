"""Pictures of a grouping as SVG, PNG or PDF: a map, a heat map, a dendrogram.

A group is shown by a colour and a marker, never by colour alone. The same call gives the same bytes. Positions are
computed in `layout`; HTML pages are made in `plot_page`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from mocoop.errors import UsageError
from mocoop.grouping.measuring import layout
from mocoop.grouping.measuring.audit import group_labels
from mocoop.reporting.plots import BLACK, BLUE, GREEN, ORANGE, PURPLE, RED, drawing, shortened

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mocoop.groupfile.groups import GroupFile
    from mocoop.grouping.clustering.embed import Embedding
    from mocoop.grouping.measuring.measures import Array, Labels

KINDS = ("map", "heatmap", "dendrogram")
COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, BLACK, "#56B4E9")  # Okabe and Ito's
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "<", ">")  # 7 and 10 are coprime: 70 combinations
_NAMED = 20  # groups that are labelled in the map; more are named in the legend only
_SHIFTS = [sign * step for step in range(0, 60, 6) for sign in (1, -1)]  # of a label from its group's mean, in points


@dataclass(frozen=True)
class Picture:
    """What is drawn: a file and its templates' vectors, in the file's order."""

    file: GroupFile
    embedding: Embedding

    @property
    def labels(self) -> Labels:
        """The group of each template."""
        return group_labels(self.file)

    @property
    def names(self) -> list[str]:
        """The groups' ids, shortened to fit."""
        return [shortened(group.id) for group in self.file.groups]

    @property
    def title(self) -> str:
        """The picture's title."""
        return f"{shortened(self.file.domain)}, by {shortened(self.embedding.name)}"


def look(index: int) -> tuple[str, str]:
    """The colour and the marker of a group; distinct for up to 64 groups."""
    return COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]


def draw(picture: Picture, kind: str, path: Path) -> None:
    """Draw one of the kinds. Raises UsageError for a suffix or a single group that cannot be drawn, StorageError."""
    {"map": _map, "heatmap": _heatmap, "dendrogram": _dendrogram}[kind](picture, path)


def refuse_single(file: GroupFile) -> None:
    """Raises UsageError if there are fewer than two groups, which a tree needs."""
    if len(file.groups) < 2:
        raise UsageError("a dendrogram shows how groups would merge, and there is one only", "draw a map")


def _map(picture: Picture, path: Path) -> None:
    places, shares = layout.plane(picture.embedding.space)
    count = len(picture.file.groups)
    columns = 1 + (count - 1) // 32
    with drawing(path, 6.6 + 2.2 * columns, max(5.2, 1.0 + 0.22 * -(-count // columns))) as figure:
        axes = figure.subplots()
        size = 40.0 if len(places) <= 300 else 16.0
        for index, name in enumerate(picture.names):
            _group_points(axes, picture, places, index, size, name)
        axes.scatter([], [], s=2.6 * size, marker="o", color="white", edgecolors="black", linewidths=1.4,
                     label="starts its expert")  # fmt: skip
        axes.set(title=picture.title, xticks=[], yticks=[])
        axes.set_xlabel(f"first main axis, {shares[0]:.0%} of the variance")
        axes.set_ylabel(f"second main axis, {shares[1]:.0%}")
        axes.margins(0.08)
        figure.legend(loc="outside right upper", ncols=columns, fontsize=8)
        if count <= _NAMED:
            _name_groups(axes, figure, picture, places)


def _group_points(axes: Axes, picture: Picture, places: Array, index: int, size: float, name: str) -> None:
    colour, marker = look(index)
    group = picture.file.groups[index]
    own = places[picture.labels == index]
    axes.scatter(own[:, 0], own[:, 1], s=size, color=colour, marker=marker, alpha=0.75, linewidths=0, label=name)
    first = own[group.texts.index(group.init)]
    axes.scatter(first[:1], first[1:], s=2.6 * size, color=colour, marker=marker, edgecolors="black", linewidths=1.4,
                 zorder=3)  # fmt: skip


def _name_groups(axes: Axes, figure: Figure, picture: Picture, places: Array) -> None:
    """Label each group near its mean, clear of points and other labels; without room, it is in the legend only."""
    from matplotlib.patheffects import withStroke

    figure.draw_without_rendering()  # fixes the scale, so that positions in pixels are known
    point = figure.dpi / 72
    dots = axes.transData.transform(places)
    taken: list[tuple[float, ...]] = [(x - 4 * point, y - 4 * point, x + 4 * point, y + 4 * point) for x, y in dots]
    for index, name in enumerate(picture.names):
        middle = dots[picture.labels == index].mean(axis=0)
        wide, high = 6.2 * len(name) * point, 11.0 * point
        for shift in _SHIFTS:
            x, y = middle[0], middle[1] + shift * point
            box = (x - wide / 2, y - high / 2, x + wide / 2, y + high / 2)
            if not any(_overlap(box, other) for other in taken):
                taken.append(box)
                axes.annotate(name, places[picture.labels == index].mean(axis=0), xytext=(0, shift),
                              textcoords="offset points", ha="center", va="center", fontsize=8, weight="bold",
                              color=look(index)[0], zorder=4,
                              path_effects=[withStroke(linewidth=3, foreground="white")])  # fmt: skip
                break


def _overlap(one: Sequence[float], other: Sequence[float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _heatmap(picture: Picture, path: Path) -> None:
    found = layout.heat(picture.embedding.space, picture.labels)
    rows = found.edges[-1]
    side = min(max(4.0, 0.11 * rows, 0.2 * len(picture.names)), 14.0)
    with drawing(path, side + 3.2, side + 1.6) as figure:
        axes = figure.subplots()
        image = axes.imshow(found.cosines, cmap="cividis", vmin=-0.5, vmax=1, interpolation="nearest")
        for edge in found.edges[1:-1]:
            axes.axhline(edge - 0.5, color="white", linewidth=0.8)
            axes.axvline(edge - 0.5, color="white", linewidth=0.8)
        middles = [(a + b - 1) / 2 for a, b in pairwise(found.edges)]
        room = 72 * side / rows * min(b - a for a, b in pairwise(found.edges))
        small = min(9.0, max(4.0, 0.9 * room))  # points: no taller than the narrowest group
        axes.set_yticks(middles, picture.names, fontsize=small)
        axes.set_xticks(middles, picture.names, fontsize=small, rotation=60, ha="right", rotation_mode="anchor")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_title(picture.title)
        figure.colorbar(image, ax=axes, shrink=0.7, extend="min", label=_heat_label(found))


def _heat_label(found: layout.Heat) -> str:
    of = "two templates" if found.per_row == 1 else f"runs of up to {found.per_row} templates"
    return f"cosine of {of}, without what all share"


def _dendrogram(picture: Picture, path: Path) -> None:
    refuse_single(picture.file)
    found = layout.tree(picture.embedding.space, picture.labels)
    with drawing(path, 7.5, 1.4 + 0.26 * len(found.order)) as figure:
        axes = figure.subplots()
        for corners in found.joins:
            axes.plot(*zip(*corners, strict=True), color=BLACK, linewidth=1.4)
        for place, index in enumerate(found.order):
            colour, marker = look(index)
            axes.scatter(0, place, s=40, color=colour, marker=marker, zorder=3, clip_on=False)
        named = [f"{picture.names[i]} ({len(picture.file.groups[i].templates)})" for i in found.order]
        axes.set_yticks(range(len(named)), named)
        axes.set_ylim(len(named) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0, pad=8)
        axes.spines["left"].set_visible(False)
        axes.set_xlim(left=0)
        axes.set(xlabel="1 minus the cosine of the groups' means", title=picture.title)
