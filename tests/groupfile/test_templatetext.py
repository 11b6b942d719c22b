"""The rules of one template agree with the schema's patterns, and no token spelling gets past them."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from mocoop.groupfile import tokens
from mocoop.groupfile.schema import schema
from mocoop.groupfile.templatetext import (
    character_problems,
    fill,
    folded,
    oddities,
    special_problem,
    special_token,
    template_problems,
)

TEMPLATE = Draft202012Validator({**schema()["$defs"]["templateText"], "$defs": schema()["$defs"]})
PROSE = Draft202012Validator(schema()["$defs"]["prose"])
LINE = Draft202012Validator(schema()["$defs"]["line"])

CHARACTERS = st.characters(exclude_categories=["Cs"]) | st.sampled_from(
    list("{} \n\t\r\0\x7f\x85\xa0\xad\u061c\u200b\u200d\u200f\u2028\u202e\u2066\ufeff\ufffa\U000e0041")
)
TEXTS = st.text(CHARACTERS, max_size=12) | st.tuples(
    st.text(CHARACTERS, max_size=4), st.just("{}"), st.text(CHARACTERS, max_size=4)
).map("".join)


def codes(text: str) -> list[str]:
    return [problem.code for problem in template_problems(text, (), "the template")]


@settings(max_examples=1000)
@given(TEXTS)
@example("{}")
@example("a {}\n")
@example("{}{}")
@example("\xa0{}\u3000")
@example("\u200d{}")
def test_rules_and_schema_accept_the_same_texts(text: str) -> None:
    assert (not codes(text)) == TEMPLATE.is_valid(text)
    assert (not list(character_problems(text, (), ""))) == LINE.is_valid(text)
    assert (not list(character_problems(text, (), "", line_breaks=True))) == PROSE.is_valid(text)


@pytest.mark.parametrize(
    "text",
    [
        "a photo of a {}.",
        "{}.",
        "{} texture.",
        "the {}s",
        "x{}y",
        "ein Foto von {}, groß.",
        "{}の写真。",
        "a\u200d{}",
        "❤️ {}",
    ],
)
def test_good(text: str) -> None:
    assert codes(text) == []
    assert special_token(text) is None


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("a photo.", "G030", "write {} for the class name"),
        ("a {} and a {}.", "G030", "2 slots"),
        ("a photo of {name}.", "G030", "write {} in place of {name}"),
        ("a photo of {0.__class__}.", "G030", "write {} in place of {0.__class__}"),
        ("a photo of [CLASS].", "G030", "write {} in place of [CLASS]"),
        ("a photo of %s.", "G030", "write {} in place of %s"),
        ("a {{}} photo", "G030", "brace too many"),
        ("a {} photo}", "G030", "brace too many"),
        ("a }{ photo", "G030", "brace too many"),
        ("a { } photo", "G030", "write {} in place of { }"),
        ("two\nlines of {}", "G031", "U+000A"),
        ("a\tphoto of {}", "G031", "U+0009"),
        ("a photo of {}\n", "G031", "on one line"),
        ("a photo\0 of {}", "G031", r"\x00"),
        ("a photo\u2029 of {}", "G031", "U+2029 paragraph separator"),
        ("a \u202e{} photo", "G032", "U+202E right-to-left override"),
        ("a \u200f{} photo", "G032", r"a \u200f{} photo"),
        ("a pho\xadto of {}", "G032", "soft hyphen"),
        ("\ufeffa photo of {}", "G032", "U+FEFF"),
        ("a photo\U000e0061 of {}", "G032", "U+E0061"),
        ("   {}", "G034", "nothing beside the slot"),
    ],
)
def test_bad(text: str, code: str, words: str) -> None:
    (problem,) = template_problems(text, ("x",), "the template")
    assert problem.code == code
    assert words in f"{problem.message} {problem.hint}"
    assert problem.message.isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "<start_of_text> {}",
        "{}<end_of_text>",
        "<|startoftext|> {}",
        "a {} <|endoftext|>",
        "A {} <END_OF_TEXT>",
        "＜end_of_text＞ {}",
        "&lt;end_of_text&gt; {}",
        "&amp;lt;end_of_text&amp;gt; {}",
        "<end\ufeff_of_text> {}",
        "<end_of_text\x07> {}",
    ],
)
def test_special_tokens(text: str) -> None:
    problem = special_problem(text, (), "the template")
    assert problem is not None
    assert problem.code == "G033"


SPELLING_PARTS = [
    "<",
    ">",
    "&lt;",
    "&GT;",
    "&amp;",
    "lt;",
    "＜",
    "start",
    "end",
    "END",
    "_of_text",
    "_of_",
    "text",
    "|",
    "{}",
    "&",
    "#60;",
    "ｅnd",
    "ﬁ",
]
HIDDEN_PARTS = [" ", "\ufeff", "\u206a", "\x07", "\x1b[0m"]


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(SPELLING_PARTS + HIDDEN_PARTS), max_size=9).map("".join))
@example("&amp;amp;lt;end_of_text>")
def test_no_special_token_gets_past_the_rules(text: str) -> None:
    found = set(tokens.pieces(text)) & set(tokens.SPECIAL_TOKENS)
    assert not found or special_token(text) or codes(text)


@given(st.text(), st.text())
def test_fill_is_literal(before: str, name: str) -> None:
    template = before.replace("{", "").replace("}", "") + "{} end"
    assert fill(template, name) == template.removesuffix("{} end") + name + " end"


def test_folding() -> None:
    alike = [
        "a photo of a {}.",
        "A photo of the {}",
        "photo of  {} .",
        "a photo of an {}.",
        "ａ photo of {}.",
    ]
    assert len({folded(text) for text in alike}) == 1
    assert folded("a photo of many {}.") != folded("a photo of {}.")
    assert folded("an atlas of {}") == "atlas of {}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (" a {}.", "start or end"),
        ("a  {}.", "two spaces"),
        ("a\xa0{}.", "no plain space"),
        ("a {} .", "before punctuation"),
        ("a “{}”.", "U+201C"),
        ("a {}…", "U+2026"),
    ],
)
def test_oddities(text: str, words: str) -> None:
    assert words in " ".join(oddities(text))
    assert oddities("an X-ray of {}, left.") == []
