"""Group files from a language model: aspects of the domain first, then templates for each aspect.

Grouping is by construction, as in the bank. One group of plain wording comes from the bank. Each answer is cached
separately, so the same call gives the same bytes again, also offline. The model is called in `session`, with the
prompts of `prompts`.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from mocoop.groupfile.templatetext import folded
from mocoop.grouping.bank import load_bank
from mocoop.grouping.generate import Generated, Wanted, generate_from_bank, number_notices, slug
from mocoop.grouping.keep import Kept, texts_of
from mocoop.grouping.llm.answers import Aspect, one_line, read_aspects, read_templates
from mocoop.grouping.llm.prompts import Context, Prompt, aspects_prompt, templates_prompt
from mocoop.grouping.llm.session import Answer, Session
from mocoop.grouping.llm.sift import Sifted, diverse
from mocoop.grouping.provenance import with_step

SAMPLE = 12  # class names that are sent to the model
SPARE = 1.5  # templates requested per template kept


@dataclass(frozen=True)
class Brief:
    """The task for a model: the user's request, and what exists before the model is asked."""

    wanted: Wanted
    context: Context
    general: tuple[dict[str, Any], ...]  # plain groups from the bank, none or one
    opening: str | None  # starts the first group if no plain group does

    @property
    def kept(self) -> Kept:
        """What is kept of an earlier file."""
        return self.wanted.kept

    @property
    def anchors(self) -> tuple[Aspect, ...]:
        """Groups of the earlier file that are kept for their locked templates; new templates are added to them."""
        words = ("title", "rationale", "description")
        return tuple(Aspect(group["id"], *(group.get(word, "") for word in words)) for group in self.kept.anchored)

    @property
    def new(self) -> int:
        """The number of aspects to request from the model."""
        return max(self.wanted.count - len(self.general) - len(self.kept.locked) - len(self.kept.anchored), 0)

    @property
    def asked_each(self) -> int:
        """The number of templates to request per aspect."""
        return int(self.wanted.per_group * SPARE + 0.5)

    @property
    def known(self) -> tuple[str, ...]:
        """Titles of the groups that exist before the model is asked."""
        groups = (*self.general, *(group for _, group in self.kept.locked), *self.kept.anchored)
        return tuple(group.get("title") or group["id"] for group in groups)


def brief_of(wanted: Wanted) -> Brief:
    """The brief for a model. Raises UsageError for an invalid request, before anything is sent."""
    return Brief(
        wanted=wanted,
        context=Context(wanted.domain, wanted.kind, _sample(wanted.class_names, wanted.seed)),
        general=tuple(_general(wanted)) if wanted.include_general else (),
        opening=None if wanted.include_general else wanted.opening,
    )


def generate_from_model(brief: Brief, session: Session) -> Generated:
    """Generate groups with a model. Raises RemoteError; answers finished before it stay in the cache."""
    asked = []
    if brief.new:
        asked.append(session.ask(_aspects(brief), partial(read_aspects, count=brief.new)))
    aspects = _distinct([*brief.anchors, *(asked[0].value if asked else ())], brief)
    check = partial(read_templates, count=brief.wanted.per_group, class_names=brief.wanted.class_names)
    written = [session.ask(prompt, check) for prompt in _template_prompts(brief, aspects)]
    groups, dropped = _groups(brief, aspects, [answer.value for answer in written])
    wanted = brief.wanted
    woven = brief.kept.weave([*brief.general, *groups], count=wanted.count, per_group=wanted.per_group)
    document = _document(brief, woven, [*asked, *written], aspects, session)
    told = session.told([*asked, *written])
    notices = [*_notices(brief, aspects, woven, dropped, [answer.value for answer in written]), told]
    return Generated(document, tuple(notices))


def plan(brief: Brief, session: Session) -> list[tuple[Prompt, int]]:
    """The prompts that would be sent, and how often each; a cached answer already gives the aspects."""
    if not brief.new:
        return [(prompt, 1) for prompt in _template_prompts(brief, brief.anchors)]
    first = _aspects(brief)
    known = session.known(first, partial(read_aspects, count=brief.new))
    if known:
        aspects = _distinct([*brief.anchors, *known.value], brief)
        return [(first, 1), *((prompt, 1) for prompt in _template_prompts(brief, aspects))]
    unknown = Aspect("aspect", "<an aspect the model names>", "<its description>", "<the images it fits>")
    prompts = _template_prompts(brief, [*brief.anchors, unknown])
    return [(first, 1), *((prompt, 1) for prompt in prompts[:-1]), (prompts[-1], brief.new)]


def _aspects(brief: Brief) -> Prompt:
    return aspects_prompt(brief.context, brief.new, known=brief.known)


def _template_prompts(brief: Brief, aspects: Sequence[Aspect]) -> list[Prompt]:
    titles = list(dict.fromkeys([*brief.known, *(aspect.title for aspect in aspects)]))
    return [
        templates_prompt(
            brief.context,
            aspect.title,
            aspect.description,
            aspect.fits_when,
            brief.asked_each,
            [title for title in titles if title != aspect.title],
        )
        for aspect in aspects
    ]


def _distinct(aspects: Sequence[Aspect], brief: Brief) -> list[Aspect]:
    """The aspects with unique ids, which identify the experts in a trained run."""
    taken = {group["id"] for group in (*brief.general, *(group for _, group in brief.kept.locked))}
    distinct = []
    for aspect in aspects:
        numbers = (f"{aspect.id[:60]}_{number}" for number in range(2, 1000))
        free = aspect.id if aspect.id not in taken else next(name for name in numbers if name not in taken)
        taken.add(free)
        distinct.append(Aspect(free, aspect.title, aspect.description, aspect.fits_when))
    return distinct


def _groups(
    brief: Brief, aspects: Sequence[Aspect], written: Sequence[Sifted]
) -> tuple[list[dict[str, Any]], Counter[str]]:
    """One group per aspect, without near-identical templates in the file, and counts of what was dropped."""
    seen = {folded(text) for group in brief.general for text in texts_of(group)}
    groups: list[dict[str, Any]] = []
    dropped = Counter[str]()
    for aspect, sifted in zip(aspects, written, strict=True):
        dropped.update(sifted.dropped)
        allowed = [text for text in sifted.texts if brief.kept.allows(text)]
        fresh = [text for text in allowed if folded(text) not in seen]
        dropped["kept or taken out earlier"] += len(sifted.texts) - len(allowed)
        dropped["in another group already"] += len(allowed) - len(fresh)
        seen.update(map(folded, fresh))
        picked = diverse(fresh, brief.wanted.per_group)
        if picked:
            opening = brief.opening if not groups else None
            groups.append(_group(aspect, picked, opening, brief.wanted.per_group))
    return groups, dropped


def _group(aspect: Aspect, texts: Sequence[str], opening: str | None, per_group: int) -> dict[str, Any]:
    first = [{"text": opening, "origin": "bank"}] if opening and opening not in texts else []
    templates = [*first, *({"text": text, "origin": "llm"} for text in texts)][:per_group]
    words = {"title": aspect.title, "description": aspect.fits_when, "rationale": aspect.description}
    return {
        "id": aspect.id,
        **{name: text for name, text in words.items() if text},
        "init": templates[0]["text"],
        "reviewed": False,
        "templates": templates,
    }


def _general(wanted: Wanted) -> Iterator[dict[str, Any]]:
    """The bank's group of plain wording, unless a locked group has its id."""
    kept = Kept(excluded=wanted.kept.excluded, present=wanted.kept.present)
    plain = generate_from_bank(replace(wanted, groups=1, kept=kept)).document["groups"]
    locked = {group["id"] for _, group in wanted.kept.locked}
    for group in plain:
        if group["id"] not in locked:
            yield {**group, "templates": [{"text": text, "origin": "bank"} for text in texts_of(group)]}


def _sample(class_names: Sequence[str], seed: int) -> tuple[str, ...]:
    """A sample of the class names, in order, determined by the seed."""
    names = [name for name in (one_line(name, 60) for name in class_names) if name]
    if len(names) <= SAMPLE:
        return tuple(names)
    chosen = sorted(random.Random(seed).sample(range(len(names)), SAMPLE))
    return tuple(names[index] for index in chosen)


def _document(
    brief: Brief, groups: list[dict[str, Any]], answers: list[Answer[Any]], aspects: list[Aspect], session: Session
) -> dict[str, Any]:
    document = {
        "schema_version": 1,
        "name": slug(brief.context.domain),
        "domain": brief.context.domain,
        "class_kind": brief.context.class_kind,
        "groups": groups,
    }
    bank = {"bank": load_bank().name, "bank_version": load_bank().version} if brief.general else {}
    named = [None] * (len(answers) - len(aspects)) + [aspect.id for aspect in aspects]
    calls = [
        {**answer.facts, **({"group": group} if group else {})} for answer, group in zip(answers, named, strict=True)
    ]
    facts = {**session.facts(answers), "n_groups": len(groups), **bank, "calls": calls}
    return brief.kept.carry(with_step(document, "generate", **facts))


def _notices(
    brief: Brief,
    aspects: Sequence[Aspect],
    groups: Sequence[dict[str, Any]],
    dropped: Counter[str],
    written: Sequence[Sifted],
) -> Iterator[str]:
    lacking = brief.new + len(brief.anchors) - len(aspects)
    if lacking > 0:
        yield f"the model named {len(aspects)} aspects, {lacking} fewer than asked for"
    repaired = sum(sifted.repaired for sifted in written)
    if repaired:
        yield f"the slot was written in another way and mended in {repaired} template{'s' if repaired > 1 else ''}"
    lost = [f"{number} {reason}" for reason, number in sorted(dropped.items()) if number]
    if lost:
        yield f"dropped: {', '.join(lost)}"
    if brief.kept.notice():
        yield str(brief.kept.notice())
    yield from number_notices(None, len(groups))
