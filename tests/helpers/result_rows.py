"""Made-up rows of results, as `mocoop bench` writes them, from a seed: shapes are real, numbers are drawn."""

from __future__ import annotations

import json
import random
from dataclasses import replace

from mocoop.bench.cell import BUDGETS, Cell, cell_key
from mocoop.bench.protocols import Comparison, ablation_cells, cells_of
from mocoop.methods import method_named
from mocoop.runs.evaluate import harmonic_mean

SKILL = {"zero-shot": 0, "coop": 6, "lasp": 9, "mocoop": 10}  # points on base over zero-shot
GROUPS = tuple(f"look_{number}" for number in range(8))
CLASSES = {"base": ("airport", "beach"), "new": ("canal", "dam")}


def drawn_rows(
    seed=0,
    *,
    datasets=("dtd", "eurosat"),
    methods=tuple(SKILL),
    seeds=(1, 2, 3),
    protocols=("base-to-new",),
    ablations=(),
    shots=None,
    **more,
):
    """The rows of these protocols and ablations, each key once, as the runner leaves them."""
    what = Comparison(datasets=datasets, methods=methods, seeds=seeds, shots=shots, budget="small", **more)
    cells = [cell for protocol in protocols for cell in cells_of(protocol, what)]
    cells += [cell for name in ablations for cell in ablation_cells(name, what, len(GROUPS))]
    rows = {}
    for cell in cells:
        row = row_of(cell, seed)
        rows.setdefault(row["key"], row)
    return list(rows.values())


def row_of(cell, seed=0, **changes):
    """One cell's row."""
    method = method_named(cell.method)
    config = cell.config(cell.dataset, f"a {cell.dataset} photo of a {{}}.")
    identity = config.to_dict()
    del identity["preset"]
    key = cell_key([cell.protocol, cell.dataset, cell.targets, cell.shots, cell.seed, cell.group_kind, identity])
    dice = random.Random(f"{seed} {key}")
    accuracy = _accuracy(cell, dice)
    experts = cell.method in ("mocoop", "gated-zero-shot")
    ids = list(GROUPS if experts else ("all",))
    parts = [part for part in accuracy if part != "H" and accuracy[part] is not None]
    row = {
        "format": 1, "key": key, "protocol": cell.protocol, "ablation": cell.ablation, "dataset": cell.dataset,
        "method": cell.method, "title": method.title, "preset": cell.preset, "budget": cell.budget,
        "setting": cell.setting, "changes": dict(cell.changes), "tuned": dict(cell.tuned),
        "classes": cell.train_on, "shots": cell.shots,
        "val_shots": cell.val_shots, "seed": cell.seed,
        "backbone": {"name": "miniclip", "pretrained": None, "fingerprint": "f" * 64, "stand_in": True},
        "groups": {"sha256": "a" * 64, "file": "groups.json", "domain": "land", "ids": ids, "kind": cell.group_kind},
        "config": json.loads(json.dumps(config.to_dict())), "accuracy": accuracy,
        "images": dict.fromkeys(parts, 100),
        "training": {"images": 32, "epochs": 30, "steps": 30, "seconds": round(dice.uniform(1, 9), 3), "loss": 1.0},
        "calibration": {part: _calibration(dice) for part in parts},
        "expert_use": {part: _use(dice, part) for part in parts if part in CLASSES} if experts else None,
        "router": {"entropy": dice.uniform(0, 2), "style_named": dice.uniform(50, 90)} if experts else None,
        "versions": {"python": "3.12.0", "mocoop": "0.1.0"}, "device": "cpu", "precision": "float32", "threads": 2,
        "finished": "2026-01-02T03:04:05Z", "notes": [],
    }  # fmt: skip
    if cell.protocol == "inference-time":
        row["seconds_per_100"] = dice.uniform(0.001, 0.1)
    return {**row, **changes}


def _accuracy(cell, dice):
    skill = SKILL.get(cell.method, 5)
    near = {"eurosat": 50, "dtd": 45}.get(cell.dataset, 60)
    if cell.protocol == "base-to-new":
        base, new = near + skill + dice.gauss(0, 1), near - skill / 4 + dice.gauss(0, 1)
        return {"base": base, "new": new, "H": harmonic_mean(base, new)}
    if cell.protocol == "inference-time":
        return {}
    if cell.protocol == "tune":
        val, unseen = near + dice.gauss(0, 1), near + dice.gauss(0, 1)
        halves = {"val, classes left out": unseen, "H": harmonic_mean(val, unseen)}
        return {"val": val, **(halves if "halves" in cell.train_on else {})}
    own = near + skill * cell.shots**0.5 / 2 + dice.gauss(0, 1)
    return {"all": own, **{target: 40 + skill / 3 + dice.gauss(0, 1) for target in cell.targets}}


def _calibration(dice):
    return {"ece": dice.uniform(1, 12), "bins": [[10 * n, n / 15 + 0.03, min(1, n / 14)] for n in range(1, 15)]}


def _use(dice, part):
    found = {}
    for name in CLASSES[part]:
        weights = [dice.random() ** 4 for _ in GROUPS]
        found[name] = [weight / sum(weights) for weight in weights]
    return found


def write_rows(path, rows):
    """A results file of some rows."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def plain_cell(**changes):
    """A cell of the mixture on eurosat, seed 1."""
    return replace(Cell("base-to-new", "eurosat", "mocoop", 16, 1), **changes)


BUDGET = BUDGETS["small"]
