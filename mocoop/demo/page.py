"""The demonstration's page: tiles, groups, numbers, pictures, predictions and the commands to repeat it.

Only lays out what `story.py` measured.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mocoop.demo.photographs import AUTHORS, LICENCE, NAMES
from mocoop.demo.results import PICTURES, REPORT, DemoResults, demo_commands, expert_use_by_style
from mocoop.miniclip.scenes import style_of
from mocoop.miniclip.styles import STYLES
from mocoop.reporting.html import Report
from mocoop.reporting.plots import plot_base_new, plot_expert_use, plot_losses
from mocoop.reporting.printing import experts_told, method_row, percent, with_deviation


def write_report(results: DemoResults) -> Path:
    """Draw the pictures and write report.html next to the data; returns its path. Raises StorageError."""
    page = Report("A mixture of prompts on drawn satellite tiles")
    for note in results.mixtures[0].run.info["notes"]:
        page.note(note)
    _what_was_done(page, results)
    _numbers(page, results)
    _experts(page, results)
    _predictions(page, results)
    _photographs(page, results)
    page.heading("The commands that repeat each step").code("\n".join(demo_commands(results.plan)))
    versions = ", ".join(f"{name} {version}" for name, version in results.mixtures[0].run.info["versions"].items())
    page.paragraph(
        f"Made in {results.seconds:.0f} seconds on {results.mixtures[0].run.info['device']} with {versions}."
    )
    return page.write(results.plan.out / REPORT)


def _what_was_done(page: Report, results: DemoResults) -> None:
    plan, dataset = results.plan, results.dataset
    page.heading("What was done").paragraph(
        f"{len(dataset.classnames)} classes of land were drawn in {len(results.predictions)} visual styles, with "
        "colours and clutter that the backbone has not seen. The first half of the classes (base) was trained on, "
        f"{plan.shots} tiles a class; the other half (new) is only named at test time. One test tile of each style:"
    )
    page.tiles([(Path(one["path"]), _tile_name(Path(one["path"]))) for one in results.predictions])
    rows = [(group.id, len(group.templates), group.init) for group in results.groups.groups]
    page.table(
        ("group", "templates", "the template that starts its expert"), rows, f"Groups for {results.groups.domain}"
    )


def _numbers(page: Report, results: DemoResults) -> None:
    seeds = ", ".join(str(seed) for seed in results.plan.seeds)
    rows = [method_row(method) for method in results.to_dict()["methods"]]
    caption = f"Accuracy in percent on the test tiles; mean and sample deviation over seeds {seeds} where one learns."
    page.heading("Base and new classes").table(("method", "base", "new", "H"), rows, caption)
    pictures = results.plan.out / PICTURES
    page.picture(plot_base_new(results.methods, pictures / "base-new.svg"), "Base, new and H of each method")
    first = results.mixtures[0]
    losses = plot_losses(first.run.history(), pictures / "losses.svg", f"Losses of the mixture, seed {first.seed}")
    page.picture(losses, f"Losses and accuracy over the steps of the mixture, seed {first.seed}")


def _experts(page: Report, results: DemoResults) -> None:
    ids, pictures = results.groups.ids, results.plan.out / PICTURES
    page.heading("Which experts are used").paragraph(
        "The visual style of a tile is in its file name and nothing else was told of it. How often the first expert is "
        "the group whose templates name that style:"
    )
    rows = [(one.what, with_deviation(one.percent, one.deviation)) for one in results.routing]
    page.table(("who chooses", "% of test tiles"), rows)
    styles, use = expert_use_by_style(results.mixtures, len(ids))
    by_style = plot_expert_use(use, styles, ids, pictures / "expert-use-by-style.svg", "First expert by style")
    page.picture(by_style, "Share of each style's tiles by first expert, over all seeds, base and new")
    first = results.mixtures[0]
    classes = (*first.base.per_class, *first.new.per_class)
    by_class = plot_expert_use(
        [one.expert_use for one in classes],
        [one.name for one in classes],
        ids,
        pictures / "expert-use-by-class.svg",
        "First expert by class",
    )
    page.picture(by_class, f"Share of each class's tiles by first expert, seed {first.seed}, base classes first")


def _predictions(page: Report, results: DemoResults) -> None:
    page.heading("Predictions").paragraph(
        f"The tiles above, classified among all {len(results.dataset.classnames)} classes, and the experts that "
        "decided."
    )
    page.tiles([(Path(one["path"]), f"{one['class']} {percent(one['probability'], 0)}") for one in results.predictions])
    rows = [_prediction_row(one) for one in results.predictions]
    page.table(("tile", "predicted", "right", "probability", "experts"), rows)


def _photographs(page: Report, results: DemoResults) -> None:
    authors = "; ".join(f"{name} by {author}" for name, author in AUTHORS.items())
    page.heading("Real photographs").paragraph(
        f"Two photographs that scikit-learn brings along, named by photoclip as one of {', '.join(NAMES)}; nothing was "
        f"learned for them. {authors}; {LICENCE}."
    )
    page.tiles([(Path(one["path"]), f"{_first(one)[0]} {_first(one)[1]}") for one in results.photographs])
    rows = [
        (Path(one["path"]).name, *(f"{guess['class']} {percent(guess['probability'])}" for guess in one["top_k"]))
        for one in results.photographs
    ]
    page.table(("photograph", "likeliest", "second", "third"), rows)


def _first(one: dict[str, Any]) -> tuple[str, str]:
    guess = one["top_k"][0]
    return guess["class"], percent(guess["probability"], 0)


def _prediction_row(one: dict[str, Any]) -> tuple[str, ...]:
    """A tile, what it was taken for, and its first experts; what they stand for is in the table of groups."""
    path = Path(one["path"])
    right = "yes" if one["class"] == _class_of(path) else "no"
    return _tile_name(path), one["class"], right, percent(one["probability"]), experts_told(one["experts"])


def _tile_name(path: Path) -> str:
    """ "airport, infrared": the tile's class and style."""
    style = style_of(path)
    return f"{_class_of(path)}, {style}" if style in STYLES else path.name


def _class_of(path: Path) -> str:
    """The class of a tile, which is its folder's name."""
    return path.parent.name.replace("_", " ")
