"""Counting CLIP's text tokens without torch, so that a group file can be checked in a fraction of a second.

The byte-pair merges are read from the table that open_clip installs, found without importing open_clip. The text is
cleaned as in open_clip's default tokenizer: ftfy, HTML entities, white space, lower case. Token ids and tokenizers of
other backbones are not here: training uses the backbone's own.

Byte-pair encoding: Sennrich et al. 2016; the word pattern and the byte alphabet are those of Radford et al. 2021.
"""

from __future__ import annotations

import gzip
import html
import importlib.util
import itertools
from functools import lru_cache
from pathlib import Path
from typing import Any

SPECIAL_TOKENS = ("<start_of_text>", "<end_of_text>")

_TABLE = "bpe_simple_vocab_16e6.txt.gz"
_MERGES = 49152 - 256 - 2  # the number of the table's merges that OpenAI's CLIP uses
_WORD = "|".join(
    [*SPECIAL_TOKENS, r"'s|'t|'re|'ve|'m|'ll|'d", r"\p{L}+", r"\p{N}", r"[^\s\p{L}\p{N}]+"]
)  # order matters: the first match is taken
_END = "</w>"


def available() -> bool:
    """Whether tokens can be counted here: open_clip's table, and the libraries that clean text."""
    return _table_path() is not None and all(importlib.util.find_spec(name) for name in ("ftfy", "regex"))


@lru_cache(maxsize=65536)
def count_tokens(text: str) -> int:
    """The number of CLIP tokens of a text, without the start and end tokens. Needs `available()`."""
    return sum(len(_pieces(word)) for word in _words(text))


def pieces(text: str) -> list[str]:
    """The tokens of a text as spelt in the table; a piece that ends a word has "</w>"."""
    return [piece for word in _words(text) for piece in _pieces(word)]


@lru_cache(maxsize=1)
def _table_path() -> Path | None:
    spec = importlib.util.find_spec("open_clip")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / _TABLE
        if path.is_file():
            return path
    return None


@lru_cache(maxsize=1)
def _ranks() -> dict[tuple[str, str], int]:
    """Pair of pieces -> its rank in the order of merging."""
    path = _table_path()
    if path is None:
        raise RuntimeError(f"{_TABLE} of open_clip is not installed; ask available() first")
    lines = gzip.decompress(path.read_bytes()).decode("utf-8").split("\n")
    pairs = (line.split() for line in lines[1 : _MERGES + 1])
    return {(first, second): rank for rank, (first, second) in enumerate(pairs)}


@lru_cache(maxsize=1)
def _alphabet() -> dict[int, str]:
    """A visible character for every byte: printable Latin-1 stands for itself, the rest is above U+0100."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in set(visible)]
    return {byte: chr(byte) for byte in visible} | {byte: chr(256 + i) for i, byte in enumerate(hidden)}


@lru_cache(maxsize=1)
def _pattern() -> Any:
    import regex

    return regex.compile(_WORD, regex.IGNORECASE)


def _words(text: str) -> list[str]:
    found: list[str] = _pattern().findall(" ".join(_cleaned(text).split()).lower())
    return found


def _cleaned(text: str) -> str:
    if text.isascii() and text.isprintable() and "&" not in text:
        return text  # nothing to fix, as in most templates
    import ftfy

    return html.unescape(html.unescape(ftfy.fix_text(text)))


@lru_cache(maxsize=65536)
def _pieces(word: str) -> tuple[str, ...]:
    """Merge a word's bytes pair by pair, the pair of the lowest rank first."""
    if word in SPECIAL_TOKENS:
        return (word,)
    alphabet, ranks = _alphabet(), _ranks()
    parts = [alphabet[byte] for byte in word.encode("utf-8")]
    parts[-1] += _END
    while len(parts) > 1:
        best = min(itertools.pairwise(parts), key=lambda pair: ranks.get(pair, len(ranks)))
        if best not in ranks:
            break
        parts = _merge(parts, best)
    return tuple(parts)


def _merge(parts: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for part in parts:
        if merged and (merged[-1], part) == pair:
            merged[-1] += part
        else:
            merged.append(part)
    return merged
