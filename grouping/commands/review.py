"""`mocoop-groups review`: review templates one at a time, with single-key decisions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from mocoop import cli
from mocoop.errors import UsageError
from mocoop.grouping.commands.edit import say_kept_edits
from mocoop.grouping.commands.embedding import EmbedderOptions, choice, embedder_options
from mocoop.grouping.commands.review_page import PageOptions, page_options, review_on_page
from mocoop.grouping.commands.shared import FILE, print_json, say_notice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mocoop.grouping.editing.drafts import Line
    from mocoop.grouping.editing.inplace import Opened
    from mocoop.grouping.editing.neighbours import Doubt, Neighbours
    from mocoop.grouping.editing.review import Session
    from mocoop.grouping.editing.terminal import Terminal

_WIDE_PROMPT = "keep drop move edit init note skip undo group ?=help quit > "
_NARROW_PROMPT = "kdmeinsug?q > "
_NEW_GROUP = re.compile(r"--new(?:\s+|=)|new:\s*")  # the latter is how it was written before
_HELP = (
    ("k", "keep it: reviewed, as it is"),
    ("d", "drop it: it goes to the list of excluded ones and does not come back (D asks why)"),
    ("m", "move it to another group, or to a new one"),
    ("e", "edit its wording"),
    ("i", "make it the init: its words start the group's expert"),
    ("n", "write a note on it"),
    ("s", "skip it this time"),
    ("u", "undo the last decision, to the byte"),
    ("g", "keep all of this group: it is reviewed"),
    ("q", "quit; everything is saved already"),
)
_WITHOUT_TERMINAL = (
    "in a script: review FILE --json lists what to look at; add, remove, move, set-init, lock and edit FILE do the rest"
)


@click.command()
@click.argument("path", metavar="FILE", type=FILE)
@click.option("--only", type=click.Choice(["unreviewed", "doubtful", "near-duplicates"]), default="unreviewed",
              show_default=True, help="Which templates.")  # fmt: skip
@click.option("--again", is_flag=True, help="Those too that were reviewed before.")
@click.option("--lexical", is_flag=True, help="Compare by wording only; starts at once.")
@click.option("--json", "as_json", is_flag=True, help="Print the queue as one JSON object, and ask nothing.")
@page_options
@embedder_options
def review(
    path: str, only: str, again: bool, lexical: bool, as_json: bool, page: PageOptions, embedder: EmbedderOptions
) -> None:
    """Look at templates one at a time, the doubtful first.

    Single keys keep, drop, move, edit and undo. The file is saved after every key, and says what was reviewed: leave
    with q and go on another day. `mocoop-groups undo` takes decisions back after that, too.

    --web shows all of them on a page in the browser, where they are dragged between groups and saved in the end.

    \b
    mocoop-groups review groups.json
    mocoop-groups review groups.json --only near-duplicates
    mocoop-groups review groups.json --web
    """
    if page.web:
        if as_json or again or only != "unreviewed":
            raise UsageError(
                "--json, --again and --only are of the review at the terminal", "leave them out with --web"
            )
        review_on_page(path, page, None if lexical else embedder, embedder)
        return
    page.refuse_alone()
    from mocoop.grouping.editing.drafts import take_line
    from mocoop.grouping.editing.inplace import open_groups
    from mocoop.grouping.editing.neighbours import doubts_of, neighbours_of
    from mocoop.grouping.editing.review import queue_of, start
    from mocoop.grouping.editing.terminal import Terminal, has_terminal
    from mocoop.grouping.provenance import now

    if path == "-" or not (as_json or has_terminal()):
        raise UsageError("review needs a terminal and a file", _WITHOUT_TERMINAL)
    opened = open_groups(path)
    if not (as_json or lexical):
        cli.say("comparing the templates by meaning; --lexical starts at once")
    way = None if lexical else choice(embedder, opened.file.class_kind)
    neighbours = neighbours_of(opened.document, way)
    doubts = doubts_of(opened.document, neighbours)
    queue = queue_of(opened.document, doubts, only, again=again)
    if as_json:
        print_json(neighbours=neighbours.name, queue=[_entry(opened.document, t, doubts, neighbours) for t in queue])
        return
    session = start(opened.document, opened.data, queue, now())
    say_kept_edits(path)
    line = take_line(path)
    if line:
        cli.say(f'when the terminal closed, "{line.typed}" stood typed at "{line.prompt}" for "{line.about}"')
    _Screen(opened, session, neighbours, doubts, Terminal(), line).run()


def _entry(
    document: dict[str, Any], text: str, doubts: Mapping[str, Sequence[Doubt]], neighbours: Neighbours
) -> dict[str, Any]:
    from mocoop.grouping.editing.lookup import home
    from mocoop.grouping.editing.reviewed import seen
    from mocoop.grouping.keep import texts_of

    homes = {other: group["id"] for group in document["groups"] for other in texts_of(group)}
    near = neighbours.nearest(text, set(homes))
    return {
        "text": text,
        "group": home(document, text),
        "reviewed": any(text in seen(group) for group in document["groups"]),
        "doubts": [doubt.reason for doubt in doubts.get(text, ())],
        "nearest": [{"text": n.text, "group": homes[n.text], "similarity": round(n.similarity, 4)} for n in near],
    }


@dataclass
class _Screen:
    """The session at the terminal: shows a template, reads a key, saves, and shows the next."""

    opened: Opened
    session: Session
    neighbours: Neighbours
    doubts: Mapping[str, Sequence[Doubt]]
    terminal: Terminal
    cut_off: Line | None = None  # what stood half typed when the terminal closed the last time
    told_notice: bool = False

    def run(self) -> None:
        """Loop until nothing is left or the user quits. Ctrl-C quits at once; everything is saved already."""
        self.terminal.show(f"{len(self.session.queue)} templates to review, compared by {self.neighbours.name}")
        try:
            while self.session.queue and self._one():
                pass
        except EOFError:
            self.terminal.show()
        finally:
            self._farewell()

    def _one(self) -> bool:
        """Handle one decision on the current template; False to quit."""
        self._card()
        while True:
            wide = self.terminal.columns > len(_WIDE_PROMPT) + 2
            key = self.terminal.key(_WIDE_PROMPT if wide else _NARROW_PROMPT)
            if key in ("q", "Q"):
                return False
            action = self._actions().get(key)
            if action is None:
                self._help()
                continue
            if self._act(action):
                return True

    def _act(self, action: Callable[[Session], Session | None]) -> bool:
        """Apply a decision and save; if it is not possible, say why and stay on the template."""
        try:
            after = action(self.session)
        except UsageError as error:
            self.terminal.show(f"{error.message}; {error.hint}" if error.hint else error.message, fg="red")
            return False
        if after is None or after is self.session:
            self.terminal.show("there is nothing to undo" if after is None else "nothing changed")
            return False
        self._save(after, self._tell(after))
        return True

    def _tell(self, after: Session) -> str:
        """Report what a decision changed other than review marks, such as a new init; returns the decision in words."""
        from mocoop.grouping.editing.diff import differences, one_line
        from mocoop.grouping.keep import SEEN

        if after is self.session.before:
            self.terminal.show("undone", indent=2, dim=True)
            return "undone"
        changes = differences(self.session.document, after.document)
        told = [change for change in changes if change.key not in ("reviewed", SEEN)]
        if told:
            self.terminal.show(one_line(told), indent=2, dim=True)
            return one_line(told)
        kept = len(self.session.queue) - len(after.queue)
        return f'kept "{self.session.text}"' if kept == 1 else f"kept {kept} of {self.session.group['id']}"

    def _save(self, after: Session, told: str) -> None:
        from mocoop.grouping.editing.inplace import put_back, write_bytes
        from mocoop.grouping.keep import texts_of

        before = self.opened.data
        if after is self.session.before and after.data != before:
            self.opened = put_back(self.opened, after.data)
        elif after.data != before:
            self.opened = write_bytes(self.opened.path, after.data, before=before, command="review", told=told)
            if not self.told_notice:
                say_notice(self.opened.notice)
            self.told_notice = self.told_notice or bool(self.opened.notice)
        self.session = after
        self.neighbours = self.neighbours.joined(
            [text for group in after.document["groups"] for text in texts_of(group)]
        )

    def _actions(self) -> dict[str, Callable[[Session], Session | None]]:
        from mocoop.grouping.editing import review

        return {
            "k": review.keep,
            "d": review.drop,
            "D": lambda session: review.drop(session, self._line("why? ").strip() or None),
            "m": self._moved,
            "e": self._reworded,
            "i": review.make_init,
            "n": self._annotated,
            "s": review.skip,
            "u": review.undo,
            "g": review.accept_group,
        }

    def _moved(self, session: Session) -> Session:
        from mocoop.grouping.editing.lookup import group_ids_of
        from mocoop.grouping.editing.review import move

        ids = group_ids_of(session.document)
        self.terminal.show("  ".join(f"{number}={id_}" for number, id_ in enumerate(ids, start=1)), indent=2)
        answer = self._line("to (number or id; --new ID for a new group; an empty line: it stays)? ").strip()
        if not answer:
            return session
        if new := _NEW_GROUP.match(answer):
            return move(session, answer[new.end() :], new=True)
        to = ids[int(answer) - 1] if answer.isdecimal() and 0 < int(answer) <= len(ids) else answer
        return session if to == session.group["id"] else move(session, to)

    def _reworded(self, session: Session) -> Session:
        from mocoop.grouping.editing.review import reword

        answer = self._line("words: ", session.text).strip()
        return reword(session, answer) if answer else session

    def _annotated(self, session: Session) -> Session:
        from mocoop.grouping.editing.review import annotate

        return annotate(session, self._line("note (an empty line takes it away): ", self._note()).strip())

    def _line(self, prompt: str, given: str = "") -> str:
        """Read a line about the current template; if the terminal closes meanwhile, it is kept for the next start."""
        from mocoop.grouping.editing.drafts import Line, keep_line, read_kept

        about, path, old = self.session.text, self.opened.path, self.cut_off
        if old and (old.prompt, old.about) == (prompt.strip(), about):
            given, self.cut_off = old.typed, None

        def keep(typed: str) -> None:
            if typed.strip() and typed != given:
                keep_line(path, Line(prompt.strip(), about, typed))

        return read_kept(lambda: self.terminal.line(prompt, given), self.terminal.typed, keep)

    def _note(self) -> str:
        from mocoop.grouping.keep import text_of

        item = next(item for item in self.session.group["templates"] if text_of(item) == self.session.text)
        return item.get("note", "") if isinstance(item, dict) else ""

    def _card(self) -> None:
        """Show the template, its group, why it is doubtful, and the templates nearest to it."""
        from mocoop.grouping.editing.lookup import init_of
        from mocoop.grouping.keep import texts_of

        session, show = self.session, self.terminal.show
        group, text = session.group, session.text
        show()
        show(
            f"{group['id']}{': ' + group['title'] if group.get('title') else ''} ({len(session.queue)} left)", dim=True
        )
        show(text, indent=2, bold=True)
        if text == init_of(group):
            show("its words start the group's expert", indent=2, dim=True)
        if self._note():
            show(f"note: {self._note()}", indent=2)
        homes = {other: item["id"] for item in session.document["groups"] for other in texts_of(item)}
        for doubt in self.doubts.get(text, ()):
            if doubt.other is None or doubt.other in homes:
                show(f"! {doubt.reason}", indent=2, fg="yellow")
        for near in self.neighbours.nearest(text, set(homes)):
            show(f"{near.similarity:.2f}  {near.text}  ({homes[near.text]})", indent=4, dim=True)

    def _help(self) -> None:
        for key, meaning in _HELP:
            self.terminal.show(f"{key}  {meaning}", indent=2)
        self.terminal.show("the numbers say how much the templates beside them are like it: 1 is the same", indent=2)

    def _farewell(self) -> None:
        from mocoop.grouping.editing.review import reviewed_counts

        reviewed, total = reviewed_counts(self.session.document)
        told = f"{self.session.summary}; {reviewed} of {total} templates reviewed"
        cli.say(f"{self.opened.path}: {told}" + ("" if not self.session.queue else "; go on with the same command"))
