"""The cells of each protocol and ablation. Ablations use base-to-new and include the default cell they change.

A cell is listed once for each table that shows it; equal cells have equal keys and run once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mocoop.bench.cell import BASE_TO_NEW, CROSS, FEW_SHOT, SHIFT, TIME, Cell, Protocol
from mocoop.bench.groupkinds import EARLY, FIRST, LATE, OWN, RANDOM
from mocoop.config import METHODS
from mocoop.errors import UsageError

PROTOCOLS: tuple[Protocol, ...] = (BASE_TO_NEW, FEW_SHOT, CROSS, SHIFT)
SHOTS: dict[str, Sequence[int]] = {FEW_SHOT: (1, 2, 4, 8, 16)}  # others: 16
SHIFTED = ("imagenetv2", "imagenet_sketch", "imagenet_a", "imagenet_r")  # test sets only: nothing is trained on them


@dataclass(frozen=True)
class Comparison:
    """What is compared: each combination is a cell."""

    datasets: Sequence[str]
    methods: Sequence[str] = METHODS
    seeds: Sequence[int] = (1, 2, 3)
    shots: Sequence[int] | None = None  # None: as in the protocol
    preset: str = "recommended"
    budget: str | None = None
    source: str = "imagenet"  # of cross-dataset and domain-shift
    changes: Mapping[str, Any] | None = None
    tuned: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by method: settings that a search chose


def cells_of(protocol: Protocol, what: Comparison) -> list[Cell]:
    """The cells of a protocol, ordered by method, so that a table fills row by row.

    Raises UsageError if the source of a transfer, or every target, is not among the data sets, or if there is nothing
    to train on.
    """
    trained = trainable(what.datasets)
    targets: tuple[str, ...] = ()
    if protocol in (CROSS, SHIFT):
        others = [name for name in what.datasets if name != what.source]
        targets = tuple(name for name in others if (name in SHIFTED) == (protocol == SHIFT))
        if what.source not in what.datasets or not targets:
            raise UsageError(
                f"{protocol} needs the source {what.source} and a target; there are {', '.join(what.datasets)}",
                "name them with --source and --datasets",
            )
        trained = [what.source]
    return [
        _cell(what, protocol, dataset, method, shots, seed, targets=targets)
        for method in what.methods
        for dataset in trained
        for shots in (what.shots or SHOTS.get(protocol, (16,)))
        for seed in what.seeds
    ]


def trainable(datasets: Sequence[str]) -> list[str]:
    """The data sets that have training images. Raises UsageError if none has."""
    if found := [name for name in datasets if name not in SHIFTED]:
        return found
    raise UsageError(f"there is nothing to train on in {', '.join(datasets)}", "they have test images only")


def _cell(what: Comparison, protocol: Protocol, dataset: str, method: str, shots: int, seed: int, **more: Any) -> Cell:
    asked = {**(what.changes or {}), **more.pop("changes", {})}
    tuned = {name: value for name, value in what.tuned.get(method, {}).items() if name not in asked}
    return Cell(
        protocol=protocol,
        dataset=dataset,
        method=method,
        shots=shots,
        seed=seed,
        preset=what.preset,
        budget=what.budget,
        changes={**tuned, **asked},
        tuned=tuned,
        **more,
    )


@dataclass(frozen=True)
class Variant:
    """One row of an ablation: a method, its changes, and the row's name."""

    setting: str
    method: str = "mocoop"
    changes: Mapping[str, Any] | None = None
    group_kind: str = OWN


# The paper's form, in CLIP's own scale: one linear layer initialised as the gate, two experts per image.
LINEAR_ROUTER: Mapping[str, Any] = {
    "router_form": "linear", "router_lr": None, "gate_softness": 1.0, "top_k": 2, "lambda_router": 1.0,
}  # fmt: skip


def _components(_experts: int) -> list[Variant]:
    prompts_alone = {"template_share": 0.0}
    return [
        Variant("CoOp", "coop"),
        Variant("+ mixture", changes={"lambda_router": 0.0, "lambda_text": 0.0, **prompts_alone}),
        Variant("+ L_router", changes={"lambda_text": 0.0, **prompts_alone}),
        Variant("+ L_text", changes=prompts_alone),
        Variant("+ templates of new classes"),  # ours; the paper has the four before it
    ]


def _top_k(experts: int) -> list[Variant]:
    fewer = [Variant(f"K = {k}", changes={"top_k": k}) for k in (1, 2, 3, 4, 8) if k < experts]
    return [*fewer, Variant(f"K = {experts}", changes={"top_k": "all"})]


def _grouping(_experts: int) -> list[Variant]:
    return [Variant("random groups", group_kind=RANDOM), Variant("semantic groups")]


def _router_loss(_experts: int) -> list[Variant]:
    return [Variant("MSE", changes={"router_loss": "mse"}), Variant("KL"),
            Variant("KL reversed", changes={"router_loss": "kl-reversed"})]  # fmt: skip


def _experts(experts: int) -> list[Variant]:
    fewer = [count for count in (2, 3, 5, 6) if count < experts]
    return [*(Variant(f"{n} experts", group_kind=f"{FIRST}{n}") for n in fewer), Variant(f"{experts} experts")]


def _lambda_router(_experts: int) -> list[Variant]:
    return [Variant(f"lambda1 = {value:g}", changes={"lambda_router": value}) for value in (0.0, 0.5, 1.0, 2.0, 5.0)]


def _lambda_text(_experts: int) -> list[Variant]:
    return [Variant(f"lambda2 = {value:g}", changes={"lambda_text": value}) for value in (0.0, 1.0, 3.0, 5.0, 8.0)]


def _position(_experts: int) -> list[Variant]:
    places = {"before": "before", "middle": "around", "after": "after"}
    return [Variant(f"ctx {where} the name", "coop", {"ctx_position": place}) for place, where in places.items()]


def _init_position(_experts: int) -> list[Variant]:
    return [
        Variant("class first in the init", group_kind=EARLY),
        Variant("class last in the init", group_kind=LATE),
        Variant("inits as they are"),
    ]


def _routing(_experts: int) -> list[Variant]:
    return [
        Variant("learned router"),
        Variant("uniform weights", changes={"routing": "uniform"}),
        Variant("fixed random router", changes={"routing": "random"}),
        Variant("the reference gate, fixed", changes={"routing": "reference"}),
        Variant("linear router, K = 2", changes=LINEAR_ROUTER),
        Variant("K = 1", changes={"top_k": 1}),
        Variant("K = 2", changes={"top_k": 2}),
        Variant("no router loss", changes={"lambda_router": 0.0}),
        Variant("the gate, nothing learned", "gated-zero-shot"),
        Variant("one prompt (LASP)", "lasp"),
    ]


ABLATIONS: dict[str, Callable[[int], list[Variant]]] = {
    "components": _components,
    "top-k": _top_k,
    "grouping": _grouping,
    "router-loss": _router_loss,
    "experts": _experts,
    "lambda-router": _lambda_router,
    "lambda-text": _lambda_text,
    "position": _position,
    "init-position": _init_position,
    "routing": _routing,
}
INFERENCE = "inference-time"


def ablation_cells(name: str, what: Comparison, experts: int) -> list[Cell]:
    """The cells of an ablation, for a group file of `experts` groups. Raises UsageError for an unknown name."""
    if name == INFERENCE:
        timed = replace(what, changes={**(what.changes or {}), "epochs": 1})
        return [_cell(timed, TIME, dataset, method, 16, what.seeds[0], ablation=name)
                for method in what.methods for dataset in what.datasets]  # fmt: skip
    if name not in ABLATIONS:
        raise UsageError(f"no ablation is called {name!r}", f"choose {', '.join([*ABLATIONS, INFERENCE])}")
    return [
        _cell(
            what,
            BASE_TO_NEW,
            dataset,
            variant.method,
            shots,
            seed,
            setting=variant.setting,
            changes=dict(variant.changes or {}),
            group_kind=variant.group_kind,
            ablation=name,
        )
        for variant in ABLATIONS[name](experts)
        for dataset in what.datasets
        for shots in what.shots or (16,)
        for seed in what.seeds
    ]
