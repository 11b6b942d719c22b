"""What photoclip's text tower learns from: names of things, what they are kinds of, and sentences about them.

Names and kinds are WordNet's (Debian's package `wordnet-base`), of the synsets that timm lists for ImageNet-1k and
22k, and nouns that WordNet's own corpus uses. Sentences are the template bank's, wordings of our own and WordNet's
glosses.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import numpy as np

from mocoop.groupfile.templatetext import fill
from mocoop.photoclip import landnames
from mocoop.photoclip.looks import WORDINGS


def _split(text: str) -> list[str]:
    return text.split(";")


VISIBLE = frozenset((5, 6, 8, 13, 17, 18, 20))  # animals, artifacts, bodies, food, objects, people, plants

# Kinds that say nothing of how a thing looks.
_TOO_GENERAL = frozenset(
    _split(
        "entity;physical entity;object;whole;artifact;living thing;organism;abstraction;matter;causal agent;unit;thing;"
        "instrumentality;being;physical object;artefact;animate thing;cause;causal agency;attribute;group;grouping;"
        "psychological feature;relation;measure;event;process;instrumentation;part;piece;substance;way;abstract entity;"
        "domestic animal;content;cognition;state"
    )
)
_COLOURS = _split("red;blue;green;yellow;white;black;brown;grey;orange;pink;purple;golden;silver;dark;bright;colourful")
_QUALITIES = _split(
    "small;large;old;new;wooden;wild;young;broken;beautiful;wet;dry;tall;long;round;flat;empty;full;dense;sparse;"
    "tiny;huge;shiny;dirty;clean;modern;ancient;metal;stone;plastic;furry;tropical;frozen;rusty;sleeping;flying;toy"
)
_PLACES = _split(
    "forest;beach;street;desert;river;lake;mountain;kitchen;garden;field;city;village;sky;sea;park;farm;road;snow;"
    "grass;water;table;wall;house;room;harbor;airport;parking lot;bridge;meadow;island;valley;railway;stadium"
)
_RELATIONS = _split(
    "{a} in a {b};{a} on a {b};{a} near a {b};{a} and {b};{a} in front of a {b};{a} next to a {b};{b} with {a};"
    "{a} of a {b}"
)
_FORMS = _split(
    "{};a {};the {};{}.;a photo of a {}.;a picture of a {}.;an image of a {};this is a {};a photo of the {}.;one {};"
    "many {};a photo of many {}.;itap of a {}.;a close-up photo of a {}.;a photo of a large {}.;a photo of a small {}.;"
    "a good photo of a {}.;a bad photo of a {}.;a cropped photo of a {}.;a photo of one {}.;my {};a photo of my {}.;"
    "a photo of a nice {}.;a photo of a weird {}.;a photo of {}.;{} in the wild;{}, a type of thing;there is a {};"
    "an example of {};the look of {};a view of {};a scene of {};a type of {};part of a {};{} seen here"
)


@dataclass(frozen=True)
class Synset:
    """A meaning: its words, first the most common, the meanings that it is a kind of, and its gloss."""

    words: tuple[str, ...]
    kinds: tuple[str, ...]
    gloss: str
    field: int  # WordNet's lexicographer file: 5 animals, 6 artifacts, 13 food, ...


@dataclass(frozen=True)
class WordNet:
    """The noun synsets by ImageNet's ids (n01440764), and how often each noun was met."""

    synsets: dict[str, Synset]
    met: dict[str, int]
    first: dict[str, str]  # noun -> its most common meaning

    @classmethod
    def read(cls, folder: Path) -> WordNet:
        """Read data.noun, index.noun and cntlist.rev of a folder."""
        synsets = {}
        for line in (folder / "data.noun").read_text("utf-8").splitlines():
            if line.startswith(" "):
                continue
            facts, _, gloss = line.partition(" | ")
            parts = facts.split(" ")
            count = int(parts[3], 16)
            words = tuple(_plain(word) for word in parts[4 : 4 + 2 * count : 2])
            pointers = parts[5 + 2 * count :]
            kinds = tuple(
                f"n{pointers[at + 1]}" for at in range(0, len(pointers) - 3, 4) if pointers[at] in ("@", "@i")
            )
            synsets[f"n{parts[0]}"] = Synset(words, kinds, gloss.split(";")[0].strip(), int(parts[1]))
        met: dict[str, int] = {}
        for line in (folder / "cntlist.rev").read_text("utf-8").splitlines():
            sense, _, times = line.split(" ")
            word, _, rest = sense.partition("%")
            if rest.startswith("1:"):
                met[_plain(word)] = met.get(_plain(word), 0) + int(times)
        first = {}
        for line in (folder / "index.noun").read_text("utf-8").splitlines():
            if not line.startswith(" "):
                parts = line.split()
                first[_plain(parts[0])] = f"n{parts[-int(parts[2])]}"
        return cls(synsets, met, first)

    def kinds_of(self, wnid: str) -> list[str]:
        """Ids of all kinds above a meaning, nearest first, without those that say nothing."""
        found: list[str] = []
        layer = [wnid]
        while layer:
            layer = [kind for one in layer for kind in self.synsets[one].kinds]
            found += [kind for kind in layer if kind not in found]
        return [kind for kind in found if not _TOO_GENERAL.intersection(self.synsets[kind].words)]

    def thing(self, name: str) -> str | None:
        """The meaning of a name, or of its last words, if it is something that can be seen."""
        parts = name.split()
        for start in range(len(parts)):
            if (wnid := self.meaning_of(" ".join(parts[start:]))) and self.synsets[wnid].field in VISIBLE:
                return wnid
        return None

    def meaning_of(self, name: str) -> str | None:
        """The most common noun meaning of a name, if it has one."""
        return self.first.get(name) or self.first.get(name.removesuffix("s"))


def _plain(word: str) -> str:
    return re.sub(r"\([a-z]+\)$", "", word).replace("_", " ").lower()


@lru_cache(maxsize=1)
def imagenet() -> tuple[str, ...]:
    """The synset ids of ImageNet-1k, in the order of a classifier's outputs."""
    return _listed("imagenet_synsets.txt")


@lru_cache(maxsize=1)
def imagenet_22k() -> tuple[str, ...]:
    """The synset ids of ImageNet-22k."""
    return _listed("imagenet22k_synsets.txt")


def _listed(name: str) -> tuple[str, ...]:
    return tuple((files("timm") / "data" / "_info" / name).read_text("utf-8").split())


@lru_cache(maxsize=1)
def bank_templates() -> tuple[str, ...]:
    """All templates of the bank."""
    import json

    document = json.loads((files("mocoop.templates") / "template_bank.json").read_text("utf-8"))
    found: list[str] = []

    def walk(node: object) -> None:
        if isinstance(node, str):
            if "{}" in node:
                found.append(node)
        elif isinstance(node, dict):
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(document)
    return tuple(dict.fromkeys(found))


def names(net: WordNet) -> list[str]:
    """All names: of ImageNet-22k's synsets and their kinds, then nouns that were met in WordNet's corpus."""
    found: dict[str, None] = {}
    for wnid in (*imagenet(), *imagenet_22k()):
        if wnid in net.synsets:
            for one in (wnid, *net.kinds_of(wnid)):
                found.update(dict.fromkeys(net.synsets[one].words))
    found.update(dict.fromkeys(word for word in net.met if word.replace(" ", "").isalpha()))
    found.update(dict.fromkeys(_PLACES))
    found.update(dict.fromkeys(landnames.all_names()))
    return list(found)


@dataclass(frozen=True)
class Sentence:
    """A text, and the name that is its subject (None: it is only itself)."""

    text: str
    name: str | None


def sentences(net: WordNet, all_names: Sequence[str], count: int, rng: np.random.Generator) -> list[Sentence]:
    """Random sentences: seven tenths templates about a name, the rest compositions and glosses."""
    common = [word for word in all_names if net.met.get(word, 0) >= 3]
    things = [word for wnid in imagenet() if wnid in net.synsets for word in net.synsets[wnid].words[:2]]
    styled = [form for forms in WORDINGS.values() for form in forms]
    pools = (bank_templates(), _FORMS, styled)
    land = landnames.all_names()
    wnids = [wnid for wnid in imagenet_22k() if wnid in net.synsets]
    found = []
    for _ in range(count):
        draw = rng.random()
        name = _one((things, common, list(all_names))[rng.choice(3, p=(0.4, 0.3, 0.3))], rng)
        if rng.random() < 0.08:
            name = _one(land, rng)
        if draw < 0.7:
            template = _one(pools[rng.choice(3, p=(0.45, 0.25, 0.3))], rng)
            found.append(Sentence(fill(template, name), name))
        elif draw < 0.85:
            found.append(Sentence(_composed(name, _one(things, rng), rng), None))
        else:
            synset = net.synsets[_one(wnids, rng)]
            found.append(Sentence(synset.gloss[:120], None))
    return found


def _composed(name: str, other: str, rng: np.random.Generator) -> str:
    kind = rng.integers(4)
    if kind == 0:
        return f"{_one(_COLOURS, rng)} {name}"
    if kind == 1:
        return f"a {_one(_QUALITIES, rng)} {name}"
    if kind == 2:
        return _one(_RELATIONS, rng).format(a=name, b=_one(_PLACES, rng))
    return _one(_RELATIONS, rng).format(a=f"a {name}", b=other)


def _one(values: Sequence[str], rng: np.random.Generator) -> str:
    return values[int(rng.integers(len(values)))]
