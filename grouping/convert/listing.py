"""What every reader of a foreign file gives: lists of sentences, each with the line it stands in.

A reader turns text into listings and judges nothing but its own syntax. What makes templates of the sentences (slots,
rules, repeats) is in `checks`; what makes a group file of them is in `assemble`. No file is opened here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mocoop.errors import GroupFileError
from mocoop.groupfile.findings import ERROR, Finding

MOST_LISTED = 20  # findings in one message; all are in the error's `findings`


@dataclass(frozen=True)
class Sentence:
    """A text that should be a template, and where it stands; `init`: it is named as the start of its expert."""

    text: str
    line: int = 1
    column: int = 1
    init: bool = False


@dataclass(frozen=True)
class Section:
    """The sentences of one group; without `name` the file gives the group none."""

    sentences: tuple[Sentence, ...]
    name: str | None = None  # an id, or words to make one of
    title: str | None = None
    description: str | None = None


@dataclass(frozen=True)
class Listing:
    """One list of a file. `name` tells it from the file's other lists; `notices` say what the reader changed.

    `grouped`: the file itself says which sentences belong together. `domain`: what it says that its images are of.
    """

    sections: tuple[Section, ...]
    name: str = ""
    notices: tuple[str, ...] = ()
    grouped: bool = True
    domain: str | None = None

    @property
    def sentences(self) -> tuple[Sentence, ...]:
        """All sentences in their order."""
        return tuple(sentence for section in self.sections for sentence in section.sentences)


def flat(
    sentences: Iterable[Sentence], name: str = "", notices: tuple[str, ...] = (), domain: str | None = None
) -> Listing:
    """A listing without groups."""
    return Listing((Section(tuple(sentences)),), name, notices, grouped=False, domain=domain)


def finding(code: str, message: str, hint: str, source: str, line: int = 1, column: int = 1) -> Finding:
    """A finding about a file that is no group file: it has a place and no JSON pointer."""
    return Finding(code, ERROR, message, hint, "", line, column, source)


def refusal(source: str, findings: list[Finding]) -> GroupFileError:
    """One error that holds all findings about a file."""
    if len(findings) == 1:
        only = findings[0]
        return GroupFileError(f"{source}:{only.line}:{only.column}: {only.code} {only.message}", only.hint, findings)
    listed = [str(one) for one in findings[:MOST_LISTED]]
    if len(findings) > MOST_LISTED:
        listed.append(f"and {len(findings) - MOST_LISTED:,} more")
    return GroupFileError("\n".join([f"{source} has {len(findings):,} errors:", *listed]), None, findings)


def refuse(code: str, message: str, hint: str, source: str, line: int = 1, column: int = 1) -> GroupFileError:
    """An error of one finding."""
    return refusal(source, [finding(code, message, hint, source, line, column)])
