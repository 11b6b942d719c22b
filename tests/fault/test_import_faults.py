"""Hostile files for `import` and for pools: nothing is run, nothing grows, and only our errors come out, soon."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from grouping_cli import ROOT
from hypothesis import given
from hypothesis import strategies as st

from mocoop.errors import GroupFileError, MoCoOpError
from mocoop.groupfile.groups import MAX_BYTES, dump_groups, parse_groups
from mocoop.grouping.convert import FORMATS, read_listings
from mocoop.grouping.convert.assemble import assemble, joined
from mocoop.grouping.convert.checks import checked

NAMES = {
    "open_clip": "x.py",
    "clip-benchmark": "x.json",
    "csv": "x.csv",
    "txt": "x.txt",
    "markdown": "x.md",
    "yaml": "x.yaml",
}


def brought_in(data, source, file_format="auto"):
    """Everything `import --lists-as-groups` does but the writing; what comes out is a valid group file."""
    listing = joined(read_listings(data, source, file_format))
    made = assemble(listing, checked(listing, source), data, source)
    return parse_groups(dump_groups(made.document))


def laughs(depth):
    """The billion laughs: each alias nine of the one before."""
    lines = ['a0: &a0 ["x {}"]', *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, depth))]
    return "\n".join(lines)


DEEP = 100_000
HOSTILE = {
    "python/run.py": "T = [__import__('os').system('touch RAN'), 'a {}.']",
    "python/decorated.py": "@__import__('os').system('touch RAN')\ndef f(): pass\nT = ['a {}.', f()]",
    "python/brackets.py": "T = " + "[" * 90 + "'a {}'" + "]" * 90,
    "python/minus.py": "T = " + "-" * DEEP + "1",
    "python/dots.py": "T = a" + ".a" * DEEP,
    "python/sum.py": "T = [lambda c: " + "'a' + " * DEEP + "c]",
    "python/calls.py": "T = f" + "()" * DEEP,
    "python/lambdas.py": "lambda: " * DEEP + "0",
    "python/ifs.py": "T = " + "1 if x else " * DEEP + "0",
    "python/nul.py": "T = ['a {}']\0",
    "python/names.py": "T = ['" + "\\N{BULLET}" * 30 + "{}\\N{NO SUCH NAME}']",
    "python/bigint.py": "T = [" + "9" * 100_000 + ", 'a {}']",
    "python/cookie.py": "# -*- coding: rot13 -*-\nT = ['a {}', x]",
    "yaml/laughs.yaml": laughs(12),
    "yaml/anchor.yaml": "LASP_PROMPTS: [&a 'x {}']",
    "yaml/itself.yaml": "&a [*a]",
    "yaml/merge.yaml": "a: {<<: *b}",
    "yaml/tag.yaml": "LASP_PROMPTS: !!python/object/apply:os.system ['touch RAN']",
    "yaml/tag2.yaml": "LASP_PROMPTS: ['a {}', !!python/name:os.system x]",
    "yaml/deep.yaml": "[" * DEEP,
    "yaml/deeper.yaml": "[" * 100,
    "yaml/deepmap.yaml": "{a: " * 5_000,
    "yaml/deepblock.yaml": "\n".join(" " * n + "- - a:" for n in range(0, 400, 4)),
    "yaml/twice.yaml": "LASP_PROMPTS: ['a {}']\nLASP_PROMPTS: ['b {}']",
    "yaml/documents.yaml": "['a {}']\n---\n['b {}']",
    "yaml/key.yaml": "? [a]\n: ['b {}']",
    "yaml/nul.yaml": "['a {}\0']",
    "yaml/tab.yaml": "\tx: ['a {}']",
    "yaml/keys.yaml": "\n".join(f"k{n}: [" for n in range(20_000)),
    "csv/quote.csv": 'template\n"' + "a {} " * 60_000,
    "csv/columns.csv": "template" + "," * 200_000 + "\n" + "," * 300_000,
    "csv/nul.csv": "template\na {}\0\n",
    "json/deep.json": "[" * DEEP,
    "json/keys.json": '{"a": ["x {}"], "a": ["y {}"]}',
    "json/nested.json": '{"a": [["x {}"]]}',
    "json/bigint.json": "[" + "9" * 100_000 + "]",
    "json/surrogate.json": '["a \\ud800 {}"]',
    "txt/surrogate.txt": '"a \\ud800 {}"',
    "txt/attack.txt": "{0.__class__.__mro__}",
    "txt/override.txt": "a {} \u202e.gnp",
    "txt/one_line.txt": "a {} " * 200_000,
    "txt/slot.txt": "a {" + " " * 200_000 + "x",
    "txt/mark.txt": "1. " + " " * 200_000 + "x",
    "markdown/spaces.md": "- a" + " " * 200_000 + "b",
    "markdown/heading.md": "# a" + " " * 200_000 + "b\n- x" + "## `" + "a" * 200_000 + "\n- y",
    "markdown/closing.md": "# " + " #" * 100_000 + "x\n- " + "b",
    "unknown/lines": "\n" * 1_000_000 + "x",
    "unknown/spaces": (" " * 1000 + "\n") * 1000 + "x",
    "unknown/words": "word" * 250_000 + " = x",
    "unknown/hashes": "# \n" * 200_000,
    "unknown/separators": "," * 1_000_000,
    "markdown/ticks.md": "- " + "`" * 200_000 + "a {}",
    "markdown/tick_pairs.md": "- " + "` `` " * 40_000 + "{}",
    "markdown/hashes.md": "# x" + " #" * 100_000 + "\n- " + "b",
    "markdown/escapes.md": "- " + "\\" * 200_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_soon_and_without_being_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    start = time.monotonic()
    with pytest.raises(GroupFileError) as caught:
        brought_in(HOSTILE[name].encode(), name)
    assert time.monotonic() - start < 20  # what is not linear takes minutes
    assert caught.value.findings
    assert len(str(caught.value)) < 10_000
    assert not Path("RAN").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("yaml/laughs.yaml", "G022 an alias or anchor"),
        ("yaml/itself.yaml", "G022 an alias or anchor"),
        ("yaml/tag.yaml", "G022 the tag"),
        ("yaml/tag2.yaml", "G022 the tag"),
        ("yaml/deep.yaml", "nesting"),
        ("yaml/deeper.yaml", "G005 nested more than 20 deep"),
        ("yaml/twice.yaml", "2:1: G105 the key"),
        ("yaml/documents.yaml", "G022 not one YAML document"),
        # Python 3.10 reads as much, and then finds no templates in it
        (
            "python/dots.py",
            "G005 the Python is nested too deep" if sys.version_info >= (3, 11) else "G022 there is no list",
        ),
        ("python/run.py", "1:6: G022 an item that is computed"),
        ("json/deep.json", "G005"),
        ("json/keys.json", "G105"),
    ],
)
def test_the_reason_is_told(name, said):
    with pytest.raises(GroupFileError, match=said):
        brought_in(HOSTILE[name].encode(), name)


@pytest.mark.parametrize(
    "name", ["python/dots.py", "python/sum.py", "yaml/laughs.yaml", "yaml/deep.yaml", "json/deep.json"]
)
def test_a_bomb_stays_within_memory_and_stack_of_a_process_of_its_own(name, tmp_path):
    """In a process with 1 GiB of address space: what crashed the interpreter would show as a signal."""
    path = tmp_path / name.rpartition("/")[2]
    path.write_text(HOSTILE[name])
    command = [sys.executable, "-m", "mocoop.grouping.commands", "import", str(path)]
    limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))  # noqa: E731
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, preexec_fn=limit, timeout=60)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("file_format", FORMATS)
def test_too_large_a_file_is_refused_unread(file_format):
    with pytest.raises(GroupFileError, match="G002"):
        read_listings(b" " * (MAX_BYTES + 1), NAMES[file_format], file_format)


@pytest.mark.parametrize("file_format", FORMATS)
def test_other_encodings_are_refused(file_format):
    for data in ("a {}".encode("utf-16"), "a {}".encode("utf-32"), b"a \xe9 {}"):
        with pytest.raises(GroupFileError, match="G003"):
            read_listings(data, NAMES[file_format], file_format)


@pytest.mark.parametrize("file_format", FORMATS)
@given(data=st.binary(max_size=300))
def test_any_bytes_raise_only_our_errors(file_format, data):
    with suppress(MoCoOpError):
        brought_in(data, NAMES[file_format], file_format)


PIECES = st.sampled_from(
    [
        *("{}", "{c}", "a ", "\n", "\n- ", "- ", "# ", "## x `y`\n", "`", "``", '"', "'", ",", ";", "\t", "[", "]"),
        *("(", ")", "{", "}", ":", ": ", "T = ", "lambda c: ", "f'", "group,template\n", "GROUPS: [1]\n", "(init)"),
        *("LASP_PROMPTS: ", "&a ", "*a", "!!x ", "|\n", "---\n", "\\", "null", "5", "\u00e9", "\u202e", "\0", "="),
    ]
)


@pytest.mark.parametrize("file_format", ["auto", *FORMATS])
@given(pieces=st.lists(PIECES, max_size=25))
def test_any_text_of_the_formats_own_pieces_raises_only_our_errors(file_format, pieces):
    with suppress(MoCoOpError):
        brought_in("".join(pieces).encode(), NAMES.get(file_format, "<stdin>"), file_format)
