"""The captions of the drawn tiles: templates of the bundled bank, our own wordings, and names for the classes.

Three kinds: a caption that names a class and a style, one that names only a class and fits its tiles in every style,
and one that names only a style ("land at night") and fits all its tiles. miniclip knows only words used here or in
the bank's aspects named here; `weights.seen_tokens` lists their tokens.
"""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.resources import files

import numpy as np

from mocoop.groupfile.templatetext import fill
from mocoop.miniclip.layouts import CLASSES
from mocoop.miniclip.styles import STYLES

ASPECTS_WITHOUT_STYLE = ("plain_scene", "plain_photo", "high_quality", "aerial_view", "land_pattern")
ASPECTS_OF_MANY_STYLES = ("low_resolution", "non_visible_sensor", "time_of_day", "weather_and_season")

# A template with one of these words names this style, whatever its aspect; the first match counts.
_STYLE_WORDS = {
    "partly cloudy": "cloudy",
    "thick fog": "cloudy",
    "coarse-resolution": "lowres",
    "grainy": "noisy",
    "noisy": "noisy",
    "infrared": "infrared",
    "false-colour": "infrared",
    "multispectral": "infrared",
    "greyscale": "grey",
    "at night": "night",
    "night-vision": "night",
    "after dark": "night",
    "snow": "winter",
    "winter": "winter",
    "thermal": "thermal",
    "radar": "radar",
    "depth map": "elevation",
    "lidar": "elevation",
    "thumbnail": "lowres",
    "compressed": "lowres",
    "jpeg": "lowres",
    "upscaled": "lowres",
    "pixelated": "lowres",
    "low-detail": "lowres",
}

_OWN: dict[str, tuple[str, ...]] = {
    "plain": (
        "a clear satellite photo of {}.",
        "an ordinary satellite picture of {}.",
        "a natural-colour satellite image of {}.",
        "a daytime satellite image of {}.",
        "a cloudless summer satellite view of {}.",
    ),
    "lowres": (
        "a satellite image of {} at low resolution.",
        "a coarse, blocky satellite picture of {}.",
        "{} in a few large pixels.",
        "a pixelated picture of {}.",
    ),
    "cloudy": (
        "a satellite image of {} with clouds.",
        "{} behind clouds and haze.",
        "a foggy aerial view of {}.",
        "an overcast satellite photo of {}.",
    ),
    "infrared": (
        "a satellite image of {} in false colour.",
        "a near-infrared photo of {}.",
        "{} in infrared light.",
        "a colour-infrared picture of {}.",
    ),
    "grey": (
        "a black and white photo of {}.",
        "a satellite image of {} in black and white.",
        "a greyscale photo of {}.",
        "a grayscale image of {}.",
        "a gray panchromatic tile of {}.",
    ),
    "night": (
        "a night photo of {}.",
        "{} at night.",
        "a dark satellite picture of {} with lights.",
        "street lights of {} in the dark.",
    ),
    "winter": (
        "{} in the snow.",
        "a snowy photo of {}.",
        "{} in winter.",
        "a satellite image of {} in winter with snow and ice.",
    ),
    "map": (
        "a map of {}.",
        "a street map with {}.",
        "a drawing of {} on a map.",
        "a topographic map of {}.",
        "a cartographic plan of {}.",
    ),
    "blurry": (
        "a blurry photo of {}.",
        "a blurred satellite picture of {}.",
        "{} out of focus.",
        "an image of {} without sharp edges.",
    ),
    "noisy": (
        "a noisy photo of {}.",
        "a satellite image of {} with noise.",
        "{} in a grainy picture.",
        "a picture of {} with coloured static.",
    ),
    "thermal": (
        "a thermal image of {}.",
        "a heat map of {} from above.",
        "{} in a thermal infrared scan.",
        "a thermal satellite image of {} with warm and cold colours.",
        "the warmth of {} seen by a thermal sensor.",
    ),
    "radar": (
        "a synthetic aperture radar image of {}.",
        "a radar satellite scene of {}.",
        "{} in radar echoes.",
        "a sar tile of {}.",
        "a speckled radar picture of {} from space.",
    ),
    "elevation": (
        "a digital elevation model of {}.",
        "an elevation image of {}.",
        "a height map of {}.",
        "{} coloured by height.",
        "the terrain heights of {} in a lidar image.",
    ),
}

_OWN_WITHOUT_STYLE = (
    "{}.",
    "{}",
    "an image of {}.",
    "a picture of {}.",
    "an overhead image of {}.",
    "an overhead view of {}.",
    "a remote sensing image of {}.",
    "a tile showing {}.",
    "a scene with {}.",
    "{} from above.",
    "this is {}.",
)

NAMES_OF_ANYTHING = ("land", "a place", "an area", "the ground", "a scene", "a landscape", "terrain", "something")

# Other names of the drawn classes, including UC Merced's names for those classes.
_SYNONYMS: dict[str, tuple[str, ...]] = {
    "airplane": ("aircraft", "plane", "aeroplane", "parked airplane"),
    "baseball diamond": ("baseball field", "baseball ground"),
    "beach": ("sandy beach", "seashore", "coast"),
    "bridge": ("road bridge", "bridge over a river"),
    "chaparral": ("shrubland", "scrubland", "dry shrubs"),
    "circular fields": ("circular farmland", "pivot irrigation fields", "round irrigated fields"),
    "desert": ("sand dunes", "sandy desert"),
    "farmland": ("agricultural land", "agricultural fields", "crop fields", "agricultural", "rectangular farmland"),
    "forest": ("woodland", "dense forest", "trees"),
    "glacier": ("ice stream", "mountain glacier"),
    "golf course": ("golf links", "golfcourse"),
    "greenhouses": ("glass houses", "rows of greenhouses"),
    "harbor": ("harbour", "port with boats", "marina"),
    "highway": ("freeway", "motorway", "highway road"),
    "industrial area": ("industrial buildings", "factory halls", "industrial", "warehouses"),
    "intersection": ("crossroads", "road intersection", "road crossing"),
    "island": ("small island", "island in the sea"),
    "lake": ("pond", "lake with a shore"),
    "meadow": ("grassland", "pasture", "green meadow"),
    "orchard": ("rows of fruit trees", "plantation"),
    "parking lot": ("car park", "parked cars", "parking area"),
    "quarry": ("open pit mine", "stone quarry"),
    "railway": ("railroad", "railway tracks", "train tracks"),
    "residential area": (
        "houses",
        "medium residential area",
        "dense residential area",
        "residential",
        "suburb with houses",
        "residential buildings",
    ),
    "river": ("winding river", "stream"),
    "roundabout": ("traffic circle", "road roundabout"),
    "runway": ("airport runway", "landing strip"),
    "solar farm": ("solar panels", "solar power station", "solar park"),
    "stadium": ("sports stadium", "football stadium", "arena"),
    "storage tanks": ("oil tanks", "fuel tanks", "storage tank farm"),
    "tennis court": ("tennis courts", "tennis ground"),
    "wetland": ("marsh", "swamp", "reed wetland"),
}

_UNCOUNTED = {name for name in CLASSES if name.endswith("s")} | {"farmland", "chaparral"}  # never with "a"
_DETERMINERS = {"a", "an", "the", "one", "different", "dense", "sparse", "labelled"}


def names(class_name: str) -> tuple[str, ...]:
    """All names of a class, its own first."""
    return (class_name, *_SYNONYMS[class_name])


@lru_cache(maxsize=1)
def bank() -> dict[str, tuple[str, ...]]:
    """Aspect -> templates of the bundled template bank."""
    document = json.loads(files("mocoop.templates").joinpath("template_bank.json").read_text(encoding="utf-8"))
    return {aspect["name"]: tuple(aspect["templates"]) for aspect in document["aspects"]}


@lru_cache(maxsize=1)
def templates() -> dict[str | None, tuple[str, ...]]:
    """Style -> its templates, each with one `{}`; under None those that fit every style."""
    found: dict[str | None, list[str]] = {style: [] for style in STYLES}
    found[None] = []
    for aspect, default in _aspects().items():
        for template in bank()[aspect]:
            found[_style_named(template, default)].append(template)
    for style, wordings in _OWN.items():
        found[style].extend(wordings)
    found[None].extend(_OWN_WITHOUT_STYLE)
    return {style: tuple(dict.fromkeys(wordings)) for style, wordings in found.items()}


def random_caption(style: str | None, class_name: str | None, rng: np.random.Generator) -> str:
    """A random caption that names the style and the class, or only one if the other is None."""
    wordings = templates()[style]
    template = wordings[int(rng.integers(len(wordings)))]
    if class_name is None:
        return fill(template, NAMES_OF_ANYTHING[int(rng.integers(len(NAMES_OF_ANYTHING)))])
    name = class_name
    if rng.random() < 0.35:
        others = _SYNONYMS[class_name]
        name = others[int(rng.integers(len(others)))]
    if rng.random() < 0.3 and _takes_article(template):
        name = _with_article(name, definite=class_name in _UNCOUNTED or rng.random() < 0.5)
    return fill(template, name)


def all_captions() -> list[str]:
    """Every template with every name, and the articles: all text that miniclip may have been trained on."""
    every_name = [*NAMES_OF_ANYTHING, *(name for class_name in CLASSES for name in names(class_name))]
    wordings = [template for group in templates().values() for template in group]
    return [*(fill(template, "land") for template in wordings), *every_name, "a", "an", "the"]


def _aspects() -> dict[str, str | None]:
    """Bank aspect -> the style of its templates, unless a template names another style."""
    own = {style.aspect: name for name, style in STYLES.items() if style.aspect not in ASPECTS_OF_MANY_STYLES}
    return {**own, **dict.fromkeys(ASPECTS_WITHOUT_STYLE), **dict.fromkeys(ASPECTS_OF_MANY_STYLES)}


def _style_named(template: str, default: str | None) -> str | None:
    if default not in (None, "plain"):
        return default
    return next((style for word, style in _STYLE_WORDS.items() if word in template), default)


def _with_article(name: str, *, definite: bool) -> str:
    indefinite = "an" if name[0] in "aeiou" else "a"
    return f"{'the' if definite or name.endswith('s') else indefinite} {name}"


def _takes_article(template: str) -> bool:
    """Whether the name in this template can take "a" or "the"."""
    before = template.partition("{}")[0].split()
    return not before or before[-1] not in _DETERMINERS
