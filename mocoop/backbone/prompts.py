"""From templates and class names to token rows, and which of their tokens are learned.

A template is filled with a class name and tokenised *whole* by the backbone's own tokenizer, because pieces encoded
separately can differ ("u.s." before a full stop; "{}s"). The context is the common prefix and suffix of the rows of
all classes: those shared tokens are the learned ones. Tokens that change with the class stay as written. Running
text through a tower is in `text_engine.py`.

E experts (or templates), C classes, L sequence length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mocoop.errors import DataError, GroupFileError
from mocoop.groupfile.templatetext import fill

if TYPE_CHECKING:
    from mocoop.config import CtxPosition

Tokenize = Callable[[Sequence[str], int], Tensor]  # texts, length -> ids (N, length), padded at the end

# Names that share no first or last token: whatever their rows have in common belongs to the template.
_PROBES = ("dog", "airport", "47", "quiet zebra")


@dataclass(frozen=True, slots=True)
class TokenRows:
    """Prompts as token ids. `learned` holds the row of the ctx table that replaces a token, or -1."""

    ids: Tensor  # (E, C, L) int64, padded with the tokenizer's own padding
    lengths: Tensor  # (E, C) int64, tokens before the padding
    learned: Tensor  # (E, C, L) int64

    def classes(self, start: int, stop: int) -> TokenRows:
        """The rows of a slice of the classes."""
        return TokenRows(self.ids[:, start:stop], self.lengths[:, start:stop], self.learned[:, start:stop])

    def repeated(self, times: int, tokens: int) -> TokenRows:
        """The rows of one expert repeated for several, each with its own `tokens` rows of the ctx table."""
        offset = tokens * torch.arange(times)[:, None, None]
        learned = torch.where(self.learned >= 0, self.learned + offset, -1)
        return TokenRows(self.ids.expand(times, -1, -1), self.lengths.expand(times, -1), learned)


@dataclass(frozen=True, slots=True)
class Context:
    """The learned tokens of one expert: the ids they start from, before and after the class name.

    The last `kept` tokens of the template stay as written (CoOp's full stop).
    """

    template: str
    before: tuple[int, ...]
    after: tuple[int, ...]
    kept: int = 0

    def __len__(self) -> int:
        return len(self.before) + len(self.after)


class PromptTokenizer:
    """Fills templates, tokenises them and finds contexts, for one backbone's tokenizer and context length."""

    def __init__(self, tokenize: Tokenize, context_length: int) -> None:
        self._tokenize = tokenize
        self.context_length = context_length
        # Rows are tokenised at a generous length first: tokenizers silently truncate what is too long.
        self._reading_length = 4 * context_length
        self._padding = int(tokenize(["dog"], self._reading_length)[0, -1])
        empty = self._read("{}", _PROBES)
        self._lead, self._trail = _common_prefix(empty), _common_suffix(empty)  # special tokens at both ends

    def rows(self, templates: Sequence[str], classnames: Sequence[str]) -> TokenRows:
        """Token rows (E, C, L) of every template filled with every class name; no token is learned.

        Raises DataError naming template and class if a prompt is longer than the context length.
        """
        table = [self._read(template, classnames) for template in templates]
        for template, rows in zip(templates, table, strict=True):
            self._check_lengths(template, classnames, rows)
        return self._pack(table)

    def count_tokens(self, text: str) -> int:
        """Number of tokens of a text for this backbone, without the special tokens at both ends."""
        (row,) = self._read("{}", [text])
        return len(row) - self._lead - self._trail

    def contexts(self, templates: Sequence[str], classnames: Sequence[str]) -> list[Context]:
        """The context of each template: the tokens that do not change with the class.

        Raises GroupFileError if nothing is left to learn ("{}" alone, or a slot attached to every word).
        """
        return [self._context(template, classnames) for template in templates]

    def prompt_context(
        self, words: str, position: CtxPosition, classnames: Sequence[str], *, full_stop: bool = True
    ) -> Context:
        """The context of one prompt made of `words`, placed before, around or after the class name.

        The full stop stays as written, as in CoOp, or is left out. Raises GroupFileError, DataError as `contexts` and
        `rows` do.
        """
        template = with_slot(words, position)
        if not full_stop:
            return self._context(template, classnames)
        context = self._context(f"{template}.", classnames)
        stop = self.count_tokens(".") if context.after else 0  # none is left if it merges with the name
        return replace(context, after=context.after[: len(context.after) - stop], kept=stop)

    def learned_rows(
        self, contexts: Sequence[Context], classnames: Sequence[str], *, by_class: bool = False
    ) -> TokenRows:
        """Token rows of the contexts' templates, with `learned` indexing the ctx table (expert by expert).

        With `by_class` every class has its own rows there, class by class, as in CoOp's class-specific contexts.
        Raises DataError if a class name changes the tokens of a context ("dogs" for "{}s").
        """
        rows = self.rows([context.template for context in contexts], classnames)
        learned = torch.full_like(rows.ids, -1)
        offset = 0
        for e, context in enumerate(contexts):
            for c, name in enumerate(classnames):
                length = int(rows.lengths[e, c])
                before = slice(self._lead, self._lead + len(context.before))
                end = length - self._trail - context.kept
                after = slice(end - len(context.after), end)
                row = rows.ids[e, c]
                if tuple(row[before].tolist()) != context.before or tuple(row[after].tolist()) != context.after:
                    raise DataError(
                        f"the class name {name!r} changes the learned tokens of the template {context.template!r}",
                        "rename the class, or train again with this class in the list",
                    )
                start = offset + (c * len(context) if by_class else 0)
                ctx_rows = torch.arange(start, start + len(context))
                learned[e, c, before] = ctx_rows[: len(context.before)]
                learned[e, c, after] = ctx_rows[len(context.before) :]
            offset += len(context) * (len(classnames) if by_class else 1)
        return TokenRows(rows.ids, rows.lengths, learned)

    def _read(self, template: str, classnames: Sequence[str]) -> list[list[int]]:
        """The rows of one template, without padding. (SigLIP pads with its end token, which then counts as padding.)"""
        rows = self._tokenize([fill(template, name) for name in classnames], self._reading_length).tolist()
        for row in rows:
            while row and row[-1] == self._padding:
                row.pop()
        return rows

    def _check_lengths(self, template: str, classnames: Sequence[str], rows: Sequence[list[int]]) -> None:
        longest = max(range(len(rows)), key=lambda c: len(rows[c]))
        if len(rows[longest]) > self.context_length:
            raise DataError(
                f"the template {template!r} with the class name {classnames[longest]!r} has {len(rows[longest])} "
                f"tokens, the backbone takes {self.context_length}",
                "shorten the template or the class name",
            )

    def _context(self, template: str, classnames: Sequence[str]) -> Context:
        rows = self._read(template, [*_PROBES, *classnames])
        shortest = min(len(row) for row in rows)
        lead = min(_common_prefix(rows), shortest)
        trail = min(_common_suffix(rows), shortest - lead)
        before = tuple(rows[0][self._lead : lead])
        after = tuple(rows[0][len(rows[0]) - trail : len(rows[0]) - self._trail])
        if not before and not after:
            raise GroupFileError(
                f"the template {template!r} has no token of its own to learn: all of them change with the class",
                "choose another init template, one with words beside the slot",
            )
        return Context(template, before, after)

    def _pack(self, table: Sequence[Sequence[list[int]]]) -> TokenRows:
        shape = (len(table), len(table[0]) if table else 0, self.context_length)
        ids = torch.full(shape, self._padding, dtype=torch.int64)
        lengths = torch.zeros(shape[:2], dtype=torch.int64)
        for e, rows in enumerate(table):
            for c, row in enumerate(rows):
                ids[e, c, : len(row)] = torch.tensor(row)
                lengths[e, c] = len(row)
        return TokenRows(ids, lengths, torch.full_like(ids, -1))


def with_slot(words: str, position: CtxPosition) -> str:
    """The words with {} at their end, middle or front; in the middle, the smaller half comes before it."""
    split = words.split()
    half = {"before": len(split), "middle": len(split) // 2, "after": 0}[position]
    return " ".join([*split[:half], "{}", *split[half:]])


def without_full_stop(template: str) -> str:
    """The template without a trailing full stop (the `official` preset's learned prompts)."""
    return template.rstrip().removesuffix(".").rstrip()


def _common_prefix(rows: Sequence[Sequence[int]]) -> int:
    length = 0
    for column in zip(*rows, strict=False):
        if len(set(column)) > 1:
            break
        length += 1
    return length


def _common_suffix(rows: Sequence[Sequence[int]]) -> int:
    return _common_prefix([row[::-1] for row in rows])
