"""The rows that an ablation shows. Equal cells are trained once, so a variant's row may have another name.

All ablations share one default, which is the main table's row too. A row belongs to a variant if it has the variant's
name, or if all its settings equal the variant's.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mocoop.bench.cell import BASE_TO_NEW, Cell
from mocoop.bench.groupkinds import OWN
from mocoop.bench.protocols import ABLATIONS, Variant
from mocoop.bench.rows import Row
from mocoop.errors import MoCoOpError
from mocoop.reporting.results import Line, Lines, beside_tuning, changes_text, line_of, lines_of

_UNCOMPARED = ("preset", "extra_class_names", "template")  # a label; and what depends on the data set


@dataclass(frozen=True)
class Ablation:
    """An ablation as shown on the page; `paper` is the key of its table in the paper's numbers."""

    name: str
    title: str
    about: str
    paper: str | None = None
    labels: Mapping[str, str] | None = None  # our name of a variant -> the paper's, if they differ
    reference: str = "mocoop"  # the unchanged method that variants are compared with

    def paper_label(self, setting: str) -> str:
        """The paper's name of a variant."""
        return (self.labels or {}).get(setting, setting)


SHOWN = (
    Ablation("components", "Components (the paper's Table 2)", "Each row adds one part of the method to the one above.",
             "components", {"CoOp": "CoOp baseline", "+ mixture": "+ MoE"}),
    Ablation("top-k", "Experts chosen for an image (the paper's Table 3)", "K experts of the mixture are used.",
             "top_k", {f"K = {k}": f"K={k}" for k in (2, 3, 4)}),
    Ablation("grouping", "Random and semantic groups (the paper's Table 4)",
             "Random groups: the same templates, dealt into groups of the same sizes.",
             "grouping", {"random groups": "random", "semantic groups": "semantic"}),
    Ablation("router-loss", "Router losses (the paper's Table 5)",
             "The distance that keeps the router near the reference gate.", "router_loss"),
    Ablation("experts", "Number of experts (the paper's Table 7)", "The first groups of the file; all of them last.",
             "n_experts"),
    Ablation("lambda-router", "Weight of the router loss (the paper's Fig. 4)", "lambda1 multiplies the router loss."),
    Ablation("lambda-text", "Weight of the text loss (the paper's Fig. 4)", "lambda2 multiplies the text loss."),
    Ablation("position", "Where the context stands", "Learned words before, around or after the class name.",
             reference="coop"),
    Ablation("init-position", "Where the class stands in the init",
             "Each expert starts from the template of its group whose class stands first, or last."),
    Ablation("routing", "Routing controls", "What a claim about routing needs beside it."),
)  # fmt: skip


def main_lines(rows: Iterable[Row]) -> Lines:
    """The rows of base-to-new that are the unchanged method, or equal to it."""

    def label(row: Row) -> Line | None:
        changes = _own_changes(row)
        if row["ablation"] is None:
            return line_of(row)
        if changes is None or not _stands_for(row, Variant("", row["method"]), changes):
            return None
        return line_of(row, setting=changes_text(beside_tuning(row, changes)))

    return lines_of((row for row in rows if row["protocol"] == BASE_TO_NEW), label)


def ablation_lines(rows: Iterable[Row], name: str) -> dict[str, Lines]:
    """The lines of each variant of an ablation, in its order; empty if nothing was run under its name."""
    mine = [row for row in rows if row["protocol"] == BASE_TO_NEW]
    if not any(row["ablation"] == name for row in mine):
        return {}
    counts = _experts(mine)
    tuned = {row["method"] for row in mine if row["ablation"] == name and row.get("tuned")}
    variants = {v.setting: v for count in sorted({*counts.values()} or {1}) for v in ABLATIONS[name](count)}
    others = dict.fromkeys(row["setting"] for row in mine if row["ablation"] == name and row["setting"] not in variants)
    found = {}
    for setting in (*variants, *sorted(others)):

        def label(row: Row, setting: str = setting) -> Line | None:
            changes = _own_changes(row)
            beside = beside_tuning(row, changes or {})
            shown = f"{setting}; {changes_text(beside)}" if beside else setting
            if row["ablation"] == name and row["setting"] == setting:
                return line_of(row, setting=shown)
            if bool(row.get("tuned")) != (row["method"] in tuned):
                return None
            allowed = {v.setting: v for v in ABLATIONS[name](counts.get(row["dataset"], 1))}
            if changes is None or setting not in allowed or not _stands_for(row, allowed[setting], changes):
                return None
            return line_of(row, setting=shown)

        if lines := lines_of(mine, label):
            found[setting] = lines
    return found


def _experts(rows: Iterable[Row]) -> dict[str, int]:
    """The number of experts of the mixture on each data set, with its groups as given."""
    found: dict[str, int] = {}
    for row in rows:
        if row["groups"] and row["method"] == "mocoop" and row["groups"]["kind"] == OWN:
            found[row["dataset"]] = max(found.get(row["dataset"], 0), len(row["groups"]["ids"]))
    return found


def _own_changes(row: Row) -> dict[str, Any] | None:
    """The whole comparison's changes, without those of the row's variant; None if the variant is unknown."""
    if row["ablation"] is None:
        return dict(row["changes"])
    if row["ablation"] not in ABLATIONS:
        return None
    experts = len(row["groups"]["ids"]) if row["groups"] else 1
    for variant in ABLATIONS[row["ablation"]](experts):
        if variant.setting == row["setting"]:
            return {name: value for name, value in row["changes"].items() if name not in (variant.changes or {})}
    return None


def _stands_for(row: Row, variant: Variant, changes: Mapping[str, Any]) -> bool:
    kind = row["groups"]["kind"] if row["groups"] else OWN
    if row["method"] != variant.method or kind != variant.group_kind:
        return False
    changed = json.dumps({**changes, **(variant.changes or {})}, sort_keys=True)
    expected = _settings(variant.method, row["preset"], row["budget"], changed, row["dataset"], row["shots"])
    found = {name: value for name, value in row["config"].items() if name not in _UNCOMPARED}
    return expected == found


@functools.cache
def _settings(
    method: str, preset: str, budget: str | None, changes: str, dataset: str, shots: int
) -> dict[str, Any] | None:
    """All settings of such a cell as plain JSON values; None if this version does not know it."""
    cell = Cell("base-to-new", dataset, method, shots, 1, preset=preset, budget=budget, changes=json.loads(changes))
    try:
        settings = cell.config(dataset).to_dict()
    except (MoCoOpError, KeyError, TypeError, ValueError):
        return None
    settings = json.loads(json.dumps(settings))  # as in a row
    return {name: value for name, value in settings.items() if name not in _UNCOMPARED}
