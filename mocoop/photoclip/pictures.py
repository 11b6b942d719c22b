"""The pictures that photoclip was trained on, as packages ship them, with their names.

No picture is in this repository. `--pictures` names a folder with the unpacked packages (docs/photoclip.md says which
and how they are fetched): Tux Paint's stamps (photographs and drawings of things, cut out), clip art of the Open Clip
Art Library, Microsoft's emoji as 3-D renderings, GCompris's photographs, and FlightGear's terrain textures (aerial
photographs).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from mocoop.photoclip import resources
from mocoop.photoclip.words import WordNet

_STAMPS = Path("tuxpaint-stamps-default/usr/share/tuxpaint/stamps")
_CLIP_ART = Path("openclipart-png/usr/share/openclipart/png")
_EMOJI = Path("fluent-emoji-3d/package/assets")
_PHOTOGRAPHS = Path("gcompris-qt-data/usr/share/gcompris-qt/rcc")
_TERRAIN = Path("flightgear-data-base/usr/share/games/flightgear/Textures/Terrain")

_CLIP_ART_FOLDERS = (
    "animals", "food", "plants", "buildings", "transportation/vehicles", "transportation/boating", "transportation",
    "tools", "recreation/music", "recreation/sports", "recreation/toys", "people", "computer/hardware", "electronics",
    "containers", "office", "education",
)  # fmt: skip
# Resources of GCompris with pictures that are called what they show; `lang` has drawings, the others photographs.
_PHOTOGRAPHED = ("categorization", "erase", "explore_farm_animals", "explore_world_animals", "lang")
_CALLED = {"solar": "solar panel"}  # what `solar8.webp` shows
_MAX_BYTES = 1_000_000  # larger clip art is a poster
_NO_THING = re.compile(
    r"\b(sign|symbol|button|arrow|square|mark|letter|keycap|flag|clock face|sparkle|circle|japanese|squared|"
    r"indicator|input|face with|hand|finger|heavy|curly|pointing|modifier|zodiac|script)\b"
)

# What FlightGear's terrain textures show: a pattern of file names, then names. First match wins.
TERRAIN: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"mask|relief|colors|overlay|unknown|void|light|noise|grain_texture|structure", ()),
    (r"suburb", ("suburb", "residential area", "houses", "medium residential area")),
    (r"slum", ("slum", "dense houses", "dense residential area")),
    (r"^city|_city|18th", ("city", "buildings", "dense residential area", "urban area", "rooftops")),
    (r"town", ("town", "residential area", "houses", "dense residential area")),
    (r"commercial", ("commercial area", "buildings", "urban area")),
    (r"industr", ("industrial area", "factory", "warehouse", "industrial buildings")),
    (r"port\.png|california-port", ("harbor", "port", "docks")),
    (r"transport", ("railway yard", "railroad tracks", "freight yard")),
    (r"carpark", ("parking lot", "car park", "cars")),
    (r"cemetery", ("cemetery", "graveyard")),
    (r"golf", ("golf course",)),
    (r"airport2?\.png", ("airfield", "grass")),
    (r"asphalt", ("asphalt", "runway", "road surface")),
    (r"orchard", ("orchard", "rows of trees")),
    (r"rice", ("rice paddy", "agricultural land")),
    (r"crop|countryside|uk_", ("farmland", "cropland", "agricultural land", "fields")),
    (r"rainforest", ("rainforest", "forest", "jungle")),
    (r"coniferous|evergreen", ("coniferous forest", "forest", "trees")),
    (r"deciduous|forest", ("forest", "woodland", "trees")),
    (r"shrub|scrub|heath|bush|cerrado|caatinga|savanna", ("chaparral", "shrubland", "scrub", "bushes")),
    (r"sand|dune", ("sand", "desert", "sand dunes")),
    (r"rock|cliff|lava", ("bare rock", "rocky ground")),
    (r"gravel|dirt|mud", ("bare soil", "dirt", "gravel")),
    (r"glacier|snow", ("snow", "glacier")),
    (r"packice", ("sea ice", "ice floes")),
    (r"marsh|tidal|pantanal|wash", ("marsh", "wetland", "swamp")),
    (r"tundra", ("tundra", "sparse vegetation")),
    (r"pasture|grass|pampas|greenspace", ("grassland", "meadow", "pasture")),
    (r"water", ("water", "lake", "sea")),
)


@dataclass(frozen=True)
class Picture:
    """A picture's file, what it is called (first the plainest), and whether it is a photo, a cartoon, a toy, ..."""

    path: Path
    names: tuple[str, ...]
    look: str
    source: str
    wnid: str | None = None  # its meaning, if WordNet has one
    part: str = ""  # its place within the file, if that is a resource

    def open(self) -> Image.Image:
        """The picture with its transparency. Raises OSError."""
        with Image.open(BytesIO(resources.read(self.path)[self.part]) if self.part else self.path) as image:
            found: Image.Image = image.convert("RGBA")
        return found


def things(folder: Path, net: WordNet) -> list[Picture]:
    """All pictures of things, cut out, in a fixed order."""
    return [
        *_stamps(folder / _STAMPS, net), *_clip_art(folder / _CLIP_ART, net), *_emoji(folder / _EMOJI, net),
        *_photographs(folder / _PHOTOGRAPHS, net),
    ]  # fmt: skip


def terrain(folder: Path) -> list[Picture]:
    """Aerial photographs of land, one texture each."""
    found = []
    for path in sorted((folder / _TERRAIN).glob("*.png")):
        names = next((names for pattern, names in TERRAIN if re.search(pattern, path.name)), ())
        if names:
            found.append(Picture(path, names, "above", "terrain"))
    return found


def _stamps(root: Path, net: WordNet) -> Iterator[Picture]:
    for path in sorted(root.rglob("*.png")):
        place = path.relative_to(root).parts
        text = path.with_suffix(".txt")
        if place[0] == "symbols" or "flags" in place or "roadsigns" in place or not text.is_file():
            continue
        first = text.read_text("utf-8").splitlines()[0]
        name = _name(first)
        if not name or (wnid := net.thing(name)) is None:
            continue
        picture = Picture(path, (name,), "photo", "stamps", wnid)
        yield replace(picture, look="cartoon") if "cartoon" in place or _is_flat(picture.open()) else picture


def _name(line: str) -> str | None:
    """ "A little rabbit." -> little rabbit; None for whole sentences."""
    line = re.sub(r"\(.*?\)|[—–,:].*", "", line).strip().rstrip(".!").lower()
    line = re.sub(r"^(an?|the|two|some|one|several) ", "", line).strip()
    return line if line and len(line.split()) <= 3 and re.fullmatch(r"[a-z' -]+", line) else None


def _clip_art(root: Path, net: WordNet) -> Iterator[Picture]:
    for path in sorted(root.rglob("*.png")):
        place = path.parent.relative_to(root).as_posix()
        if path.stat().st_size > _MAX_BYTES:
            continue
        if not place.startswith(_CLIP_ART_FOLDERS) or "archite" in path.name or "roadsigns" in place or "aiga" in place:
            continue
        parts = [part for part in re.split(r"[^a-z]+", path.stem.lower()) if part]
        for size, start in ((size, start) for size in (3, 2, 1) for start in range(min(2, len(parts)))):
            name = " ".join(parts[start : start + size])
            wnid = net.meaning_of(name)
            if wnid and len(name) > 2 and net.synsets[wnid].field in VISIBLE_CLIP_ART:
                yield Picture(path, (name,), "cartoon", "clip art", wnid)
                break


VISIBLE_CLIP_ART = frozenset((5, 6, 13, 18, 20))


def _emoji(root: Path, net: WordNet) -> Iterator[Picture]:
    for path in sorted(root.glob("*.webp")):
        points = [point for point in path.stem.split("-") if point != "fe0f"]
        name = unicodedata.name(chr(int(points[0], 16)), "").lower() if len(points) == 1 else ""
        name = re.sub(r"\b(face|smiling|black|white|emoji|with .*|and .*)\b", "", name).strip()
        if name and not _NO_THING.search(name) and (wnid := net.thing(name)):
            yield Picture(path, (name,), "toy", "emoji", wnid)


def _photographs(root: Path, net: WordNet) -> Iterator[Picture]:
    for path in (root / f"{name}.rcc" for name in _PHOTOGRAPHED):
        for part in sorted(resources.read(path) if path.is_file() else ()):
            stem = part.rpartition("/")[2].removesuffix(".webp")
            name = re.sub(r"([a-z])([A-Z])", r"\1 \2", re.sub(r"\d+$", "", stem)).replace("_", " ").lower()
            name = _CALLED.get(name, name)
            if not part.endswith(".webp") or "background" in name or (wnid := net.thing(name)) is None:
                continue
            yield Picture(path, (name,), "cartoon" if path.stem == "lang" else "photo", "gcompris", wnid, part)


def _is_flat(small: Image.Image) -> bool:
    """Whether a cut-out picture is drawn: few colours make most of it."""
    small.thumbnail((96, 96), Image.Resampling.NEAREST)
    pixels = np.asarray(small)
    opaque = pixels[pixels[..., 3] > 200][:, :3] // 16
    if not len(opaque):
        return True
    counts = np.sort(np.unique(opaque, axis=0, return_counts=True)[1])[::-1]
    return bool(counts[:12].sum() > 0.62 * len(opaque))


def cut_out(picture: Picture) -> Image.Image:
    """A picture with its transparency, at most 320 pixels a side, without empty edges."""
    found = picture.open()
    found.thumbnail((320, 320), Image.Resampling.LANCZOS)
    box = found.getchannel("A").point(lambda value: 255 * (value > 16)).getbbox()
    return found.crop(box) if box else found
