"""Settings of one training, the presets, and their way to and from a dictionary and the command line.

`Config` is frozen and checks itself when it is made. It holds the settings of every method of `mocoop.methods`; which
of them a method reads is said there. Every difference between the paper as printed, the authors'
released code and our recommendation is a named field here, so that nothing is silently one or the other
(the table is in docs/method.md). Which files are read and where results go is not here.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import pkgutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from mocoop.errors import ConfigError, UsageError

_IN_TABLES = (
    "zero-shot", "zero-shot-ensemble", "gated-zero-shot", "linear-probe", "tip-adapter",
    "coop", "cocoop", "kgcoop", "prograd", "lasp", "mocoop", "blend",
)  # fmt: skip


def _method_names() -> tuple[str, ...]:
    """A file each in mocoop/methods, in the order of tables; what that does not name stands before the mixture."""
    found = [module.name.replace("_", "-") for module in pkgutil.iter_modules([str(Path(__file__).parent / "methods")])]
    places = {name: place for place, name in enumerate(_IN_TABLES)}
    return tuple(sorted(found, key=lambda name: (places.get(name, places["mocoop"] - 0.5), name)))


METHODS = _method_names()
_NO_STEPS = ("zero-shot", "zero-shot-ensemble", "gated-zero-shot", "linear-probe", "tip-adapter")

CtxPosition = Literal["before", "middle", "after"]
Routing = Literal["learned", "reference", "uniform", "random"]
RouterForm = Literal["linear", "correction"]
RouterInit = Literal["random", "groups"]
GatePrototypes = Literal["class-mean", "true-class"]
GateTarget = Literal["softmax", "two-hot"]
RouterLoss = Literal["kl", "kl-reversed", "mse"]
TextTarget = Literal["mean-probability", "mean-template"]
TextClasses = Literal["trained", "all"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]

_CHOICES: dict[str, tuple[str, ...]] = {
    "method": METHODS,
    "ctx_position": get_args(CtxPosition),
    "routing": get_args(Routing),
    "router_form": get_args(RouterForm),
    "router_init": get_args(RouterInit),
    "gate_prototypes": get_args(GatePrototypes),
    "gate_target": get_args(GateTarget),
    "router_loss": get_args(RouterLoss),
    "text_target": get_args(TextTarget),
    "text_classes": get_args(TextClasses),
    "precision": get_args(Precision),
}

# Settings that several methods read; a method names these and its own (`Method.settings`).
OPTIMISER = frozenset({
    "lr", "epochs", "batch_size", "momentum", "weight_decay", "clip_norm",
    "warmup_epochs", "warmup_lr", "precision", "min_steps", "drop_last",
})  # fmt: skip
VIEWS = frozenset({"views", "view_scale"})
CONTEXT = frozenset({"ctx_init", "ctx_tokens", "ctx_position", "class_ctx"})
IMAGE_TOWER = frozenset({"tune_layer_norm", "layer_norm_lr"})
TEXT_LOSS = frozenset({"lambda_text", "tau_text", "text_target", "text_classes", "extra_class_names"})

FULL_SHOTS = 16  # from here on `min_steps` is asked for in full

_LAMBDAS = ("lambda_router", "lambda_text", "lambda_knowledge", "lambda_projection")
_FLAGS = (
    "class_ctx", "router_scale", "renormalise_mix", "text_offset",
    "tune_layer_norm", "drop_full_stop",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Every setting of one training. `tau_*` are temperatures; None means 1 / the backbone's own logit scale
    (of the gate: `gate_softness` times that)."""

    method: str = "mocoop"
    preset: str = "recommended"

    # One learned prompt (coop, cocoop, kgcoop, prograd, lasp), and the data set's own template
    ctx_init: str | None = "a photo of a"  # the words that ctx starts from; None: at random, N(0, 0.02)
    ctx_tokens: int = 16  # M: of a random ctx, and of ProGrad's, which is longer than its words
    ctx_position: CtxPosition = "before"  # where ctx stands: before the class name, half before and half after, after
    class_ctx: bool = False  # a ctx for each class; such a prompt knows no other classes
    template: str | None = None  # None: the data set's own, or "a photo of a {}."
    lambda_knowledge: float = 8.0  # KgCoOp: weight of its distance to the template's text features
    lambda_projection: float | None = None  # ProGrad: how much of a gradient against the template's knowledge is taken
    # out; None: 1, or 0.8 where its authors have that (flowers, DTD and EuroSAT at 8 and more shots)
    probe_c: float | None = None  # linear probe: inverse strength of its penalty; None: sought on val
    tip_alpha: float | None = None  # Tip-Adapter: weight of its cache, and
    tip_beta: float | None = None  # how fast it fades with distance; None: sought on val or on the training images
    blend_weight: float | None = None  # blend: the probe's part, 0 to 1; None: sought on val

    # Router and mix (Eq. 1-3, 6-7)
    routing: Routing = "learned"  # or the controls, which stay as they start: the reference gate, the same weight for
    # all E experts, a random router
    router_form: RouterForm = "linear"  # Eq. 1; or "correction": the reference gate plus what is learned, both centred
    top_k: int | Literal["all"] = 2  # K, experts chosen for an image; at most E
    router_init: RouterInit = "groups"  # of "linear"; "groups": rows = normalised group prototypes, bias 0
    router_scale: bool = True  # of "linear": multiply router logits by the backbone's logit scale
    router_lr: float | None = None  # the router's own learning rate; None: lr
    gate_prototypes: GatePrototypes = "class-mean"  # Eq. 5, or the prototype of the image's true class
    gate_target: GateTarget = "softmax"  # Eq. 6, or cosines with +10 on the two largest
    tau_gate: float | None = None
    gate_softness: float = 1.0  # where tau_gate is None: that temperature as a multiple of the backbone's own
    router_loss: RouterLoss = "kl"  # "kl": KL(router || reference), Eq. 7; "kl-reversed"; "mse": Table 5
    renormalise_mix: bool = True  # normalise the mixed class text features again (the cosine of Eq. 3)
    tau_class: float | None = None
    lambda_router: float = 1.0

    # Text supervision (Eq. 8-9)
    text_target: TextTarget = "mean-probability"
    text_classes: TextClasses = "trained"  # "all": also `extra_class_names`
    extra_class_names: tuple[str, ...] = ()  # left out, `mocoop train` puts all other classes of the data set here
    tau_text: float | None = None
    lambda_text: float = 5.0

    # Classes that were not trained on
    template_share: float = 0.0  # what of their text features is the mean of their expert's templates; 0 to 1

    # What else is learned
    text_offset: bool = False  # one vector (D) added to every expert's class text features
    tune_layer_norm: bool = False  # LayerNorms of the image tower's blocks; needs views = "online"
    layer_norm_lr: float = 0.1  # their learning rate, as a factor of lr
    drop_full_stop: bool = False  # learned prompts end without the template's full stop

    # Images
    views: int | Literal["epochs", "online"] = 0  # cached views an image; 0: one centre view; "epochs": one an epoch
    view_scale: tuple[float, float] = (0.08, 1.0)  # area of a random crop, as a fraction

    # Optimiser: SGD, cosine over epochs after a constant warm-up
    lr: float = 0.02
    epochs: int | None = 30  # None: as CoOp, by shots
    batch_size: int = 32
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup_epochs: int = 1
    warmup_lr: float = 1e-5
    clip_norm: float | None = None
    precision: Precision = "auto"  # "auto": bfloat16 where the GPU or CPU computes in it, float32 elsewhere
    min_steps: int = 0  # at 16 shots, in proportion at fewer: where the epochs alone make fewer, more epochs are taken
    # and no batch is dropped; 0: never
    drop_last: bool = True  # as CoOp: an epoch leaves out the images that fill no whole batch

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            _check(getattr(self, name) in allowed, name, getattr(self, name), f"one of {', '.join(allowed)}")
        for name in ("batch_size", "ctx_tokens"):
            _check(_is_int(getattr(self, name), 1), name, getattr(self, name), "a whole number of 1 or more")
        _check(self.top_k == "all" or _is_int(self.top_k, 1), "top_k", self.top_k, "1 or more, or 'all'")
        for name in ("tau_class", "tau_text", "tau_gate", "clip_norm", "probe_c", "router_lr"):
            value = getattr(self, name)
            _check(value is None or _is_number(value, above=0), name, value, "a number above 0, or null")
        for name in ("tip_alpha", "tip_beta"):
            value = getattr(self, name)
            _check(value is None or (_is_number(value) and value >= 0), name, value, "a number of 0 or more, or null")
        share = self.blend_weight
        _check(share is None or (_is_number(share) and 0 <= share <= 1), "blend_weight", share, "0 to 1, or null")
        share = self.template_share
        _check(_is_number(share) and 0 <= share <= 1, "template_share", share, "a number of 0 to 1")
        for name in ("lr", "warmup_lr", "layer_norm_lr", "gate_softness"):
            _check(_is_number(getattr(self, name), above=0), name, getattr(self, name), "a number above 0")
        for name in (*_LAMBDAS, "weight_decay", "momentum"):
            value = getattr(self, name)
            left_out = value is None and name == "lambda_projection"
            _check(left_out or (_is_number(value) and value >= 0), name, value, "a number of 0 or more")
        _check(self.epochs is None or _is_int(self.epochs, 1), "epochs", self.epochs, "1 or more, or null")
        for name in ("warmup_epochs", "min_steps"):
            _check(_is_int(getattr(self, name), 0), name, getattr(self, name), "0 or more")
        views_fit = self.views in ("epochs", "online") or _is_int(self.views, 0)
        _check(views_fit, "views", self.views, "0 or more, 'epochs' or 'online'")
        scale_fits = _is_pair(self.view_scale) and 0 < self.view_scale[0] <= self.view_scale[1] <= 1
        _check(scale_fits, "view_scale", self.view_scale, "two fractions of the area, 0 < low <= high <= 1")
        names = self.extra_class_names
        names_fit = isinstance(names, tuple) and all(isinstance(name, str) for name in names)
        _check(names_fit, "extra_class_names", names, "a list of names")
        for name in ("ctx_init", "template"):
            value = getattr(self, name)
            _check(value is None or (isinstance(value, str) and bool(value.strip())), name, value, "words, or null")
        if self.template is not None:
            _check(self.template.count("{}") == 1, "template", self.template, "a sentence with one {} for the class")
        for name in (*_FLAGS, "drop_last"):
            _check(isinstance(getattr(self, name), bool), name, getattr(self, name), "true or false")
        if names and self.text_classes == "trained":
            raise ConfigError("extra_class_names are read only with text_classes = all", "set text_classes = all")
        if self.tune_layer_norm and self.views != "online":
            raise ConfigError("tune_layer_norm needs the image tower in the loop", "set views = online")
        if self.router_form == "correction" and (self.gate_prototypes, self.gate_target) != ("class-mean", "softmax"):
            raise ConfigError(
                "router_form = correction starts from the plain reference gate",
                "set gate_prototypes = class-mean and gate_target = softmax, or router_form = linear",
            )

    def gate_temperature(self, logit_scale: float) -> float:
        """The temperature of the reference gate, Eq. 6, for a backbone's logit scale."""
        return self.tau_gate or self.gate_softness / logit_scale

    def class_temperature(self, logit_scale: float) -> float:
        """tau of L_cls and of predictions: the backbone's own, unless it is set."""
        return self.tau_class or 1 / logit_scale

    def text_temperature(self, logit_scale: float) -> float:
        """tau of L_text: the backbone's own, unless it is set."""
        return self.tau_text or 1 / logit_scale

    def scheduled(self, shots: int, images: int, *, imagenet: bool = False) -> tuple[Config, int]:
        """These settings for so many training images, and their number of epochs.

        Where the epochs alone make fewer steps than `min_steps` asks for, images are few: none is left out of an epoch
        (`drop_last` off), and there are as many epochs as it takes. At fewer than 16 shots it asks for fewer in
        proportion, since a class of one or four images is soon known by heart (docs/results.md).
        """
        epochs = self.epochs_for(shots, imagenet=imagenet)
        least = self.min_steps * min(shots, FULL_SHOTS) // FULL_SHOTS
        if epochs * self.steps_an_epoch(images) >= least:
            return self, epochs
        whole = self.replace(drop_last=False)
        return whole, max(epochs, math.ceil(least / whole.steps_an_epoch(images)))

    def epochs_for(self, shots: int, *, imagenet: bool = False) -> int:
        """Epochs without `min_steps`; with `epochs = None` CoOp's: 50 (1 shot), 100 (2, 4), 200 (8 and more)."""
        if self.epochs is not None:
            return self.epochs
        if imagenet or shots == 1:
            return 50
        return 100 if 1 < shots <= 4 else 200

    def steps_an_epoch(self, images: int) -> int:
        """Batches of an epoch. CoOp drops the last, smaller one (`drop_last`), unless it is the only one."""
        full, rest = divmod(images, self.batch_size)
        return max(1, full) if self.drop_last else full + (rest > 0)

    def with_names_of(self, everything: Sequence[str], trained: Sequence[str]) -> Config:
        """`text_classes = "all"` without names of its own reads those of all classes of the data set."""
        if self.text_classes != "all" or self.extra_class_names:
            return self
        return self.replace(extra_class_names=tuple(name for name in everything if name not in trained))

    def replace(self, **changes: Any) -> Config:
        """A copy with some fields changed; unknown names raise ConfigError with the nearest one."""
        check_names(changes)
        return dataclasses.replace(self, **{name: _frozen(name, value) for name, value in changes.items()})

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, in field order."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Config:
        """The inverse of `to_dict`. Raises ConfigError on unknown names and impossible values."""
        check_names(values)
        given: dict[str, Any] = {name: _frozen(name, value) for name, value in values.items()}
        return cls(**given)


_COOP_SCHEDULE: dict[str, Any] = {"views": "epochs", "lr": 0.002, "epochs": None}
_RELEASED_CODE: dict[str, Any] = {
    "tau_text": 1.0,
    "text_target": "mean-template",
    "text_classes": "all",
    "text_offset": True,
    "tune_layer_norm": True,
    "drop_full_stop": True,
    "views": "online",
    "lr": 0.032,
    "epochs": 50,
    "warmup_epochs": 5,
    "clip_norm": 1.0,
}

# Found by search on validation images of four data sets, two of them in CLIP's own space (docs/results.md).
_OUR_MIXTURE: dict[str, Any] = {
    "lambda_router": 5.0,
    "lambda_text": 1.0,
    "router_form": "correction",
    "router_lr": 0.1,
    "gate_softness": 4.0,
    "top_k": "all",
    "template_share": 0.25,
}

# Found on small sets cut out of three data sets (benchmarks/few_images.py).
_FEW_IMAGES: dict[str, Any] = {"min_steps": 200}

# By preset, then by method: what differs from the defaults of `Config`. A method whose preset is not here has none.
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    # Ours: the defaults of `Config`, and what searches changed. LASP is the mixture with one expert, so it goes along.
    "recommended": {
        **dict.fromkeys(METHODS, _FEW_IMAGES),
        **{method: {} for method in _NO_STEPS},
        "lasp": {**_FEW_IMAGES, "lambda_text": 1.0},
        "mocoop": {**_FEW_IMAGES, **_OUR_MIXTURE},
        "blend": {**_FEW_IMAGES, **_OUR_MIXTURE},
    },
    # Each method as its own paper has it. MoCoOp: sections 2.3-2.5, 3.2 as printed, with CoOp's schedule.
    "paper": {
        **{method: {} for method in _NO_STEPS},
        "coop": {**_COOP_SCHEDULE, "ctx_init": None},
        "cocoop": {"views": "epochs", "lr": 0.002, "epochs": 10, "batch_size": 1},
        "kgcoop": {**_COOP_SCHEDULE, "epochs": 100, "batch_size": 128},
        "prograd": _COOP_SCHEDULE,
        "mocoop": {
            **_COOP_SCHEDULE,
            "tau_class": 0.07,
            "tau_text": 0.07,
            "tau_gate": 1.0,
            "router_init": "random",
            "router_scale": False,
        },
    },
    # What the authors' released code does (HEAD), where it differs from the paper; LASP is its ancestor.
    "official": {
        "lasp": _RELEASED_CODE,
        "mocoop": {
            **_RELEASED_CODE,
            "tau_gate": 1.0,
            "router_init": "random",
            "router_scale": False,
            "gate_prototypes": "true-class",
            "gate_target": "two-hot",
            "router_loss": "kl-reversed",
            "renormalise_mix": False,
        },
    },
}


_TOO_LARGE = 10**300
# Settings that take any number, by their annotations, which are text here
_NUMBERS = frozenset(f.name for f in fields(Config) if "float" in str(f.type) and "tuple" not in str(f.type))


def preset(name: str, method: str = "mocoop", **changes: Any) -> Config:
    """The `Config` of a preset ("recommended", "paper" or "official") of a method, with some fields changed.

    A number of epochs among the changes is kept to: `min_steps` is then 0 unless it is given too.
    """
    if name not in PRESETS:
        raise ConfigError(f"no preset is called {name!r}", f"choose {', '.join(PRESETS)}")
    if method not in METHODS:
        near = difflib.get_close_matches(method, METHODS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(METHODS)}"
        raise ConfigError(f"no method is called {method!r}", hint)
    if method not in PRESETS[name]:
        known = ", ".join(preset for preset, methods in PRESETS.items() if method in methods)
        raise ConfigError(f"the method {method} has no preset {name!r}", f"choose {known}")
    named = {"preset": name, "method": method, **PRESETS[name][method]}
    if changes.get("epochs") is not None:
        named["min_steps"] = 0  # so many epochs were asked for
    return Config.from_dict({**Config().to_dict(), **named, **changes})


def settings_by_name(settings: Sequence[str], named: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Settings from --set and from options of their own (`named`, None where not given). Raises UsageError."""
    changes = {name: value for name, value in (named or {}).items() if value is not None}
    for name in ("views", "top_k"):  # numbers or words
        if name in changes:
            changes[name] = setting_value(changes[name])
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise UsageError(f"--set {setting} sets nothing", "write --set NAME=VALUE")
        if name in ("preset", "method"):
            raise UsageError(f"--set {setting} would change the name only", f"write --{name} {text}")
        if name in changes:
            raise UsageError(f"{name} is given twice", "give each setting once")
        changes[name] = setting_value(text)
    return changes


def config_of(preset_name: str, method: str, changes: Mapping[str, Any]) -> Config:
    """A preset with some settings changed. Raises UsageError for settings that cannot be, as they were typed."""
    try:
        return preset(preset_name, method, **changes)
    except ConfigError as error:
        raise UsageError(error.message, error.hint) from error


def setting_value(text: str) -> Any:
    """A JSON value, or the text itself where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def setting_text(value: Any) -> str:
    """A value as `setting_value` reads it: words as they are, all else in JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def check_names(values: Iterable[str]) -> None:
    """Raises ConfigError for the first name that is no setting's."""
    known = [f.name for f in fields(Config)]
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
            raise ConfigError(f"no setting is called {key!r}", hint)


def _check(fits: bool, name: str, value: object, want: str) -> None:
    if not fits:
        raise ConfigError(f"{name} is {value!r}, which cannot be", f"it must be {want}")


def _is_int(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_number(value: object, *, above: float = -math.inf) -> bool:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    return math.isfinite(value) and value > above


def _is_pair(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(_is_number(number) for number in value)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _frozen(name: str, value: Any) -> Any:
    """Lists as tuples, and 8 as 8.0 where a setting takes any number: one setting has one value."""
    if isinstance(value, list):
        return tuple(value)
    if name not in _NUMBERS or not isinstance(value, int) or isinstance(value, bool):
        return value
    return float(value) if abs(value) < _TOO_LARGE else math.inf  # which no setting may be
