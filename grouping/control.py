"""Control files: the same mixture without its meaning, to test whether the groups help (Table 4 of the paper).

`random` redistributes the templates over groups of the same sizes; `shuffled-init` keeps the groups and starts each
expert from another member; `waffle` keeps the sizes and replaces descriptive words by random words and letters, after
WaffleCLIP (Roth et al. 2023, "Waffling around for performance"). Training on a control and on the file itself shows
how much the grouping, the init and the wording contribute.

A control depends only on the file and the seed and is the same on every machine: only Random.random() is used, whose
sequence Python guarantees.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mocoop.errors import UsageError
from mocoop.groupfile.groups import GroupFile
from mocoop.groupfile.rules import PLAIN_WORDS
from mocoop.groupfile.templatetext import folded
from mocoop.grouping.generate import slug
from mocoop.grouping.keep import text_of, texts_of
from mocoop.grouping.provenance import with_step

KINDS = ("random", "shuffled-init", "waffle")
MAX_SEED = 2**63 - 1
MOST_WORDS = 6  # random words in one sentence: at most 30 tokens with the frame, far below any tower's context length
_TRIES = 1000
_WITHOUT_ARTICLE = ("scene", "activity", "texture", "finding")
_LETTERS = "bcdfghjklmnpqrstvwxz"  # no vowels: never spells a word, helpful or offensive
# nouns that name nothing visible
_NOUNS = """
ability absence access account action address advance advice affair agenda agreement aim allowance amount analogy
answer appeal argument aspect attempt audit average axiom balance basis belief benefit bonus brief budget burden
cause caution chance choice claim clause comment concept concern consent context credit custom data deadline debate
decade decision default delay demand denial detail dialect dilemma discount doubt draft duty effect effort emphasis
entry episode equity era error essay estimate ethics event evidence example excuse exercise extent fact factor
favour fee fiction focus formula freedom future genre gist grammar guess habit hint honour hope hour idea ideal
idiom impact import income index influence inquiry insight instance intent interest interval invoice irony issue
item justice keyword knowledge lack language law lease legacy lesson liberty logic loyalty luck manner margin matter
maxim meaning measure memory merit method minimum minute mistake moment month moral motive myth need notion number
oath occasion offer opinion option order origin outcome output paradox passage patience pause pension percent period
phase phrase plea policy premise pretext price pride prior problem process profit promise proof prose proverb
purpose quality query question quota quote ratio reason refund regret remark rent reply request respect result
riddle right risk role rule rumour salary saying scope sector sense series session share skill source speech status
subject sum summary surplus syllable tax tenure term theme theory thought topic total trade trend trial trust truth
union unit update usage value verb verdict version view virtue vote wage week wisdom wish wonder word worth year
"""


@dataclass(frozen=True)
class Control:
    """A control's document, and notices for the user."""

    document: dict[str, Any]
    notices: tuple[str, ...]


def control_of(file: GroupFile, kind: str, seed: int = 0) -> Control:
    """Make a control of a group file.

    Args:
        file: the group file; it is not changed.
        kind: random, shuffled-init or waffle.
        seed: 0 or larger; another seed gives another control.

    Raises:
        UsageError: an unknown kind, a bad seed, or a file for which such a control could not differ from the file.
    """
    if kind not in KINDS:
        raise UsageError(f"no control is called {kind!r}", f"choose {', '.join(KINDS)}")
    if not 0 <= seed <= MAX_SEED:
        raise UsageError(f"the seed is {seed}", "a seed is a whole number from 0 on")
    dice = random.Random(seed)
    groups = [_unmarked(group) for group in file.document["groups"]]
    made = {"random": _dealt, "shuffled-init": _restarted, "waffle": _waffled}[kind](groups, file, dice)
    return Control(_document(file, made, kind, seed), tuple(_notices(file, kind)))


def _dealt(groups: list[dict[str, Any]], _file: GroupFile, dice: random.Random) -> list[dict[str, Any]]:
    """The templates shuffled into groups of the same sizes; the init keeps its position."""
    sizes = [len(group["templates"]) for group in groups]
    if len(groups) == 1 or max(sizes) == 1:
        why = "there is one group only" if len(groups) == 1 else "every group holds a single template"
        raise UsageError(
            f"{why}: no other grouping is possible", "shuffle a file with several groups, one of them larger"
        )
    pack = [item for group in groups for item in group["templates"]]
    before = _partition(_parts(pack, sizes))
    for _ in range(_TRIES):
        parts = _parts(_shuffled(pack, dice), sizes)
        if _partition(parts) != before:
            break
    return [
        {"id": f"random_{number}", "init": text_of(part[_init_place(group)]), "templates": part}
        for number, (group, part) in enumerate(zip(groups, parts, strict=True), start=1)
    ]


def _restarted(groups: list[dict[str, Any]], _file: GroupFile, dice: random.Random) -> list[dict[str, Any]]:
    """The same groups, each with another member as its init if it has one."""
    if all(len(group["templates"]) == 1 for group in groups):
        raise UsageError(
            "every group holds a single template: no other init is possible", "try --kind random or waffle"
        )
    return [{**group, "init": _other_init(group, dice)} for group in groups]


def _waffled(groups: list[dict[str, Any]], file: GroupFile, dice: random.Random) -> list[dict[str, Any]]:
    """Descriptive words replaced by random ones; a template that describes nothing is left unchanged."""
    texts = [text for group in groups for text in texts_of(group)]
    plain = {text for text in texts if _is_plain(text)}
    if len(plain) == len(texts):
        raise UsageError("every template is plain: there are no words to replace", "try --kind random")
    taken = {folded(text) for text in texts}
    made = []
    for number, group in enumerate(groups, start=1):
        items = [item if text_of(item) in plain else _noise(text_of(item), file.class_kind, taken, dice)
                 for item in group["templates"]]  # fmt: skip
        made.append({"id": f"waffle_{number}", "init": text_of(items[_init_place(group)]), "templates": items})
    return made


def _noise(text: str, kind: str, taken: set[str], dice: random.Random) -> dict[str, str]:
    """A new sentence with as many random words as the template has descriptive words."""
    count = min(sum(word not in PLAIN_WORDS for word in _words(text)), MOST_WORDS)
    slot = "{}" if kind in _WITHOUT_ARTICLE else "a {}"
    while True:
        said = " ".join(_random_word(dice) for _ in range(count))
        sentence = f"a photo of {slot}, which has {said}."
        if folded(sentence) not in taken:
            taken.add(folded(sentence))
            return {"text": sentence, "origin": "control"}


def _random_word(dice: random.Random) -> str:
    """A noun that names nothing visible or, with equal probability, a non-word of four to six letters."""
    if dice.random() < 0.5:
        return _pick(_NOUNS.split(), dice)
    return "".join(_pick(_LETTERS, dice) for _ in range(4 + int(dice.random() * 3)))


def _pick(choices: Sequence[str], dice: random.Random) -> str:
    return choices[int(dice.random() * len(choices))]


def _shuffled(items: list[Any], dice: random.Random) -> list[Any]:
    keys = [dice.random() for _ in items]
    return [item for _, item in sorted(zip(keys, items, strict=True), key=lambda pair: pair[0])]


def _parts(pack: list[Any], sizes: list[int]) -> list[list[Any]]:
    waiting = iter(pack)
    return [[next(waiting) for _ in range(size)] for size in sizes]


def _partition(parts: list[list[Any]]) -> frozenset[frozenset[str]]:
    """Which templates are grouped together, ignoring the order of groups and templates."""
    return frozenset(frozenset(map(text_of, part)) for part in parts)


def _init_place(group: dict[str, Any]) -> int:
    texts = texts_of(group)
    return texts.index(group.get("init", texts[0]))


def _other_init(group: dict[str, Any], dice: random.Random) -> str:
    texts = texts_of(group)
    others = [text for text in texts if text != group.get("init", texts[0])]
    return _pick(others, dice) if others else texts[0]


def _is_plain(text: str) -> bool:
    return set(_words(text)) <= PLAIN_WORDS


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _unmarked(group: dict[str, Any]) -> dict[str, Any]:
    """A group without locks, review marks and metrics, which refer to the original."""
    kept = {key: value for key, value in group.items() if key not in ("locked", "reviewed", "metrics")}
    return {**kept, "templates": [_unlocked(item) for item in group["templates"]]}


def _unlocked(item: Any) -> Any:
    return {key: value for key, value in item.items() if key != "locked"} if isinstance(item, dict) else item


_DESCRIPTIONS = {
    "random": "the templates of {source} dealt at random into groups of the same sizes",
    "shuffled-init": "the groups of {source}, each expert started from another member drawn at random",
    "waffle": "the groups of {source} with random words and letters for what the templates describe",
}


def _document(file: GroupFile, groups: list[dict[str, Any]], kind: str, seed: int) -> dict[str, Any]:
    source = file.name or slug(file.domain)
    new = {
        "name": slug(f"control-{kind}-{seed}-{source}"),
        "description": f"A control, for comparison only: {_DESCRIPTIONS[kind].format(source=source)} (seed {seed}).",
        "groups": groups,
    }
    kept = {key: value for key, value in file.document.items() if key not in ("metrics", "provenance")}
    ordered = {**{key: new.get(key, value) for key, value in kept.items()}, **new}
    earlier = {"provenance": file.document["provenance"]} if "provenance" in file.document else {}
    facts = {"backend": "control", "algorithm": kind, "seed": seed, "groups_sha256": file.sha256}
    return with_step({**ordered, **earlier}, "control", **facts)


def _notices(file: GroupFile, kind: str) -> Iterator[str]:
    yield f"a control for comparison, not for use: {_DESCRIPTIONS[kind].format(source='the file')}"
    single = sum(len(group.templates) == 1 for group in file.groups)
    if kind == "shuffled-init" and single:
        yield f"{single} of {len(file.groups)} groups hold a single template and keep their init"
    plain = sum(_is_plain(text) for group in file.groups for text in group.texts)
    if kind == "waffle" and plain:
        yield f"stays as it is, having nothing to replace: {plain} plain template{'s' if plain > 1 else ''}"
    if any(group.locked or any(one.locked for one in group.templates) for group in file.groups):
        yield "locks do not hold in a control, and are not in it"
    if "metrics" in file.document:
        yield "the metrics are left out: they were measured on the file itself"
