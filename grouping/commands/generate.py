"""`mocoop-groups generate`: a group file for a domain, from the bank or from a language model."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mocoop import cli
from mocoop.errors import GroupFileError, RemoteError, UsageError
from mocoop.grouping.commands.model import ModelChoice, model_options, open_session, show_plan
from mocoop.grouping.commands.shared import (
    FILE,
    TEXT_FILE,
    class_names,
    deliver,
    force_option,
    group_count,
    load,
    out_option,
    say_notice,
)

if TYPE_CHECKING:
    from mocoop.grouping.generate import Generated, Wanted
    from mocoop.grouping.keep import Kept
    from mocoop.grouping.llm.session import Session


@click.command()
@click.option("--domain", required=True, help="What the images are of, in plain words.")
@click.option("--backend", type=click.Choice(["auto", "bank", "llm"]), default="auto", show_default=True,
              help="Who writes; auto: a language model where there is a key or a server, else the bank.")  # fmt: skip
@click.option("--groups", "count", default="auto", show_default=True, help="How many groups, or auto.")
@click.option("--per-group", default=6, show_default=True, help="Templates a group, at most.")
@click.option("--class-kind", help="What the classes are: object, scene, activity, texture, finding or mixed.")
@click.option("--profile", "profiles", multiple=True, help="Overrule the profile that the domain would match.")
@click.option("--meaning/--no-meaning", default=True, show_default=True,
              help="Where no word is known: ask the sentence model, if it is installed.")  # fmt: skip
@click.option("--supertype", help='What every class is a kind of, such as "land cover".')
@click.option("--classes", type=TEXT_FILE,
              help="Class names, one a line: kept out of templates; a model is shown at most 12.")  # fmt: skip
@click.option("--general/--no-general", default=True, show_default=True, help="Keep one group of plain wording.")
@click.option("--from", "earlier", type=FILE,
              help="An earlier file: what is locked there stays, what was taken out stays out.")  # fmt: skip
@click.option("--fresh", is_flag=True, help="Keep nothing of the file that is overwritten.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True,
              help="Draws the class names shown; sent to the model, which may ignore it.")  # fmt: skip
@click.option("--offline", is_flag=True, help="Send nothing: kept answers of the model, or the bank.")
@click.option("--dry-run", is_flag=True, help="Print what would be sent, and send nothing.")
@click.option("--flat", is_flag=True, help="Write the templates alone, one a line: a pool for `cluster`.")
@model_options
@out_option
@force_option
def generate(
    domain: str,
    backend: str,
    count: str,
    per_group: int,
    class_kind: str | None,
    profiles: tuple[str, ...],
    meaning: bool,
    supertype: str | None,
    classes: Path | None,
    general: bool,
    earlier: str | None,
    fresh: bool,
    seed: int,
    offline: bool,
    dry_run: bool,
    flat: bool,
    model: ModelChoice,
    out: Path | None,
    force: bool,
) -> None:
    """Write a group file for a domain.

    The bank's templates are hand-written and take up the domain's own words; the same call gives the same file, to the
    byte. Where no word of the domain is known, the sentence model is asked if it is installed. A language model writes
    new ones: its answers are checked and kept, and a person should read the file before it is used. The key comes from
    the environment only.

    \b
    mocoop-groups generate --domain "satellite imagery" -o groups.json
    mocoop-groups generate --domain "kimono patterns" --backend llm --classes classes.txt -o groups.json
    mocoop-groups generate --domain "chest x-rays" --base-url http://localhost:11434/v1 --model llama3.1
    """
    from mocoop.grouping.generate import Wanted

    _check_out(out, force, dry_run)
    wanted = Wanted(
        domain,
        groups=group_count(count),
        per_group=per_group,
        class_kind=class_kind,
        profiles=profiles,
        supertype=supertype,
        class_names=class_names(classes) or (),
        include_general=general,
        kept=_kept(earlier, out, force, fresh),
        seed=seed,
        by_meaning=meaning,
    )
    session = open_session(model, seed=seed, offline=offline, out=out, instead="take --backend bank")
    made = _made(wanted, _backend(backend, session), session, dry_run=dry_run)
    if made is None:
        return
    for notice in made.notices:
        cli.say(notice)
    if flat:
        _deliver_flat(made.document, out)
        return
    deliver(made.document, out, force)
    if made.document["provenance"]["steps"][-1]["backend"] == "llm" and out is not None and str(out) != "-":
        cli.say(f"no person has read these templates: mocoop-groups review {cli.command_path(out)}")


def _deliver_flat(document: dict[str, Any], out: Path | None) -> None:
    """Write the templates, one per line, to stdout or a file; whether it may be overwritten was checked before."""
    from mocoop.grouping.editing.inplace import write_anew
    from mocoop.grouping.keep import texts_of

    texts = [text for group in document["groups"] for text in texts_of(group)]
    data = "".join(f"{text}\n" for text in texts).encode()
    if out is None or str(out) == "-":
        click.echo(data, nl=False)
        return
    notice = write_anew(out, data, command="generate", told=f"written anew: {len(texts)} templates")
    path = cli.command_path(out)
    cli.say(f"{path}: {len(texts)} templates   next: mocoop-groups cluster {path} -o groups.json")
    say_notice(notice)


def _made(wanted: Wanted, who: str, session: Session, *, dry_run: bool) -> Generated | None:
    """The generated file, or None if only the prompts were printed."""
    from mocoop.grouping.generate import generate_from_bank
    from mocoop.grouping.llm.generate import brief_of, generate_from_model, plan

    if who == "bank":
        if dry_run:
            cli.say("backend: bank: nothing would be sent")
            return None
        return generate_from_bank(wanted)
    brief = brief_of(replace(wanted, by_meaning=False))  # the same questions, and kept answers, on every machine
    if dry_run:
        show_plan(plan(brief, session), session)
        return None
    try:
        return generate_from_model(brief, session)
    except RemoteError:
        if who == "llm" or not session.offline:
            raise
    cli.say("backend: bank (offline, and not every answer of the model is kept)")
    return generate_from_bank(wanted)


def _backend(asked: str, session: Session) -> str:
    """bank, llm, or auto for a model with the bank as fallback; reports a choice that the user did not make."""
    from mocoop.grouping.llm.settings import reachable

    if asked != "auto":
        return asked
    if not reachable(session.settings):
        cli.say("backend: bank (hand-written templates, nothing leaves this machine)")
        return "bank"
    offline = ", kept answers only" if session.offline else ""
    cli.say(f"backend: llm ({session.settings.model} at {session.settings.host}{offline})")
    return "auto"


def _check_out(out: Path | None, force: bool, dry_run: bool) -> None:
    """Refuse to overwrite before the model is called, not after it was paid for."""
    if out is not None and str(out) != "-" and os.path.lexists(out) and not (force or dry_run):
        raise UsageError(f"{out} exists already", "choose another name, or overwrite it with --force")


def _kept(earlier: str | None, out: Path | None, force: bool, fresh: bool) -> Kept:
    """What must be kept: from the named file, or from the valid group file that is overwritten."""
    from mocoop.grouping.keep import Kept, kept_of

    if fresh:
        if earlier:
            raise UsageError("--from and --fresh contradict each other", "leave one of them out")
        return Kept()
    if earlier:
        return kept_of(load(earlier))
    if out is None or str(out) == "-" or not force or not out.is_file():
        return Kept()
    try:
        kept = kept_of(load(str(out)))
    except GroupFileError:
        return Kept()
    if kept.notice():
        cli.say(f"{cli.command_path(out)} is overwritten; what is locked or was taken out there counts (--fresh: not)")
    return kept
