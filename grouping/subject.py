"""What a domain's text says: which kind of picture ("dental x-rays"), of what thing ("weld inspection"), and where.

Plain rules for English noun phrases; no model and no network. What is not understood is left empty, and templates that
need it are left out, so that no sentence comes out broken.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from mocoop.grouping.fields import Medium, load_fields, spans

PHOTO = Medium("photo", (), True)
MAX_WORDS = 4
MAX_LENGTH = 40  # characters of a subject: longer ones make no caption
_PLACES = r"\b(in|on|at|under|inside|near)\b"
_CUTS = re.compile(r"\b(?:from|for|by|with|during|taken|using|over|through|after|before|between|via|to|as)\b")
_SCOPE = re.compile(r"\b[a-z]{3,12}scop(?:e|y|ic)\b")  # arthroscopy, borescope
_SOUNDS_LIKE_A_CONSONANT = re.compile(r"eu|ew|on(?:e\b|ce)|u(?:ni(?![ndm])|s[aeiu]|r[aeio]n|te|tili|biq|fo\b|av\b)")
_JOINS = re.compile(r"[,;/&+]|\b(?:and|or|vs|versus)\b")
_DETERMINERS = frozenset(
    {
        "a", "an", "the", "this", "these", "those", "my", "our", "your", "their", "his", "her", "its", "some", "many",
        "all", "various", "different", "several",
    }
)  # fmt: skip
_IRREGULAR = {
    "leaves": "leaf", "teeth": "tooth", "feet": "foot", "geese": "goose", "mice": "mouse", "children": "child",
    "people": "person", "men": "man", "women": "woman", "knives": "knife", "shelves": "shelf", "wolves": "wolf",
    "loaves": "loaf", "hooves": "hoof", "bacteria": "bacterium", "fungi": "fungus", "larvae": "larva", "nebulae":
    "nebula", "algae": "alga", "oxen": "ox", "dice": "die", "calves": "calf", "movies": "movie",
    "cookies": "cookie", "buses": "bus",
    "shoes": "shoe", "toes": "toe", "potatoes": "potato", "tomatoes": "tomato", "heroes": "hero", "axes": "axe",
}  # fmt: skip
_UNCHANGED = frozenset(
    {
        "series", "species", "news", "gas", "yes", "has", "was", "its", "lens", "glass", "brass", "canvas",
        "cactus", "virus", "fungus", "bus", "octopus", "iris", "chassis", "christmas", "basis", "mars",
        "venus", "atlas", "trousers", "jeans", "scissors", "glasses", "clothes", "electronics", "ceramics",
        "graphics", "athletics", "goods",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Subject:
    """The parts of a domain's text that templates take up; an empty part was not found.

    For "thermal images of warehouse parcels": medium "thermal image", noun and head "parcel", modifier "warehouse
    parcel", place "in the warehouse".
    """

    medium: Medium = PHOTO
    said: bool = False  # the text names its kind of picture, more closely than "photo" or "image"
    noun: str = ""  # the thing, in the singular
    head: str = ""  # its last word
    modifier: str = ""  # all that the text says of it, as it stands before another noun
    place: str = ""  # where, with its preposition
    aside: str = ""  # what follows a preposition: where, with what, for whom

    def fill(self, template: str) -> str | None:
        """The template with its marks filled; None if the text does not give what it needs."""
        parts = {"medium": self.medium.name, "noun": self.noun, "head": self.head, "place": self.place}
        parts["subject"] = self.modifier if not _repeats(self.modifier, self.medium.name) else ""
        for name, part in parts.items():
            if f"<{name}>" in template and not part:
                return None
            if part:
                template = re.sub(rf"\ba <{name}>", f"{article(part)} <{name}>", template)
            template = template.replace(f"<{name}>", part)
        return template

    def told(self) -> str:
        """The parts for people."""
        parts = [("thing", self.noun), ("picture", self.medium.name), ("where", self.place)]
        return ", ".join(f"{name} {part!r}" for name, part in parts if part)


def read_subject(domain: str) -> Subject:
    """The parts of a domain's text. Only words in Latin letters are read."""
    text = " ".join(re.findall(r"[^\s.!?:()\[\]{}\"<>|]+", domain.replace("_", " ").casefold()))
    medium, said, text = _medium(text)
    whole, (text, place) = text, _phrase(text)
    aside = whole.rpartition(f"{text} ")[2] if f"{text} " in whole and not whole.endswith(text) else ""
    if _JOINS.search(text):
        return Subject(medium, said, place=place, aside=aside)
    words = [word for word in text.split() if _is_latin(word) and word not in _DETERMINERS]
    if not words:
        return Subject(medium, said, place=place, aside=aside)
    words[-1] = singular(words[-1])
    modifier = _short(words)
    thing, own_place = _thing(words)
    noun = _short(thing)
    return Subject(medium, said, noun, noun.rpartition(" ")[2], modifier, place or own_place, aside)


def article(word: str) -> str:
    """a or an, by the sound of a word's beginning as far as its letters tell."""
    if _SOUNDS_LIKE_A_CONSONANT.match(word):
        return "a"
    return "an" if re.match(r"[aeiou]|x-?ray|mri\b|hour|honest|heir", word) else "a"


def singular(word: str) -> str:
    """An English noun in the singular."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word in _UNCHANGED or len(word) < 3 or word.endswith(("ss", "us", "is", "'s")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("sses", "ches", "shes", "xes", "zzes", "oes")) and not word.endswith(("shoes", "canoes")):
        return word[:-2]
    return word.removesuffix("s")


def _medium(text: str) -> tuple[Medium, bool, str]:
    """The kind of picture, whether it is a special one, and the text without the words that name one."""
    found: Medium | None = None
    for medium in load_fields().media:
        for word in sorted(medium.words, key=len, reverse=True):
            for start, end in reversed(spans(word, text)):
                text = f"{text[:start]} {text[end:]}"
                found = found or medium
    if found is None and (scope := _SCOPE.search(text)):
        found = Medium(f"{scope.group()} image", (), True)
        text = text.replace(scope.group(), " ")
    special = found is not None and found.name not in ("photo", "image", "camera image", "video frame", "scan")
    return found or PHOTO, special, " ".join(text.split())


def _phrase(text: str) -> tuple[str, str]:
    """The noun phrase that the text is about, and the place it names."""
    before, of, after = text.partition(" of ") if not text.startswith("of ") else ("", "of", text[3:])
    if of:
        text = before if _thing(before.split())[0] else after
    about, *rest = re.split(_PLACES, text, maxsplit=1)
    cut = _CUTS.split(about)
    about = next((part.strip() for part in cut if part.strip()), "")
    if not rest:
        return about, ""
    where = [word for word in _CUTS.split(rest[1])[0].split() if _is_latin(word)]
    if not where or len(where) > MAX_WORDS or _JOINS.search(rest[1]):
        return about, ""
    if where[0] not in _DETERMINERS and singular(where[-1]) == where[-1]:
        where = ["the", *where]
    return (about, " ".join([rest[0], *where])) if about else (" ".join(where), "")


def _thing(words: list[str]) -> tuple[list[str], str]:
    """The thing's own words, without those of the work done with it, and the place among them."""
    bank = load_fields()
    work = next((at for at, word in enumerate(words) if at and _is_done(word)), len(words))
    thing = told_words(words[:work]) or told_words(words)
    while thing and _is_work(thing[-1]):
        thing = thing[:-1]
    if not thing:
        return [], ""
    thing[-1] = singular(thing[-1])
    if thing[-1] in bank.places:
        where = words[: words.index(thing[-1]) + 1] if thing[-1] in words else thing
        where = [word for word in where if word not in _DETERMINERS]
        return [], " ".join([bank.places[thing[-1]], "the", *where])
    if _is_adjective(thing[-1]):
        return [], ""
    inside = [word for word in thing[:-1] if singular(word) in bank.places]
    kept = [word for word in thing if word not in inside]
    kept[-1:] = bank.aliases.get(kept[-1], kept[-1]).split()
    return kept, f"{bank.places[singular(inside[0])]} the {singular(inside[0])}" if inside else ""


def told_words(words: list[str]) -> list[str]:
    """Those of a text's words that say what is shown."""
    return [word for word in words if word not in load_fields().context and word not in _DETERMINERS]


def _is_work(word: str) -> bool:
    bank = load_fields()
    return _is_done(word) or bool(
        {word, singular(word)} & bank.context or (word.endswith(bank.context_endings) and word not in bank.ing_nouns)
    )


def _is_done(word: str) -> bool:
    """Whether a word names an activity: "riding", but not "painting"."""
    return word.endswith("ing") and len(word) > 4 and word not in load_fields().ing_nouns


def _is_adjective(word: str) -> bool:
    bank = load_fields()
    if word in bank.nouns_like_adjectives:
        return False
    return word in bank.adjectives or (len(word) > 4 and word.endswith(bank.adjective_endings))


def _is_latin(word: str) -> bool:
    letters = word.replace("-", "").replace("'", "")
    return letters.isalpha() and all("LATIN" in unicodedata.name(char, "") for char in letters)


def _short(words: list[str]) -> str:
    text = " ".join(words[-MAX_WORDS:])
    return text if len(text) <= MAX_LENGTH else ""


def _repeats(modifier: str, medium: str) -> bool:
    """Whether a modifier ends with the word that begins the kind of picture: "camera camera image"."""
    return bool(modifier) and modifier.split()[-1] == medium.split()[0]
