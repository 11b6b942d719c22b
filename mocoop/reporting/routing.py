"""Expert use: by class from the rows, and for single images with a run (the paper's Fig. 5).

C classes, E experts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mocoop.bench.rows import Row
from mocoop.data.imageformats import READ_SUFFIXES
from mocoop.reporting.document import Number, Picture, Section, Table, Tiles, Words
from mocoop.reporting.plots import plot_expert_use
from mocoop.reporting.results import Cells, Lines, datasets_of
from mocoop.reporting.statistics import over_datasets, spread
from mocoop.reporting.tables import Naming, distinct_names

if TYPE_CHECKING:
    from mocoop.backbone.backbone import Backbone
    from mocoop.data.reading import Reading
    from mocoop.runs.run import Run

_MOST_MAPS = 12
MOST_CLASSES = 60  # rows of a heat map
_PARTS = ("base", "new", "all")
_TILE = 192  # pixels along the longer side


@dataclass(frozen=True)
class ExpertUse:
    """Shares (C, E) of each class's test images by first expert, means over seeds; the total number of classes."""

    classes: tuple[str, ...]
    group_ids: tuple[str, ...]
    shares: tuple[tuple[float, ...], ...]
    of: int
    seeds: int


def expert_use(cells: Cells, dataset: str) -> ExpertUse | None:
    """The use of a line's experts on a data set, base classes first; None if no row records it.

    If there are many classes, those whose use is farthest from the mean use are kept. Rows with other groups than the
    first seed's are left out: their experts differ.
    """
    rows = [row for (name, _), row in sorted(cells.items()) if name == dataset and _tells(row)]
    if not rows:
        return None
    ids = tuple(rows[0]["groups"]["ids"])
    rows = [row for row in rows if tuple(row["groups"]["ids"]) == ids]
    found: dict[tuple[str, str], list[Sequence[float]]] = {}
    for row in rows:
        for part in _PARTS:
            for name, shares in row["expert_use"].get(part, {}).items():
                if len(shares) == len(ids):
                    found.setdefault((part, name), []).append(shares)
    if not found:
        return None
    means = {key: _mean(several) for key, several in found.items()}
    kept = _farthest(means)
    labels = tuple(f"{name} ({part})" if part != "all" else name for part, name in kept)
    return ExpertUse(labels, ids, tuple(means[key] for key in kept), len(means), len(rows))


def _tells(row: Row) -> bool:
    return bool(row.get("expert_use") and row["groups"] and row["groups"]["ids"])


def _mean(several: Sequence[Sequence[float]]) -> tuple[float, ...]:
    return tuple(sum(column) / len(column) for column in zip(*several, strict=True))


def _farthest(means: dict[tuple[str, str], tuple[float, ...]]) -> list[tuple[str, str]]:
    middle = _mean(list(means.values()))
    distance = {key: sum(abs(a - b) for a, b in zip(shares, middle, strict=True)) for key, shares in means.items()}
    most = set(sorted(means, key=lambda key: (-distance[key], key))[:MOST_CLASSES])
    return [key for key in sorted(means, key=lambda key: (_PARTS.index(key[0]), key[1])) if key in most]


def router_table(name: str, lines: Lines, caption: str) -> Table | None:
    """Each line's router entropy, and how often its first expert names the image's style, if that is known."""
    mine = {line: cells for line, cells in lines.items() if any(row.get("router") for row in cells.values())}
    if not mine:
        return None
    naming, rows = Naming(mine), []
    for line, cells in mine.items():
        told = {cell: row["router"] for cell, row in cells.items() if row.get("router")}
        named = [one["style_named"] for one in told.values() if one.get("style_named") is not None]
        entropy = over_datasets({cell: one["entropy"] for cell, one in told.items() if "entropy" in one})
        style = spread(named)
        rows.append(
            (
                *naming.entries(line),
                f"{len(told)} cells",
                _collapsed(cells),
                Number(entropy.mean, entropy.deviation, 3) if entropy else None,
                Number(style.mean, style.deviation, 1) if style else None,
            )
        )
    columns = (*naming.columns, "measured", "collapsed", "gate entropy, nats", "style named, %")
    return Table(name, columns, tuple(rows), caption)


def _collapsed(cells: Cells) -> str | None:
    """How many of a line's routers collapsed; None if none was trained, or older rows do not record it."""
    learned = [row for row in cells.values() if row["config"].get("routing") == "learned" and "collapse" in row]
    return f"{sum(bool(row['collapse']) for row in learned)} of {len(learned)}" if learned else None


def expert_use_section(lines: Lines) -> Section:
    """The router in numbers, and heat maps of the plain mixture's experts on each data set."""
    section = Section("expert-use", "Which experts are used")
    caption = "Entropy is 0 where one expert decides, and the logarithm of the number of experts where all do alike."
    if (table := router_table("router", lines, caption)) is not None:
        section.blocks.append(table)
    maps: list[Picture] = []
    for line, name in zip(lines, distinct_names(lines), strict=True):
        if line.method != "mocoop" or line.setting:
            continue
        for dataset in datasets_of({line: lines[line]}):
            if found := expert_use(lines[line], dataset):
                maps.append(_heat_map(found, f"{dataset}, {name}", len(maps)))
    if maps:
        section.blocks += [Words(_MAPS + _more(len(maps))), maps[:_MOST_MAPS]]
    return section


_MAPS = "Each row is a class; its shares say how many of its test images have each expert first, on average over seeds."


def _more(maps: int) -> str:
    return f" The first {_MOST_MAPS} of {maps} maps are shown." if maps > _MOST_MAPS else ""


def _heat_map(found: ExpertUse, title: str, number: int) -> Picture:
    draw = partial(
        plot_expert_use, found.shares, found.classes, found.group_ids, title=f"First expert by class: {title}"
    )
    some = f"; the {MOST_CLASSES} of {found.of} classes farthest from the mean" if len(found.classes) < found.of else ""
    seeds = f"{found.seeds} seed{'s' * (found.seeds > 1)}"
    return Picture(
        f"expert-use-{number}", draw, f"Share of each class's images by first expert: {title}, {seeds}{some}"
    )


def images_below(folder: Path, most: int) -> list[Path]:
    """Up to `most` images of a folder and its subfolders, evenly spaced by name. Raises DataError."""
    from mocoop.errors import DataError

    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in READ_SUFFIXES and path.is_file())
    if not found:
        raise DataError(f"{folder} holds no image", f"images end in {', '.join(sorted(READ_SUFFIXES))}")
    if len(found) <= most:
        return found
    return [found[place * len(found) // most] for place in range(most)]


def predictions(
    run: Run, paths: Sequence[Path], backbone: Backbone | None = None, reading: Reading | None = None
) -> list[dict[str, Any]]:
    """The run's predictions; unreadable images have an error instead. Raises the errors of loading its backbone."""
    from mocoop.runs.predict import predict_images

    return list(predict_images(run, paths, backbone=backbone, on_bad_image="skip", reading=reading))


def prediction_table(found: Sequence[dict[str, Any]], caption: str) -> Table:
    """One row per expert chosen for an image, with its weight and templates."""
    rows = [row for one in found for row in _prediction_rows(one)]
    columns = ("image", "predicted", "probability, %", "expert", "weight, %", "its templates")
    return Table("routing-images", columns, tuple(rows), caption)


def _prediction_rows(one: dict[str, Any]) -> list[tuple[Any, ...]]:
    name = Path(one["path"]).name
    if "error" in one:
        return [(name, f"not read: {one['error']}", None, "", None, "")]
    image = (name, one["class"], Number(100 * one["probability"], digits=1))
    experts = one["experts"] or [{"id": "one prompt", "weight": 1.0, "templates": []}]
    return [
        (*image, expert["id"], Number(100 * expert["weight"], digits=1), " / ".join(expert["templates"]))
        for expert in experts
    ]


def thumbnails(
    found: Sequence[dict[str, Any]], folder: Path, reading: Reading | None = None
) -> tuple[tuple[Path, str], ...]:
    """Write small copies of the images that were read to a folder, each with a caption. Raises ImageError."""
    from mocoop.data.images import open_image
    from mocoop.data.reading import Reading

    tiles = []
    for place, one in enumerate(one for one in found if "error" not in one):
        small = folder / f"tile-{place}.png"
        picture = open_image(Path(one["path"]), reading=reading or Reading())
        picture.thumbnail((_TILE, _TILE))
        picture.save(small)
        first = f", {one['experts'][0]['id']}" if one["experts"] else ""
        tiles.append((small, f"{Path(one['path']).name}: {one['class']}{first}"))
    return tuple(tiles)


def _reading(run: Run, found: Sequence[dict[str, Any]]) -> Reading:
    """The rule by which `predictions` read the images."""
    from mocoop.data.survey import find_reading

    return find_reading([Path(one["path"]) for one in found], known=run.reading)[0]


def routing_section(run: Run, found: Sequence[dict[str, Any]], folder: Path, reading: Reading | None = None) -> Section:
    """Images with the experts that a run chose for them, as in the paper's Fig. 5; thumbnails go into `folder`."""
    about = f"{run.info['backbone']['name']}, preset {run.info['preset']}, {run.info['shots']} shots"
    section = Section("routing-images", "Which templates are chosen for an image (the paper's Fig. 5)")
    if run.stand_in:
        section.blocks.append(Words("This run's backbone is a small stand-in trained on drawings, not CLIP.", "note"))
    section.blocks += [
        Words(
            f"The run folder {run.path.name} ({about}, seed {run.info['seed']}), its classes, and the experts it mixed."
        ),
        Tiles(thumbnails(found, folder, reading or _reading(run, found))),
        prediction_table(found, "The chosen experts, the heaviest first, with their weights and templates."),
    ]
    return section
