"""Things seen from above: FlightGear's three-dimensional models, looked down upon.

A model is an AC3D file (Inivis AC3D format, version b): a tree of objects with vertices in metres, y upwards, and
textured polygons. Every polygon is covered densely with points; a pixel shows the highest point that falls on it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]

_ROOT = Path("flightgear-data-base/usr/share/games/flightgear/Scenery/Models")
_LONGEST = 224  # pixels of a sprite's longer side
_FINEST = 0.08  # metres a pixel
_MAX_FACES = 30_000
_POINTS = 5.0  # on a pixel

# Kinds of things: folder and pattern of file names, then the lengths (metres) between which one is believed.
KINDS: dict[str, tuple[tuple[str, str, float, float], ...]] = {
    "airliner": (
        ("Aircraft", r"(?i)(7[3-8]7|A3[0-9]{2}|B7|crj|erj|embraer|atr|md-?[18]|dc-?\d|fokker|il-?\d|tu-?\d)", 18, 90),
    ),
    "light plane": (("Aircraft", r"(?i)(cessna|DR\d|D112|piper|pa-?\d|robin|citation|lear|beech|b1900)", 5, 22),),
    "car": (
        ("Transport", r"(?i)(camaro|hatchback|honda|bmw|jetta|passat|dodge|suv|sedan|taxi|policar|paramedic|car\d|"
                      r"golf|mazda|hummer|pickup|minibus|van)", 3, 7.5),
        ("Airport/Vehicle", r"(?i)(pickup|sprinter|followme|boxvan)", 3, 7.5),
    ),
    "truck": (
        ("Transport", r"(?i)(truck|trailer|bus|semi|lorry|coach)", 6, 22), ("Airport/Vehicle", r"fueltruck", 6, 20),
    ),
    "container": (("Transport", r"(?i)contain", 5, 45),),
    "train": (("Transport", r"(Class_66|coach|ICE3|metro-train|T153|flatcar|locomotive|brake-coach)", 10, 60),),
    "digger": (("Transport", r"(?i)(bulldozer|consdigger|consdump|consgrader|consroller|forklift)", 2, 15),),
    "boat": (
        ("Maritime/Civilian", r"(?i)(boat|yacht|sail|catamaran|trimaran|dhow|fishboat|lifeboat|pointed)", 3, 32),
    ),
    "ship": (
        ("Maritime/Civilian", r"(?i)(ship|ferry|freighter|tanker|trawler|barge|carier|Binnen|express|Scenic)", 28, 400),
        ("Maritime/Military", r".", 40, 400),
    ),
    "tank": (("Industrial", r"(?i)(StorageTank|HC-Tank|KOFF_Tank|Gas|Tank)", 5, 110), ("Power", r"TankFO", 20, 80)),
    "house": (
        ("Residential", r"(?i)(house|Hse|detached|SDB|SDH|maison|bungalow|H1|H2|villa|ad\d|Quadplex|farm)", 5, 32),
    ),
    "mobile home": (("Residential", r"(?i)caravan|HelgoVan", 4, 16),),
    "apartment": (
        ("Residential", r"(?i)(highrise|tower|immeuble|eurobuild|hr\d|hochhaus|apartment|tour|terrace)", 15, 160),
    ),
    "office": (("Commercial", r"(?i)(office|retail|skyscraper|building|hotel|tower|cinema|store|bank)", 12, 160),),
    "hall": (
        ("Industrial", r"(?i)(Industrial\d|hall|warehouse|factory)", 12, 320), ("Airport", r"(?i)hangar", 12, 120),
    ),
    "barn": (("Agriculture", r"(?i)(barn|farmhouse|Poly|silo|biogas)", 5, 150),),
    "turbine": (("Power", r"(?i)(windturbine|vestas|V126)", 10, 200),),
    "power plant": (("Power", r"(?i)(cooling|power_plant|thermosolar|Turbo|cell_cond)", 20, 400),),
    "transformer": (("Power", r"(?i)(trafo|transf|transformer)", 2, 120),),
    "tent": (("Sport", r"(?i)tent", 1, 30),),
    "stadium": (("Sport", r"(?i)stadium", 60, 400),),
    "pitch": (("Sport", r"(?i)(FootballCourt|terrain_de_foot)", 30, 160),),
    "tennis": (("Sport", r"(?i)tennis", 15, 90),),
    "gate": (("Airport/Jetway", r".", 5, 60),),
}  # fmt: skip


@dataclass(frozen=True)
class Sprite:
    """A thing from above: (H, W, 4) colours and cover, (H, W) heights in metres, and metres a pixel."""

    pixels: NDArray[np.uint8]
    heights: Floats
    scale: float

    @property
    def length(self) -> float:
        """Its longer side in metres."""
        return float(max(self.pixels.shape[:2]) * self.scale)


@dataclass
class _Object:
    texture: str | None = None
    repeat: tuple[float, float] = (1.0, 1.0)
    points: list[list[float]] = field(default_factory=list)
    faces: list[tuple[int, list[tuple[int, float, float]]]] = field(default_factory=list)  # material, corners


class Models:
    """The models of a folder of packages by kind; without a folder there are none."""

    def __init__(self, folder: Path | None) -> None:
        self._paths: dict[str, list[tuple[Path, float, float]]] = {}
        for kind, places in KINDS.items() if folder else ():
            assert folder is not None
            self._paths[kind] = [
                (path, low, high)
                for place, pattern, low, high in places
                for path in sorted((folder / _ROOT / place).glob("*.ac"))
                if re.search(pattern, path.stem)
            ]

    def kinds(self) -> list[str]:
        """The kinds that there are."""
        return [kind for kind, paths in self._paths.items() if paths]

    def paths(self, kind: str) -> list[Path]:
        """The files of a kind."""
        return [path for path, _, _ in self._paths.get(kind, [])]

    def sprite(self, kind: str, rng: np.random.Generator) -> Sprite | None:
        """A random thing of this kind, None where there is none."""
        paths = self._paths.get(kind, [])
        for place in rng.permutation(len(paths))[:12]:
            path, low, high = paths[int(place)]
            found = look_down(path)
            if found is None or (kind == "train" and min(found.pixels.shape[:2]) > 0.4 * max(found.pixels.shape[:2])):
                continue
            if low <= found.length <= high:
                return found
        return None


@cache
def look_down(path: Path) -> Sprite | None:
    """A model from above; None where the file cannot be read or shows nothing."""
    try:
        corners, colours, uv, textures = _triangles(path)
    except (OSError, ValueError, IndexError, StopIteration):
        return None
    if not len(corners):
        return None
    flat = corners[:, :, (0, 2)]
    low, high = flat.reshape(-1, 2).min(0), flat.reshape(-1, 2).max(0)
    span = float((high - low).max())
    if not 0.5 < span < 1000:
        return None
    scale = max(span / _LONGEST, _FINEST)
    width, height = (max(1, int(np.ceil(side / scale))) for side in (high - low))
    one, two = flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0]
    area = np.abs(one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]) / 2 / scale**2
    rng = np.random.default_rng(len(corners))
    of = np.repeat(np.arange(len(corners)), np.minimum(np.ceil(area * _POINTS), 400_000).astype(np.int64))
    a, b = rng.random((2, len(of)))
    a, b = np.where(a + b > 1, 1 - a, a), np.where(a + b > 1, 1 - b, b)
    weights: Floats = np.stack([1 - a - b, a, b], 1).astype(np.float32)
    points = (corners[of] * weights[:, :, None]).sum(1)
    at = ((points[:, (0, 2)] - low) / scale).astype(np.int64)
    index = np.clip(at[:, 1], 0, height - 1) * width + np.clip(at[:, 0], 0, width - 1)
    order = np.argsort(points[:, 1], kind="stable")  # the highest is written last
    texels = _texels((uv[of] * weights[:, :, None]).sum(1), of, textures) * colours[of]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    steep = np.abs(normal[:, 1]) / np.maximum(np.linalg.norm(normal, axis=1), 1e-9)
    texels[:, :3] *= (0.6 + 0.4 * steep[of])[:, None]
    shown = order[texels[order, 3] > 0.4]
    pixels, heights = np.zeros((height * width, 4), np.float32), np.zeros(height * width, np.float32)
    pixels[index[shown]] = texels[shown]
    pixels[index[shown], 3] = 1
    heights[index[shown]] = points[shown, 1] - min(0.0, float(np.median(corners[:, :, 1])))
    picture = (np.clip(pixels, 0, 1) * 255).astype(np.uint8).reshape(height, width, 4)
    return Sprite(picture, np.clip(heights, 0, 120).reshape(height, width), scale)


def _texels(uv: Floats, of: NDArray[np.int64], textures: list[NDArray[np.float32] | None]) -> Floats:
    """The textures' colours (P, 4) at points of triangles `of`."""
    found = np.ones((len(uv), 4), np.float32)
    kinds: dict[int, list[int]] = {}
    for place, texture in enumerate(textures):
        if texture is not None:
            kinds.setdefault(id(texture), []).append(place)
    for places in kinds.values():
        texture = textures[places[0]]
        assert texture is not None
        mine = np.zeros(len(textures), np.bool_)
        mine[places] = True
        chosen = mine[of]
        rows = ((1 - np.mod(uv[chosen, 1], 1)) * texture.shape[0]).astype(np.int64) % texture.shape[0]
        columns = (np.mod(uv[chosen, 0], 1) * texture.shape[1]).astype(np.int64) % texture.shape[1]
        found[chosen] = texture[rows, columns]
    return found


@lru_cache(maxsize=64)
def _texture(path: Path) -> NDArray[np.float32] | None:
    try:
        with Image.open(path) as image:
            small = image.convert("RGBA")
            small.thumbnail((512, 512))
    except (OSError, ValueError):
        return None
    found: NDArray[np.float32] = np.asarray(small, np.float32) / np.float32(255)
    return found


def _triangles(path: Path) -> tuple[Floats, Floats, Floats, list[NDArray[np.float32] | None]]:
    """Corners (T, 3, 3), colours (T, 4) and texture coordinates (T, 3, 2) of a model, and each triangle's texture."""
    materials, objects = _parsed(path)
    corners, colours, uvs, textures = [], [], [], []
    for one in objects:
        texture = _texture(path.parent / one.texture) if one.texture else None
        for material, face in one.faces:
            for place in range(1, len(face) - 1):
                three = (face[0], face[place], face[place + 1])
                corners.append([one.points[number] for number, _, _ in three])
                uvs.append([(u * one.repeat[0], v * one.repeat[1]) for _, u, v in three])
                colours.append(materials[material])
                textures.append(texture)
                if len(corners) > _MAX_FACES:
                    raise ValueError("too many faces")
    return (
        np.array(corners, np.float32).reshape(-1, 3, 3), np.array(colours, np.float32).reshape(-1, 4),
        np.array(uvs, np.float32).reshape(-1, 3, 2), textures,
    )  # fmt: skip


def _parsed(path: Path) -> tuple[list[tuple[float, ...]], list[_Object]]:
    """The materials and the objects, their points moved to where they stand.

    Raises OSError, ValueError, IndexError, StopIteration.
    """
    lines = iter(path.read_text("latin-1").splitlines())
    materials: list[tuple[float, ...]] = []
    objects: list[_Object] = []
    stack: list[tuple[int, NDArray[np.float64], NDArray[np.float64]]] = []  # kids to come, rotation, place
    one, rotation, place = _Object(), np.eye(3), np.zeros(3)
    for line in lines:
        word, _, rest = line.strip().partition(" ")
        if word == "MATERIAL":
            values = rest.rpartition('"')[2].split()
            materials.append((*(float(value) for value in values[1:4]), 1 - float(values[-1])))
        elif word == "OBJECT":
            one, rotation, place = _Object(), np.eye(3), np.zeros(3)
        elif word == "data":
            next(lines, "")
        elif word == "texture":
            one.texture = rest.strip().strip('"')
        elif word == "texrep":
            one.repeat = (float(rest.split()[0]), float(rest.split()[1]))
        elif word == "rot":
            rotation = np.array(rest.split(), np.float64).reshape(3, 3)
        elif word == "loc":
            place = np.array(rest.split(), np.float64)
        elif word == "numvert":
            one.points = [[float(value) for value in next(lines).split()[:3]] for _ in range(int(rest))]
        elif word == "SURF":
            one.faces.append((0, []))
        elif word == "mat":
            one.faces[-1] = (int(rest), [])
        elif word == "refs":
            for _ in range(int(rest)):
                number, u, v = next(lines).split()[:3]
                one.faces[-1][1].append((int(number), float(u), float(v)))
        elif word == "kids":
            whole, whole_place = (stack[-1][1], stack[-1][2]) if stack else (np.eye(3), np.zeros(3))
            whole_place = place @ whole + whole_place
            whole = rotation @ whole
            if one.points:
                one.points = (np.array(one.points) @ whole + whole_place).tolist()
                objects.append(one)
            stack = [*stack[:-1], (stack[-1][0] - 1, *stack[-1][1:])] if stack else []
            if int(rest):
                stack.append((int(rest), whole, whole_place))
            while stack and stack[-1][0] == 0:
                stack.pop()
    return materials, objects
