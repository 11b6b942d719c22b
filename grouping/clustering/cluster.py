"""Clustering a pool of templates by meaning into a group file that holds every template once.

A pure function of the pool, its vectors and the options; the order of the pool does not matter. Locked parts of an
earlier file are kept (`keep.py`). Vectors are clustered in `partition.py` and computed in `embed.py`; grouping by a
language model is in `assign.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from mocoop.errors import UsageError
from mocoop.groupfile.rules import content_hash
from mocoop.groupfile.schema import MAX_GROUPS, MAX_TEMPLATES
from mocoop.grouping.clustering import partition
from mocoop.grouping.clustering.embed import LEXICAL, Embedding
from mocoop.grouping.clustering.naming import names_of
from mocoop.grouping.clustering.partition import METHODS, Tried
from mocoop.grouping.generate import KINDS, number_notices, slug
from mocoop.grouping.keep import Group, Kept, kept_of, text_of, texts_of
from mocoop.grouping.measuring.measures import silhouettes
from mocoop.grouping.pool import Pool
from mocoop.grouping.provenance import with_step

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Labels = NDArray[np.int64]

MOST_RESTARTS = 200
_DIGITS = 4  # decimals of figures in the file: further ones differ between machines


@dataclass(frozen=True)
class Clustering:
    """Clustering options; `groups` includes locked ones, None takes the most stable number."""

    groups: int | None = None
    method: str = METHODS[0]
    seed: int = 0
    restarts: int = partition.RESTARTS
    min_size: int = 1
    class_kind: str | None = None


@dataclass(frozen=True)
class Clustered:
    """A group file's document, the numbers of groups that were tried, and notices for the user."""

    document: dict[str, Any]
    tried: tuple[Tried, ...]
    notices: tuple[str, ...]


@dataclass(frozen=True)
class _Task:
    """The templates in sorted order, and their vectors. L locked groups, T templates."""

    texts: tuple[str, ...]  # sorted
    items: dict[str, Any]  # as stored in their file
    space: Array  # (T, D), in the order of `texts`
    fixed: Labels  # (T,) index of the locked group that a template stays in; -1 if it is free
    kept: Kept

    @property
    def free(self) -> NDArray[np.bool_]:
        """Which templates are to be grouped."""
        return self.fixed < 0

    @property
    def standing(self) -> int:
        """The number of locked groups."""
        return len(self.kept.locked)


def cluster_pool(pool: Pool, embedding: Embedding, how: Clustering | None = None) -> Clustered:
    """Cluster a pool's templates; no template is dropped or merged, and locks are respected.

    Args:
        pool: the templates, in any order.
        embedding: their vectors, in the pool's order.
        how: method, number of groups, seed.

    Raises:
        UsageError: an impossible number of groups, an unknown method or class kind, or a group that became too large.
    """
    from threadpoolctl import threadpool_limits

    how = how or Clustering()
    task = _task(pool, embedding)
    _check(how, task)
    with threadpool_limits(1, "blas"):  # for such small products, threads mostly wait for each other
        tried = _tried(task, how)
        count = how.groups if how.groups is not None else partition.choose(tried) if tried else task.standing
        labels = _labels(task, count, how)
    groups = _groups(task, labels, pool)
    taken = next((one for one in tried if one.groups == count), None)
    metrics = _metrics(task, labels, groups, embedding, taken, tried)
    document = _document(pool, groups, metrics, embedding, how)
    return Clustered(document, tried, tuple(_notices(how, len(groups), task.kept, embedding)))


def _task(pool: Pool, embedding: Embedding) -> _Task:
    import numpy as np

    kept = kept_of(pool.file)
    order = sorted(range(len(pool.texts)), key=pool.texts.__getitem__)
    texts = tuple(pool.texts[place] for place in order)
    home = {text: number for number, (_, group) in enumerate(kept.locked) for text in texts_of(group)}
    stored = (
        [] if pool.file is None else [item for group in pool.file.document["groups"] for item in group["templates"]]
    )
    items = {text_of(item): item for item in stored}
    fixed = np.array([home.get(text, -1) for text in texts], dtype=np.int64)
    return _Task(texts, items, embedding.space[order], fixed, kept)


def _check(how: Clustering, task: _Task) -> None:
    """Raises UsageError for invalid options."""
    if how.method not in METHODS:
        raise UsageError(f"no method is called {how.method!r}", f"choose {' or '.join(METHODS)}")
    if how.class_kind is not None and how.class_kind not in KINDS:
        raise UsageError(f"no class kind is called {how.class_kind!r}", f"choose {', '.join(KINDS)}")
    if not 1 <= how.restarts <= MOST_RESTARTS or how.min_size < 1:
        raise UsageError(
            f"{how.restarts} restarts and groups of at least {how.min_size} cannot be",
            f"give 1 to {MOST_RESTARTS} restarts, and a size of 1 or more",
        )
    free = int(task.free.sum())
    fewest = task.standing + max(len(task.kept.anchored), 1 if free else 0)
    most = min(MAX_GROUPS, task.standing + free)
    if how.groups is not None and not fewest <= how.groups <= most:
        stay = f", {task.standing} groups are locked" if task.standing else ""
        hint = f"there are {free} templates to group{stay}: ask for {fewest} to {most}"
        raise UsageError(f"{how.groups} groups cannot be made here", hint)


def _tried(task: _Task, how: Clustering) -> tuple[Tried, ...]:
    """The figures for each feasible number of groups."""
    free, asked = task.space[task.free], how.groups
    if not len(free):
        return ()
    numbers = partition.numbers_to_try(len(free), None if asked is None else asked - task.standing)
    fewest = max(len(task.kept.anchored), 1)
    within = sorted({min(number, MAX_GROUPS - task.standing) for number in numbers})
    return tuple(_one(task, number, how) for number in within if number >= fewest) or (_one(task, fewest, how),)


def _one(task: _Task, count: int, how: Clustering) -> Tried:
    import numpy as np

    labels = _labels(task, count + task.standing, how)
    sizes = np.bincount(labels)
    stable, error = partition.stability(task.space[task.free], count, how.method, seed=how.seed, runs=how.restarts)
    return Tried(
        groups=count + task.standing,
        silhouette=_silhouette(task, labels),
        stability=round(stable, _DIGITS),
        error=round(error, _DIGITS),
        smallest=int(sizes.min()),
        largest=int(sizes.max()),
    )


def _silhouette(task: _Task, labels: Labels) -> float | None:
    if len(set(labels.tolist())) < 2:
        return None
    return round(float(silhouettes(task.space, labels).mean()), _DIGITS)


def _labels(task: _Task, count: int, how: Clustering) -> Labels:
    """A group index for every template: locked groups first, then those with locked templates, then the others."""
    import numpy as np

    labels = task.fixed.copy()
    free = task.space[task.free]
    if len(free):
        found = partition.partition(free, count - task.standing, how.method, seed=how.seed, restarts=how.restarts)
        found = partition.merged_small(free, found, how.min_size)
        labels[task.free] = task.standing + _anchored(task, found)
    return np.asarray(labels, dtype=np.int64)


def _anchored(task: _Task, labels: Labels) -> Labels:
    """The labels of the free templates, renumbered so that the file's groups with locked templates come first.

    Each of these takes over the cluster nearest to its locked templates, one-to-one; then its locked templates move
    there, wherever they had been placed.
    """
    anchors = task.kept.anchored
    if not anchors:
        return labels
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    texts = [text for text, free in zip(task.texts, task.free, strict=True) if free]
    space = task.space[task.free]
    places = [[texts.index(text) for text in texts_of(group)] for group in anchors]
    means = np.stack([space[labels == label].mean(axis=0) for label in range(int(labels.max()) + 1)])
    nearness = np.stack([(space[rows] @ means.T).mean(axis=0) for rows in places])  # (anchors, groups)
    rows, columns = linear_sum_assignment(-nearness.round(9))
    order = {int(column): int(row) for row, column in zip(rows, columns, strict=True)}
    rest = [label for label in range(len(means)) if label not in order]
    order |= {label: len(anchors) + number for number, label in enumerate(rest)}
    moved = np.array([order[int(label)] for label in labels], dtype=np.int64)
    for anchor, members in enumerate(places):
        moved[members] = anchor
    kept_numbers = np.unique([*range(len(anchors)), *moved.tolist()])  # drops groups that lost all their templates
    return np.searchsorted(kept_numbers, moved).astype(np.int64)


def _groups(task: _Task, labels: Labels, pool: Pool) -> list[Group]:
    """The groups of the file: largest first, locked ones in their old position."""
    members = [_nearest_first(task, labels, label) for label in range(task.standing, int(labels.max()) + 1)]
    anchors = len(task.kept.anchored)
    joined = [_joined(task, group, texts) for group, texts in zip(task.kept.anchored, members[:anchors], strict=True)]
    taken = [group["id"] for group in (*(group for _, group in task.kept.locked), *joined)]
    groups = [*joined, *_named(task, members[anchors:], taken, pool)]
    groups.sort(key=lambda group: (-len(group["templates"]), texts_of(group)[0]))
    for place, group in task.kept.locked:
        groups.insert(place, group)
    for group in groups:
        if len(group["templates"]) > MAX_TEMPLATES:
            told = f"a group of {len(group['templates'])} templates would come of it"
            raise UsageError(told, f"a group holds at most {MAX_TEMPLATES}: ask for more with --groups")
    return groups


def _nearest_first(task: _Task, labels: Labels, label: int) -> list[str]:
    """A group's templates, nearest to its centre first: the first represents the group best and starts the expert."""
    import numpy as np

    rows = np.flatnonzero(labels == label)
    near = (task.space[rows] @ task.space[rows].mean(axis=0)).round(9)
    return [task.texts[rows[place]] for place in np.argsort(-near, kind="stable")]


def _joined(task: _Task, anchor: Group, texts: Sequence[str]) -> Group:
    """A group of the file, its locked templates first, then the templates clustered with them."""
    stay = set(texts_of(anchor))
    new = [task.items.get(text, text) for text in texts if text not in stay]
    return {key: value for key, value in anchor.items() if key != "metrics"} | {
        "templates": [*anchor["templates"], *new]
    }


def _named(task: _Task, members: Sequence[Sequence[str]], taken: Sequence[str], pool: Pool) -> Iterator[Group]:
    """New groups with new names; a group with the same templates as one in the file keeps its name and notes."""
    earlier = {} if pool.file is None else {frozenset(texts_of(group)): group for group in pool.file.document["groups"]}
    same = [earlier.get(frozenset(texts)) for texts in members]
    known = [*taken, *(group["id"] for group in same if group)]
    unnamed = [texts for texts, group in zip(members, same, strict=True) if group is None]
    names = iter(names_of(unnamed, known))
    for texts, group in zip(members, same, strict=True):
        if group is not None:
            yield {key: value for key, value in group.items() if key != "metrics"}
            continue
        id_, title = next(names)
        yield {"id": id_, "title": title, "init": texts[0], "templates": [task.items.get(text, text) for text in texts]}


def _metrics(
    task: _Task,
    labels: Labels,
    groups: Sequence[Group],
    embedding: Embedding,
    taken: Tried | None,
    tried: Sequence[Tried],
) -> dict[str, Any]:
    figures = [{key: value for key, value in asdict(one).items() if key != "error"} for one in tried]
    return {
        "embedder": embedding.name,
        "templates_sha256": content_hash([texts_of(group) for group in groups]),
        "silhouette": _silhouette(task, labels),
        "stability": taken.stability if taken else None,
        "k_tried": figures,
    }


def _document(
    pool: Pool, groups: list[Group], metrics: dict[str, Any], embedding: Embedding, how: Clustering
) -> dict[str, Any]:
    """The pool's file with the new groups and their metrics."""
    start = {"schema_version": 1, "name": slug(pool.domain)} if pool.file is None else dict(pool.file.document)
    provenance = {"provenance": start.pop("provenance")} if "provenance" in start else {}
    made = {**start, "domain": pool.domain, "groups": groups, "metrics": metrics, **provenance}
    document = with_class_kind(made, how.class_kind)
    facts = {"seed": how.seed, "embedder": embedding.name, "algorithm": partition.ALGORITHMS[how.method]}
    return with_step(document, "cluster", **facts, n_groups=len(groups))


def with_class_kind(document: dict[str, Any], class_kind: str | None) -> dict[str, Any]:
    """The document with its class kind replaced, or inserted before the groups; None leaves it unchanged."""
    if class_kind is None:
        return document
    if "class_kind" in document:
        return {**document, "class_kind": class_kind}
    place = list(document).index("groups")
    items = list(document.items())
    return dict([*items[:place], ("class_kind", class_kind), *items[place:]])


def _notices(how: Clustering, made: int, kept: Kept, embedding: Embedding) -> Iterator[str]:
    """Notices for the user about how the groups were made."""
    yield from embedding.notices
    if notice := kept.notice():
        yield notice
    if how.groups is not None and made < how.groups:
        why = "templates that lie at one place are not parted, and small groups not kept"
        yield f"{made} groups, fewer than the {how.groups} asked for: {why}"
    yield from number_notices(None, made)
    if embedding.name != LEXICAL:
        yield "look at the groups before training: embeddings find only part of what a person would put together"
