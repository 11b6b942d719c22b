"""About the results: backbones, data, seeds, presets, budgets, versions, and important notes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from mocoop.bench.cell import BUDGETS
from mocoop.bench.rows import Row
from mocoop.reporting.document import Section, Table, Words
from mocoop.reporting.results import backbone_name, changes_text, machine_of, measured_twice, read_extra_names

STAND_IN = (
    "The backbone of {} is miniclip, a small stand-in that was trained on drawings. These numbers show that the "
    "methods run and how they compare with it; they say nothing about CLIP, and are no match for the paper's."
)
EXTRA_NAMES = (
    "In {}, training read the names of classes that are not trained on (extra_class_names), the new ones among them. "
    "Their rows say so: their accuracy on new classes is not that of classes never named before."
)
COLLAPSED = (
    "In {}, the router collapsed: one expert comes first for nearly all images, or takes nearly all weight of each. "
    "The notes below tell which and what to change."
)
CONSTANT = (
    "In {}, a classifier gives one answer to nearly everything, so its accuracy is a class's share of the images. Such "
    "results count nowhere as better."
)
_MOST_NOTES = 20
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?:e[+-]\d+)?(?!\w|\.\w)")  # a separate number, not part of a name


def about(rows: Sequence[Row], shown: Sequence[str]) -> Section:
    """The first section; `shown` names the ablations that the report has tables for."""
    section = Section("about", "What this is")
    notes = [
        (STAND_IN, sum(row["backbone"]["stand_in"] for row in rows)),
        (EXTRA_NAMES, sum(map(read_extra_names, rows))),
        (COLLAPSED, sum(bool(row.get("collapse")) for row in rows)),
        (CONSTANT, sum(any(one.get("constant") for one in (row.get("scores") or {}).values()) for row in rows)),
    ]
    section.blocks += [Words(text.format(_share(count, len(rows))), "note") for text, count in notes if count]
    section.blocks.append(
        Words(
            "Accuracies are top-1 on test images, in percent: the mean over seeds ± the sample deviation over seeds. "
            "A cell is one training: a data set and a seed. What was not measured is empty; cannot stands where a "
            "method cannot name the classes."
        )
    )
    section.blocks.append(
        Table("about", ("what", "value"), tuple(_facts(rows)), f"{_counted(len(rows), 'result')}, in short.")
    )
    section.blocks += [Words(text) for text in _left_out(rows, shown)]
    if said := _notes(rows):
        columns = ("note", "results")
        section.blocks.append(Table("notes", columns, said, "What the trainings noted, and in how many results."))
    return section


def _facts(rows: Sequence[Row]) -> list[tuple[str, str]]:
    versions = {f"{name} {version}" for row in rows for name, version in row["versions"].items()}
    finished = sorted(row["finished"] for row in rows if "finished" in row)
    return [
        ("backbone", _each(rows, lambda row: f"{backbone_name(row)} [{row['backbone']['fingerprint'][:12]}]")),
        ("protocols", _each(rows, lambda row: row["protocol"])),
        ("trained on", _each(rows, lambda row: row["dataset"])),
        ("methods", _each(rows, lambda row: row.get("title") or row["method"])),
        ("seeds", ", ".join(map(str, sorted({row["seed"] for row in rows})))),
        ("shots", ", ".join(map(str, sorted({row["shots"] for row in rows})))),
        ("presets", _each(rows, lambda row: row["preset"])),
        ("budgets", _each(rows, _budget)),
        ("extra class names", _each(rows, lambda row: "read in training" if read_extra_names(row) else "none")),
        ("group files", _each((row for row in rows if row["groups"]), _group_file)),
        ("versions", ", ".join(sorted(versions))),
        ("machine", _each(rows, machine_of)),
        *([("finished", f"{finished[0]} to {finished[-1]}")] if finished else []),
    ]


def _each(rows: Iterable[Row], word: Callable[[Row], str]) -> str:
    """The distinct words, each once."""
    return "; ".join(sorted({word(row) for row in rows})) or "-"


def _budget(row: Row) -> str:
    if row["budget"] is None:
        return "as the preset"
    limits = BUDGETS.get(row["budget"])
    return f"{row['budget']} ({changes_text(limits)})" if limits else str(row["budget"])


def _group_file(row: Row) -> str:
    return row["groups"].get("file") or f"none ({row['groups']['domain']})"


def _left_out(rows: Sequence[Row], shown: Sequence[str]) -> list[str]:
    found = []
    others = sorted({row["ablation"] for row in rows if row["ablation"]} - set(shown))
    if others:
        found.append(f"This version has no table for the ablations {', '.join(others)}; their results are not shown.")
    if twice := measured_twice(rows):
        found.append(f"Not shown because a newer one is of the same cell: {_counted(twice, 'result')}.")
    return found


def _notes(rows: Iterable[Row]) -> tuple[tuple[str, str], ...]:
    """Notes with the number of results each is in; those that differ only in a number are merged, with its range."""
    counts = Counter(note for row in rows for note in dict.fromkeys(row["notes"]))
    alike: dict[str, list[str]] = {}
    for note in counts:
        alike.setdefault(_NUMBER.sub("{}", note), []).append(note)
    ranked = sorted(
        ((_together(notes), sum(counts[note] for note in notes)) for notes in alike.values()),
        key=lambda item: (-item[1], item[0]),
    )
    rest = [(f"and {len(ranked) - _MOST_NOTES} other notes", "")] if len(ranked) > _MOST_NOTES else []
    return (*((note, str(count)) for note, count in ranked[:_MOST_NOTES]), *rest)


def _together(notes: Sequence[str]) -> str:
    """Merge notes that differ only in numbers: "C = 0.01 to 100"."""
    places = zip(*(_NUMBER.findall(note) for note in notes), strict=True)
    ranges = iter([(min(numbers, key=float), max(numbers, key=float)) for numbers in places])
    return _NUMBER.sub(lambda _: " to ".join(dict.fromkeys(next(ranges))), notes[0])


def _share(count: int, total: int) -> str:
    return "all results" if count == total else f"{count} of {total} results"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"
