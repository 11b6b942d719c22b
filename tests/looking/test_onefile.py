"""The page as one file: nothing in it is read as HTML, nothing is loaded, and its size is bounded."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from importlib.resources import files

import pytest
from hostile import MARKUP, SCRIPT

from mocoop.looking.onefile import joined_modules, one_file, picture_order, script_json
from mocoop.looking.pictures import SIDES, jpeg_copy

PAGES = files("mocoop.looking").joinpath("pages")
MODULES = sorted(one.name for one in PAGES.iterdir() if one.name.endswith(".js"))


class Parsed(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.inside, self.open = [], {}, None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.open = f"{tag} {dict(attributes).get('type', '')}".strip()

    def handle_endtag(self, tag):
        self.open = None

    def handle_data(self, data):
        if self.open in ("style", "script module", "script application/json"):
            self.inside[self.open] = self.inside.get(self.open, "") + data


def copy_of(looked):
    paths = [example.path for example in looked.result.examples]
    return lambda number: jpeg_copy(paths[number], looked.run.reading, SIDES["small"])


@pytest.fixture(scope="module")
def text(looked):
    return one_file(looked.content, copy_of(looked))


def test_its_content_comes_back_whole(text, looked):
    told = json.loads(Parsed(text).inside["script application/json"])
    assert told.pop("pictures").keys() == {str(number) for number in range(len(looked.result.examples))}
    assert told == {**looked.content, "corrections": None}


def test_names_and_templates_are_no_markup(text):
    tags = [tag for tag, _ in Parsed(text).tags]
    assert tags.count("script") == 2
    assert tags.count("img") == 0
    assert MARKUP not in text
    assert SCRIPT not in text
    assert text.isascii() or "\u2028" not in text


@pytest.mark.parametrize("value", ["</script><script>", "<!--<script>", "\u2028\u2029", "\ud800", "&lt;", "]]>"])
def test_any_text_can_stand_in_the_json(value):
    told = script_json([value])
    assert json.loads(told) == [value]
    assert not set("<>&") & set(told)
    assert told.isascii()


def test_only_its_own_script_and_style_run(text):
    parsed = Parsed(text)
    (policy,) = [one["content"] for tag, one in parsed.tags if one.get("http-equiv") == "Content-Security-Policy"]
    for kind, name in (("style", "style-src"), ("script module", "script-src")):
        digest = base64.b64encode(hashlib.sha256(parsed.inside[kind].encode()).digest()).decode()
        assert f"{name} 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    addresses = [one[key] for _, one in parsed.tags for key in ("src", "href") if key in one]
    assert addresses == []


def test_pictures_are_bounded_and_wrong_answers_come_first(looked):
    images = looked.content["images"]
    wrong = [n for n, guess in enumerate(images["guess"]) if guess != images["label"][n]]
    order = picture_order(images)
    assert sorted(order) == list(range(len(images["name"])))
    assert set(order[: len(wrong)]) == set(wrong)
    sure = [images["top"][n][0][1] for n in order[: len(wrong)]]
    assert sure == sorted(sure, reverse=True)
    told = json.loads(Parsed(one_file(looked.content, copy_of(looked), 3)).inside["script application/json"])
    assert told["pictures"].keys() == {str(n) for n in order[:3]}
    assert told["notes"][-1].startswith(f"This file has the pictures of 3 of {len(order)} images: those of wrong")


def test_pictures_too_large_together_are_left_out(looked, monkeypatch):
    monkeypatch.setattr("mocoop.looking.onefile.MOST_BYTES", 2_500)
    told = json.loads(Parsed(one_file(looked.content, lambda _: b"x" * 1_000)).inside["script application/json"])
    assert len(told["pictures"]) == 2


@pytest.mark.parametrize("name", MODULES)
def test_no_module_takes_text_for_html(name):
    text = PAGES.joinpath(name).read_text("utf-8")
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|srcdoc", text
    )
    assert not re.search(r"\beval\(|new Function|DOMParser|setHTML|javascript:|https?://", text)


def test_every_module_is_joined_and_no_name_is_there_twice():
    joined = joined_modules()
    names = re.findall(r"^(?:async )?(?:function|const|let|class) (\w+)", joined, re.MULTILINE)
    assert len(names) == len(set(names)), sorted({name for name in names if names.count(name) > 1})
    assert not re.search(r"^\s*(import|export)\b", joined, re.MULTILINE)
    for name in MODULES:
        first = PAGES.joinpath(name).read_text("utf-8").splitlines()[0]
        assert joined.count(first) == 1


def test_nothing_is_inline_in_the_served_form():
    parsed = Parsed(PAGES.joinpath("index.html").read_text("utf-8"))
    assert not parsed.inside.get("style")
    assert not parsed.inside.get("script module", "").strip()
    assert not any(key.startswith("on") or key == "style" for _, one in parsed.tags for key in one)
