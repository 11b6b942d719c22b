"""The commands that change a group file in place: add, remove, rename, move, merge, split, set-init, lock.

Each applies a pure function of `mocoop.grouping.editing.edit`; reporting and writing are in `changing`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from mocoop import cli
from mocoop.errors import UsageError
from mocoop.grouping.commands.changing import Writing, changes_file
from mocoop.grouping.commands.embedding import EmbedderOptions, choice, embedder_options

TEXTS = click.argument("texts", metavar="TEXT...", nargs=-1, required=True)
# One syntax in all commands: --to ID is a group that is there, --new ID one that is made.
TO = click.option("--to", metavar="ID", help="The group they go to.")
NEW = click.option("--new", metavar="ID", help="Put them in a new group of this id.")
TITLE = click.option("--title", help="What the new group is called.")


@click.command()
@changes_file
@TEXTS
@TO
@NEW
@TITLE
def add(writing: Writing, texts: tuple[str, ...], to: str | None, new: str | None, title: str | None) -> None:
    """Add templates to a group, or in a new one.

    What was excluded and is added again is no longer excluded.

    \b
    mocoop-groups add groups.json "a blurry view of {}." --to low_detail
    mocoop-groups add groups.json "{} in fog." "{} in mist." --new fog --title "Fog and mist"
    """
    from mocoop.grouping.editing import edit

    target, title = _target(to, new, title)
    made = partial(edit.add_group, title=title) if new else edit.add
    writing.apply("add", lambda document: made(document, texts, target))


@click.command()
@changes_file
@click.argument("texts", metavar="[TEXT...]", nargs=-1)
@click.option(
    "--group", "group_id", metavar="ID", help="Remove this group with all its templates; with TEXT, only those."
)
@click.option("--reason", help="Why, for those who read the file later.")
def remove(writing: Writing, texts: tuple[str, ...], group_id: str | None, reason: str | None) -> None:
    """Take templates out, so that they stay out.

    They are listed as excluded, and do not come back when groups are made anew. A template is named by its text, or by
    a part of it that no other has, or no other of the group that --group names.

    \b
    mocoop-groups remove groups.json "at night" --reason "all pictures are taken by day"
    mocoop-groups remove groups.json "blurry" --group low_detail
    mocoop-groups remove groups.json --group overhead_night
    """
    from mocoop.grouping.editing import edit

    if not texts and not group_id:
        raise UsageError("name templates, or a group with --group", "TEXT..., --group ID, or both")
    if texts or group_id is None:
        writing.apply("remove", lambda document: edit.remove(document, texts, reason, group_id))
    else:
        writing.apply("remove", lambda document: edit.remove_group(document, group_id, reason))


@click.command()
@changes_file
@click.argument("group_id", metavar="ID")
@click.option("--id", "new_id", metavar="NEW", help="Another id; runs trained before know the expert by the old one.")
@click.option("--title", help="Another title; an empty one takes it away.")
@click.option("--description", help='Which images the group is for; "" takes it away.')
def rename(writing: Writing, group_id: str, new_id: str | None, title: str | None, description: str | None) -> None:
    """Give a group another title, description or id.

    The id names the expert in a trained run: for a better heading change the title, and keep the id.

    \b
    mocoop-groups rename groups.json low_detail --title "Blurred or far away"
    mocoop-groups rename groups.json low_detail --id blurred
    """
    from mocoop.grouping.editing import edit

    if (new_id, title, description) == (None, None, None):
        raise UsageError("nothing to rename is given", "use --title, --description or --id")

    def change(document: dict[str, Any]) -> dict[str, Any]:
        return edit.rename(document, group_id, new_id=new_id, title=title, description=description)

    if writing.apply("rename", change) and new_id not in (None, group_id):
        cli.say(f"runs trained before know this expert as {group_id}; a new training calls it {new_id}")


@click.command()
@changes_file
@TEXTS
@TO
@NEW
@TITLE
def move(writing: Writing, texts: tuple[str, ...], to: str | None, new: str | None, title: str | None) -> None:
    """Move templates to another group, or to a new one.

    \b
    mocoop-groups move groups.json "a hazy {}." --to low_detail
    mocoop-groups move groups.json "at dusk" "at dawn" --new twilight --title "Twilight"
    """
    from mocoop.grouping.editing import edit

    target, title = _target(to, new, title)
    made = partial(edit.move_to_new, title=title) if new else edit.move
    writing.apply("move", lambda document: made(document, texts, target))


@click.command()
@changes_file
@click.argument("group_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--to", "--into", "to", metavar="ID", help="The group they go to: one of them, or another.")
@NEW
@click.option("--title", help="What the merged group is called.")
def merge(writing: Writing, group_ids: tuple[str, ...], to: str | None, new: str | None, title: str | None) -> None:
    """Put the templates of several groups into one.

    \b
    mocoop-groups merge groups.json dusk night --to night
    mocoop-groups merge groups.json dusk night --new low_light --title "Little light"
    """
    from mocoop.grouping.editing import edit

    _one_target(to, new)
    made = edit.merge_to_new if new else edit.merge
    writing.apply("merge", lambda document: made(document, group_ids, str(to or new), title))


@click.command()
@changes_file
@click.argument("group_id", metavar="ID")
@click.option("--templates", "words", metavar="TEXT", multiple=True, help="A template of the new group; repeatable.")
@NEW
@TITLE
@click.option("--groups", "count", type=click.IntRange(min=2), help="Part it in this many, by what they mean.")
@embedder_options
def split(
    writing: Writing,
    group_id: str,
    words: tuple[str, ...],
    new: str | None,
    title: str | None,
    count: int | None,
    embedder: EmbedderOptions,
) -> None:
    """Part a group in two, or in several by meaning.

    The templates that are named go into a new group; or all go into several, by what they mean.

    \b
    mocoop-groups split groups.json weather --templates "in fog" --templates "in mist" --new fog
    mocoop-groups split groups.json weather --groups 2
    """
    from mocoop.grouping.editing import edit

    if bool(words) == bool(count) or bool(words) != bool(new):
        raise UsageError("say how to part the group", "--templates TEXT ... --new ID, or --groups N")
    if count is None:
        writing.apply("split", lambda document: edit.split_off(document, group_id, words, str(new), title))
    else:
        writing.apply("split", lambda document: _split_by_meaning(document, group_id, count, embedder))


@click.command("set-init")
@changes_file
@click.argument("group_id", metavar="[ID]", required=False)
@click.argument("text", metavar="[TEXT]", required=False)
@click.option("--policy", type=click.Choice(["first", "medoid", "shortest", "plainest"]),
              help="Choose it: the first, nearest the group's mean, the shortest or the plainest.")  # fmt: skip
@embedder_options
def set_init(
    writing: Writing, group_id: str | None, text: str | None, policy: str | None, embedder: EmbedderOptions
) -> None:
    """Say which template starts a group's expert.

    --policy chooses, for one group or for all.

    \b
    mocoop-groups set-init groups.json plain "a photo of a {}."
    mocoop-groups set-init groups.json --policy shortest
    """
    from mocoop.grouping.editing import edit

    if (text is None) == (policy is None) or (group_id is None and policy is None):
        raise UsageError("name the group and its template, or give --policy", "one of the two")
    if policy is None:
        writing.apply("set-init", lambda document: edit.set_init(document, str(group_id), str(text)))
    else:
        writing.apply("set-init", lambda document: _init_by_policy(document, policy, group_id, embedder))


@click.command()
@changes_file
@click.argument("targets", metavar="ID|TEXT...", nargs=-1, required=True)
@click.option("--off", is_flag=True, help="Unlock instead.")
def lock(writing: Writing, targets: tuple[str, ...], off: bool) -> None:
    """Lock groups or templates, so that nothing moves them.

    Grouping and generating anew keep them, and the editing commands refuse.

    \b
    mocoop-groups lock groups.json plain_scene
    mocoop-groups lock groups.json "a photo of a {}." --off
    """
    from mocoop.grouping.editing import edit

    def change(document: dict[str, Any]) -> dict[str, Any]:
        for target in targets:
            document = edit.lock(document, target, not off)
        return document

    writing.apply("lock", change)


def _target(to: str | None, new: str | None, title: str | None) -> tuple[str, str | None]:
    """The group that templates go to, and its title if it is new. Raises UsageError."""
    _one_target(to, new)
    if title is not None and not new:
        raise UsageError(
            "--title goes with --new", f"for one that is there: mocoop-groups rename FILE {to} --title ..."
        )
    return str(to or new), title


def _one_target(to: str | None, new: str | None) -> None:
    if bool(to) == bool(new):
        raise UsageError("say where they go", "name a group that is there with --to ID, or a new one with --new ID")


def _init_by_policy(
    document: dict[str, Any], policy: str, group_id: str | None, embedder: EmbedderOptions
) -> dict[str, Any]:
    from mocoop.grouping.editing import edit, lookup
    from mocoop.grouping.editing.initpolicy import chosen_inits
    from mocoop.grouping.keep import texts_of

    groups = [lookup.group_of(document, group_id)] if group_id else document["groups"]
    way = choice(embedder, document.get("class_kind", "object"))
    chosen = chosen_inits({group["id"]: texts_of(group) for group in groups}, policy, way)
    for group in groups:
        if lookup.init_of(group) != chosen[group["id"]] and (group_id or not group.get("locked")):
            document = edit.set_init(document, group["id"], chosen[group["id"]])
    return document


def _split_by_meaning(document: dict[str, Any], group_id: str, count: int, embedder: EmbedderOptions) -> dict[str, Any]:
    from mocoop.grouping.clustering.parting import parts_by_meaning
    from mocoop.grouping.editing import edit, lookup
    from mocoop.grouping.keep import texts_of

    texts = texts_of(lookup.group_of(document, group_id))
    parts = parts_by_meaning(texts, count, choice(embedder, document.get("class_kind", "object")))
    return edit.split_into(document, group_id, parts)
