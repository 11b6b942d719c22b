"""The output of every reader of a foreign file: lists of sentences with their line numbers.

A reader turns text into listings and checks only its own syntax. Turning sentences into templates (slots, rules,
repeats) is in `checks`, making a group file in `assemble`. No file is opened here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mocoop.errors import GroupFileError
from mocoop.groupfile.findings import ERROR, Finding

MOST_LISTED = 20  # findings in one message; all are in the error's `findings`


@dataclass(frozen=True)
class Sentence:
    """A candidate template and its position; `init`: it is marked as the start of its expert."""

    text: str
    line: int = 1
    column: int = 1
    init: bool = False


@dataclass(frozen=True)
class Section:
    """The sentences of one group; `name` is None if the file gives the group no name."""

    sentences: tuple[Sentence, ...]
    name: str | None = None  # an id, or words to make one of
    title: str | None = None
    description: str | None = None


@dataclass(frozen=True)
class Listing:
    """One list of a file. `name` distinguishes it from the file's other lists; `notices` say what the reader changed.

    `grouped`: whether the file itself groups the sentences. `domain`: the domain of the images, if the file states it.
    """

    sections: tuple[Section, ...]
    name: str = ""
    notices: tuple[str, ...] = ()
    grouped: bool = True
    domain: str | None = None

    @property
    def sentences(self) -> tuple[Sentence, ...]:
        """All sentences in order."""
        return tuple(sentence for section in self.sections for sentence in section.sentences)


def flat(
    sentences: Iterable[Sentence], name: str = "", notices: tuple[str, ...] = (), domain: str | None = None
) -> Listing:
    """A listing without groups."""
    return Listing((Section(tuple(sentences)),), name, notices, grouped=False, domain=domain)


def finding(code: str, message: str, hint: str, source: str, line: int = 1, column: int = 1) -> Finding:
    """A finding about a file that is not a group file: it has a position but no JSON pointer."""
    return Finding(code, ERROR, message, hint, "", line, column, source)


def refusal(source: str, findings: list[Finding]) -> GroupFileError:
    """One exception for all findings about a file."""
    if len(findings) == 1:
        only = findings[0]
        return GroupFileError(f"{source}:{only.line}:{only.column}: {only.code} {only.message}", only.hint, findings)
    listed = [str(one) for one in findings[:MOST_LISTED]]
    if len(findings) > MOST_LISTED:
        listed.append(f"and {len(findings) - MOST_LISTED:,} more")
    return GroupFileError("\n".join([f"{source} has {len(findings):,} errors:", *listed]), None, findings)


def refuse(code: str, message: str, hint: str, source: str, line: int = 1, column: int = 1) -> GroupFileError:
    """An exception for a single finding."""
    return refusal(source, [finding(code, message, hint, source, line, column)])
