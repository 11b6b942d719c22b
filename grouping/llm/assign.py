"""`cluster --method llm`: a language model groups existing templates and names the groups (paper, section 2.5).

The model sees numbered templates and answers with numbers, so it can neither change nor invent one; an answer that
omits or repeats a template is rejected. For a large pool the model first names groups for all templates, which are
then assigned in batches. Locked groups and templates stay where they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from mocoop.errors import RemoteError, UsageError
from mocoop.groupfile.schema import MAX_GROUPS, MAX_TEMPLATES
from mocoop.grouping.generate import Generated, number_notices, slug
from mocoop.grouping.keep import Group, Kept, kept_of, text_of
from mocoop.grouping.llm.answers import Named, read_groups, read_names, read_places
from mocoop.grouping.llm.prompts import Prompt, groups_prompt, names_prompt, places_prompt
from mocoop.grouping.llm.session import Answer, Session
from mocoop.grouping.pool import Pool
from mocoop.grouping.provenance import with_step

ONE_ANSWER = 120  # up to this many templates are placed by a single answer
BATCH = 80  # templates per question, if there are more
MOST = 2000  # templates that the model can see at once when it names groups
FEWEST_GROUPS, MOST_GROUPS = 4, 12  # range if the number is left to the model


@dataclass(frozen=True)
class _Task:
    """What is to be grouped: templates as stored in their file, and what of that file is kept."""

    domain: str
    items: tuple[Any, ...]  # texts or objects with notes; sorted by text, so that order does not change the prompt
    kept: Kept
    asked: int | None  # groups in all

    @property
    def texts(self) -> list[str]:
        return [text_of(item) for item in self.items]

    @property
    def existing(self) -> list[Mapping[str, str]]:
        """Groups that are kept for their locked templates; the model may add templates to them."""
        return [
            _told(group["id"], group.get("title", ""), group.get("description", "")) for group in self.kept.anchored
        ]

    @property
    def ids(self) -> list[str]:
        return [group["id"] for group in self.kept.anchored]

    @property
    def most(self) -> int:
        """The maximum number of groups the model may make."""
        standing = len(self.kept.locked) + len(self.kept.anchored)
        return min(self.asked - standing if self.asked else MOST_GROUPS, MAX_GROUPS - standing)

    @property
    def wanted(self) -> str:
        """The number of groups in words."""
        if self.asked:
            return str(self.most) if not self.existing else f"at most {self.most} new"
        return f"{min(FEWEST_GROUPS, len(self.items))} to {min(self.most, len(self.items))}"


def group_by_model(pool: Pool, session: Session, *, groups: int | None = None) -> Generated:
    """Make a group file with every template of the pool once, in groups that the model made and named.

    Args:
        pool: the templates; locked groups and templates of their file stay where they are.
        session: the session with the model.
        groups: how many groups, locked ones included; None leaves it to the model, within 4 to 12.

    Raises:
        UsageError: too many templates, or an impossible number of groups.
        RemoteError: the model gave no grouping that keeps every template.
    """
    task = _task(pool, groups)
    answers, named = _grouped(task, session) if task.items else ([], ())
    made = _groups(task, named)
    document = _document(pool, made, answers, session)
    short = f"the model made {len(made)} groups, {groups - len(made)} fewer than asked for" if groups else ""
    notices = [
        *([short] if groups and len(made) < groups else []),
        *([notice] if (notice := task.kept.notice()) else []),
        *number_notices(None, len(made)),
        session.told(answers),
    ]
    return Generated(document, tuple(notices))


def plan(pool: Pool, session: Session, *, groups: int | None = None) -> list[tuple[Prompt, int]]:
    """The questions that `group_by_model` would ask, and how often each. Raises UsageError."""
    task = _task(pool, groups)
    if not task.items:
        return []
    if len(task.items) <= ONE_ANSWER:
        return [(_groups_prompt(task), 1)]
    first = _names_prompt(task)
    known = session.known(first, partial(read_names, existing=task.ids, most=task.most))
    named = known.value if known else [Named("group", "<a group the model names>", "<its description>", "")]
    return [(first, 1), *((prompt, 1) for prompt, _ in _places_prompts(task, named))]


def _task(pool: Pool, groups: int | None) -> _Task:
    kept = kept_of(pool.file)
    staying = set(kept.texts)
    items = _items(pool)
    free = tuple(sorted((item for item in items if text_of(item) not in staying), key=text_of))
    task = _Task(pool.domain, free, kept, groups)
    standing = len(kept.locked) + len(kept.anchored)
    if groups is not None and free and not standing < groups <= min(MAX_GROUPS, standing + max(len(free), 1)):
        hint = f"there are {len(free)} templates to group, and {standing} groups that stay; at most {MAX_GROUPS}"
        raise UsageError(f"{groups} groups cannot be", hint)
    if len(free) > MOST:
        hint = f"at most {MOST:,} can be shown to it; cluster by embeddings, or part the file"
        raise UsageError(f"{len(free):,} templates are too many for a language model", hint)
    return task


def _items(pool: Pool) -> list[Any]:
    """The templates as stored in their file, so that notes and origins are kept."""
    if pool.file is None:
        return list(pool.texts)
    return [item for group in pool.file.document["groups"] for item in group["templates"]]


def _grouped(task: _Task, session: Session) -> tuple[list[Answer[Any]], Sequence[Named]]:
    """The answers of the model, and the groups with their members."""
    if len(task.items) <= ONE_ANSWER:
        check = partial(read_groups, count=len(task.items), existing=task.ids, most=task.most)
        answer = session.ask(_groups_prompt(task), check)
        return [answer], answer.value
    first = session.ask(_names_prompt(task), partial(read_names, existing=task.ids, most=task.most))
    answers: list[Answer[Any]] = [first]
    members: dict[str, list[int]] = {}
    for prompt, numbers in _places_prompts(task, first.value):
        ids = [group["id"] for group in prompt.data["groups"]]
        placed = session.ask(prompt, partial(read_places, numbers=numbers, ids=ids))
        answers.append(placed)
        for number, name in placed.value.items():
            members.setdefault(name, []).append(number - 1)
    known = {group.id: group for group in first.value}
    blank = {name: Named(name, "", "", "") for name in task.ids}
    named = [
        Named(group.id, group.title, group.description, group.rationale, tuple(sorted(members[group.id])))
        for group in {**blank, **known}.values()
        if group.id in members
    ]
    return answers, named


def _groups_prompt(task: _Task) -> Prompt:
    return groups_prompt(task.domain, task.texts, task.wanted, task.existing)


def _names_prompt(task: _Task) -> Prompt:
    return names_prompt(task.domain, task.texts, task.wanted, task.existing)


def _places_prompts(task: _Task, named: Sequence[Named]) -> list[tuple[Prompt, range]]:
    """One prompt per batch, with the numbers of its templates, counted from 1."""
    new = [_told(group.id, group.title, group.description) for group in named if group.id not in task.ids]
    groups = [*task.existing, *new]
    starts = range(0, len(task.items), BATCH)
    batches = [(task.texts[start : start + BATCH], start + 1) for start in starts]
    return [
        (places_prompt(task.domain, texts, first, groups), range(first, first + len(texts))) for texts, first in batches
    ]


def _told(name: str, title: str, description: str) -> dict[str, str]:
    return {"id": name, "title": title, "description": description}


def _groups(task: _Task, named: Sequence[Named]) -> list[Group]:
    """The groups of the file: those with locked templates, then the model's; locked groups in their old position."""
    joined = {group.id: group for group in named if group.id in task.ids}
    anchored = [
        _without_metrics(group) | {"templates": [*group["templates"], *_members(task, joined.get(group["id"]))]}
        for group in task.kept.anchored
    ]
    taken = {*task.ids, *(group["id"] for _, group in task.kept.locked)}
    new = [_group(task, group, taken) for group in named if group.id not in task.ids]
    groups = [*anchored, *new]
    for place, group in task.kept.locked:
        groups.insert(place, group)
    for group in groups:
        if len(group["templates"]) > MAX_TEMPLATES:
            hint = f"ask for more --groups, or try another --model; a group holds at most {MAX_TEMPLATES} templates"
            raise RemoteError(f"the model put {len(group['templates'])} templates into the group {group['id']}", hint)
    return groups


def _without_metrics(group: Group) -> Group:
    """A group without metrics, which were measured on other members."""
    return {key: value for key, value in group.items() if key != "metrics"}


def _members(task: _Task, group: Named | None) -> list[Any]:
    return [task.items[member] for member in sorted(group.members)] if group else []


def _group(task: _Task, group: Named, taken: set[str]) -> Group:
    """A new group with a unique id, since it identifies the expert in a trained run."""
    numbers = (f"{group.id[:60]}_{number}" for number in range(2, 1000))
    name = group.id if group.id not in taken else next(free for free in numbers if free not in taken)
    taken.add(name)
    items = _members(task, group)
    words = {"title": group.title, "description": group.description, "rationale": group.rationale}
    told = {key: text for key, text in words.items() if text}
    return {"id": name, **told, "init": text_of(items[0]), "reviewed": False, "templates": items}


def _document(pool: Pool, groups: list[Group], answers: list[Answer[Any]], session: Session) -> dict[str, Any]:
    """The pool's file with the new groups and without the old metrics."""
    if pool.file is None:
        before = {"schema_version": 1, "name": slug(pool.domain), "domain": pool.domain, "groups": groups}
    else:
        kept = {key: value for key, value in pool.file.document.items() if key != "metrics"}
        before = {**kept, "domain": pool.domain, "groups": groups}
    calls = [answer.facts for answer in answers]
    facts = {**session.facts(answers), "algorithm": "language model", "n_groups": len(groups), "calls": calls}
    return with_step(before, "cluster", **facts)
