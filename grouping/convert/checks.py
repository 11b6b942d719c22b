"""From the sentences of a foreign file to templates: slots become {} and every rule of a template is checked.

Other software writes the slot as {c}, {0}, {class} or %s. A slot that is clearly one of these becomes {}; anything
ambiguous is an error with its position: nothing is guessed and no sentence is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from mocoop.groupfile.findings import Finding, Problem, quote
from mocoop.groupfile.schema import MAX_TEMPLATE_LENGTH
from mocoop.groupfile.templatetext import SLOT, special_problem, template_problems
from mocoop.grouping.convert.listing import Listing, Section, Sentence, finding, refusal

_BRACED = re.compile(
    r"\{ {0,2}(?:0|c|cls|class|class[ _-]?name|name|label|category|object|concept)? {0,2}\}", re.IGNORECASE
)
_OTHER = re.compile(r"\[(?:class|class[ _-]?name)\]|<(?:class|class[ _-]?name)>|%s", re.IGNORECASE)
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Checked:
    """Valid templates; `respelt` counts slots in another spelling, `repeated` are the repeats that were dropped."""

    sections: tuple[Section, ...]
    respelt: int = 0
    repeated: tuple[Sentence, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """All templates in order."""
        return tuple(sentence.text for section in self.sections for sentence in section.sentences)


def checked(listing: Listing, source: str) -> Checked:
    """The listing's templates. A repeated text is kept only at its first position.

    Raises GroupFileError with every sentence that is not a template, and every group that only holds repeats.
    """
    respelt = [replace(one, text=with_slot(one.text)) for one in listing.sentences]
    findings = [found for one in respelt for found in _findings(one, source)]
    if not listing.sentences:
        findings.append(finding("G024", "there is no template in it", 'write one, as "a photo of a {}."', source))
    if findings:
        raise refusal(source, findings)
    changed = sum(old.text != new.text for old, new in zip(listing.sentences, respelt, strict=True))
    sections, repeated = _without_repeats(listing, source)
    return Checked(sections, changed, repeated)


def with_slot(text: str) -> str:
    """The sentence with {} for its slot, if it has exactly one in a known spelling; otherwise unchanged."""
    spelling = _BRACED if _BRACED.search(text) else _OTHER
    return spelling.sub(SLOT, text) if len(spelling.findall(text)) == 1 else text


def has_slot(text: str) -> bool:
    """Whether a sentence has a slot in any known spelling."""
    return bool(_BRACED.search(text) or _OTHER.search(text))


def _findings(sentence: Sentence, source: str) -> Iterator[Finding]:
    for problem in _problems(sentence.text):
        yield finding(problem.code, problem.message, problem.hint, source, sentence.line, sentence.column)


def _problems(text: str) -> Iterator[Problem]:
    if _SURROGATE.search(text):
        yield Problem("G007", (), f"the template holds half a character: {quote(text)}", "write the whole character")
        return
    if len(text) > MAX_TEMPLATE_LENGTH:
        message = f"the template is {len(text):,} characters long: {quote(text)}"
        yield Problem("G024", (), message, f"at most {MAX_TEMPLATE_LENGTH} characters here")
    yield from template_problems(text, (), "the template")
    special = special_problem(text, (), "the template")
    if special:
        yield special


def _without_repeats(listing: Listing, source: str) -> tuple[tuple[Section, ...], tuple[Sentence, ...]]:
    first: dict[str, Sentence] = {}
    repeated, sections, emptied = [], [], []
    for section in listing.sections:
        sentences = [replace(one, text=with_slot(one.text)) for one in section.sentences]
        kept = [one for one in sentences if first.setdefault(one.text, one) is one]
        repeated += [one for one in sentences if first[one.text] is not one]
        if sentences and not kept:
            emptied.append(_emptied(section, sentences[0], first[sentences[0].text], source))
        inits = {one.text for one in sentences if one.init}
        sections.append(replace(section, sentences=tuple(replace(one, init=one.text in inits) for one in kept)))
    if emptied:
        raise refusal(source, emptied)
    return tuple(section for section in sections if section.sentences), tuple(repeated)


def _emptied(section: Section, sentence: Sentence, earlier: Sentence, source: str) -> Finding:
    message = f"the group {quote(section.name or '')} holds only templates of earlier groups: {quote(sentence.text)}"
    where = f"{earlier.line}:{earlier.column}"
    hint = f"it stands already at {where}; a template has one group, take one of the two out"
    return finding("G103", message, hint, source, sentence.line, sentence.column)
