"""What is said of one image: its class, the runners-up, and the experts that decided, as plain values.

`mocoop predict`, the engine of exported models and the server all answer in this shape; torch is not needed for it.
C classes, E experts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from mocoop.errors import DataError

if TYPE_CHECKING:
    import numpy as np

    from mocoop.certainty.doubt import Doubt

Experts = Literal["full", "ids", "none"]  # what a row says of them: with templates, without, nothing


def describe(
    name: str,
    probabilities: np.ndarray,
    gate: np.ndarray,
    *,
    classnames: Sequence[str],
    group_ids: Sequence[str],
    templates: Mapping[str, Sequence[str]],
    top: int,
    doubt: Doubt | None = None,
) -> dict[str, Any]:
    """`path`, `class`, `probability`, `top_k` and `experts` from probabilities (C,) and gate weights (E,).

    `doubt` adds what it tells: `set` and `unsure`.

    `top_k` has at most `top` classes, the likeliest first. `experts` are those with a weight, the largest first, with
    their templates; empty if there are no `templates`, that is, one prompt for all images or none. Raises DataError
    for probabilities that are no numbers.
    """
    if not (probabilities >= 0).all():  # false for NaN
        raise DataError(
            f"{name}: the backbone gave values that are no numbers, so there is no answer",
            "use --precision float32; if that does not help, its weights are damaged",
        )
    ranked = [
        {"class": classnames[c], "probability": round(float(probabilities[c]), 6)}
        for c in (-probabilities).argsort(kind="stable")[:top].tolist()
    ]
    order = [e for e in (-gate).argsort(kind="stable").tolist() if gate[e] > 0] if templates else []
    experts = [
        {"id": group_ids[e], "weight": round(float(gate[e]), 6), "templates": list(templates[group_ids[e]])}
        for e in order
    ]
    told = doubt.told(probabilities, classnames) if doubt else {}
    return {"path": name, **ranked[0], **told, "top_k": ranked, "experts": experts}


def with_experts(row: dict[str, Any], experts: Experts) -> dict[str, Any]:
    """A row of `describe` with as much of its experts as was asked for; one that has none stays as it is."""
    if experts == "full" or "experts" not in row:
        return row
    if experts == "none":
        return {key: value for key, value in row.items() if key != "experts"}
    return {**row, "experts": [{"id": one["id"], "weight": one["weight"]} for one in row["experts"]]}
