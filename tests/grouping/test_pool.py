"""Reading pools: nothing is lost, nothing merged, and every line that is no template is named."""

from __future__ import annotations

import io
import json
import sys
from contextlib import suppress

import pytest
from group_strategies import template_texts
from hypothesis import given
from hypothesis import strategies as st

from mocoop.errors import GroupFileError, MoCoOpError, UsageError
from mocoop.groupfile.groups import MAX_BYTES, load_groups
from mocoop.grouping.convert.plain import text_line
from mocoop.grouping.paper import paper_groups, paper_names
from mocoop.grouping.pool import MOST_TEMPLATES, pool_of, read_pool


def test_a_text_gives_a_template_a_line(written):
    text = "# our own\n\na photo of a {}.\n  {} seen from above \n\n# a blurry {}.\na Photo of a {}.\n"
    pool = read_pool(written("satellite_images.txt", text))
    assert pool.texts == ("a photo of a {}.", "{} seen from above", "a Photo of a {}.")
    assert pool.domain == "satellite images"
    assert (pool.repeated, pool.file, pool.notices) == (0, None, ())


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_a_byte_order_mark_do_not_matter(written, end, mark):
    text = mark + end.join(["a {}.", "b {}.", "", "c {}."])
    assert read_pool(written("p.txt", text)).texts == ("a {}.", "b {}.", "c {}.")


NUMBERS = ["1. ", "23) ", "4.) ", "(5) ", "1024. ", "7.\t"]
BULLETS = ["- ", "* ", "+ ", "\u2022 ", "\u25e6  ", "\u00b7 ", "\u2013 ", "\u2014 ", "-\t"]


def test_list_marks_are_taken_off_and_that_is_told(written):
    lines = [f"{mark}{number} a {{}}." for number, mark in enumerate([*NUMBERS, *BULLETS])]
    pool = read_pool(written("p.txt", "\n".join(lines)))
    assert pool.texts == tuple(f"{number} a {{}}." for number in range(len(lines)))
    assert pool.notices == ("list marks were taken off: 6 lines numbered, 9 lines with a bullet",)
    assert read_pool(written("p.txt", "a {}.\n1. b {}.")).notices == ("list marks were taken off: 1 line numbered",)


@pytest.mark.parametrize(
    "text",
    ["3d {}.", "1 {}", "2 {} in a row", "3d render of a {}.", "2.5 m wide {}", "1.{}", "12345. {} of many",
     "(2020) a {}.", "(a) {}", "-{}.", "*{}*", "19th century {}", "1: {}", "a - {}", "100% {}", "{} 1. a"],
)  # fmt: skip
def test_what_may_belong_to_a_template_stays(written, text):
    pool = read_pool(written("p.txt", f"{text}\n"))
    assert (pool.texts, pool.notices) == ((text,), ())


@given(
    texts=st.lists(template_texts(), min_size=1, max_size=6, unique=True), mark=st.sampled_from([*NUMBERS, *BULLETS])
)
def test_a_marked_list_is_the_list_without_its_marks(tmp_path_factory, texts, mark):
    folder = tmp_path_factory.mktemp("pool")
    lines = [text_line(text) for text in texts]
    (folder / "bare.txt").write_text("\n".join(lines), encoding="utf-8")
    (folder / "marked.txt").write_text("\n".join(mark + line for line in lines), encoding="utf-8")
    assert read_pool(folder / "marked.txt").texts == read_pool(folder / "bare.txt").texts == tuple(texts)


@pytest.mark.parametrize("command", ["import", "cluster"])
def test_both_ways_in_tell_of_the_marks(typed, written, tmp_path, command):
    path = written("p.txt", "1. a {}.\n2. the {} at night.\n3. some {} in fog.\n4. 1 {}\n")
    options = {"import": [], "cluster": ["--groups", "2", "--embedder", "tfidf"]}[command]
    done = typed(command, path, *options, "-o", tmp_path / "out.json")
    assert done.code == 0, done.err
    assert "list marks were taken off: 4 lines numbered" in done.err
    held = {text for group in load_groups(tmp_path / "out.json").groups for text in group.texts}
    assert held == {"a {}.", "the {} at night.", "some {} in fog.", "1 {}"}


def test_a_line_in_quotes_is_taken_word_by_word(written):
    pool = read_pool(written("p.txt", '"# {}",\n"  a \\"{}\\" sign"\n"a {}" on a wall\n"back\\slash {}"\n'))
    assert pool.texts == ("# {}", '  a "{}" sign', '"a {}" on a wall', '"back\\slash {}"')


def test_the_same_text_twice_is_counted_and_nothing_else_is_merged(written):
    pool = read_pool(written("p.txt", "a photo of a {}.\nA photo of a {}.\na photo of the {}\na photo of a {}.\n"))
    assert pool.texts == ("a photo of a {}.", "A photo of a {}.", "a photo of the {}")
    assert pool.repeated == 1


@pytest.mark.parametrize("spelt", ["{c}", "{0}", "{class}", "{class_name}", "{CLS}", "{ }", "[CLASS]", "<class>", "%s"])
def test_other_spellings_of_the_slot_are_understood_and_told(written, spelt):
    pool = read_pool(written("p.txt", f"a photo of a {spelt}.\n"))
    assert pool.texts == ("a photo of a {}.",)
    assert pool.notices == ("the slot of 1 template was written anew as {}",)


def test_every_bad_line_is_named_with_its_place_and_rule(written):
    lines = [
        "a {}.",
        "no slot",
        "  two {} {}",
        "a {0.__class__}",
        "{color} {c}",
        "{}",
        "a \u200b{}",
        "<end_of_text> {}",
    ]
    path = written("p.txt", "\n".join([*lines, "x" * 200 + "{}", "tab\t{}"]) + "\n")
    with pytest.raises(GroupFileError) as caught:
        read_pool(path)
    found = {(f.line, f.code) for f in caught.value.findings}
    assert found == {(2, "G030"), (3, "G030"), (4, "G030"), (5, "G030"), (6, "G034"), (7, "G032"), (8, "G033"),
                     (9, "G024"), (10, "G031")}  # fmt: skip
    assert f"{path}:3:3: G030" in str(caught.value)
    assert caught.value.exit_code == 3
    assert all(f.hint for f in caught.value.findings)


def test_json_lists_are_read(written):
    assert read_pool(written("p.json", json.dumps(["a {}.", "b {c}."]))).texts == ("a {}.", "b {}.")
    with pytest.raises(GroupFileError, match=r"p\.json:2:2: G022 .*/1"):
        read_pool(written("p.json", '["a {}.",\n 5]'))
    with pytest.raises(GroupFileError, match="G004"):
        read_pool(written("p.json", '["a {}.",]'))
    with pytest.raises(GroupFileError, match="no list of templates"):
        read_pool(written("p.json", "5"))


def test_of_several_lists_one_is_named(written):
    path = written("p.json", json.dumps({"pets": ["a {c}."], "cars": ["my {c}.", "our {c}."]}))
    with pytest.raises(UsageError, match=r"2 lists: pets \(1\), cars \(2\)"):
        read_pool(path)
    assert read_pool(path, name="cars").texts == ("my {}.", "our {}.")
    with pytest.raises(UsageError, match="no list called 'cats'"):
        read_pool(path, name="cats")


@pytest.mark.parametrize("name", paper_names())
def test_a_group_file_gives_its_templates_group_by_group(written, name):
    path = written("any.json", paper_groups(name))
    file = load_groups(path)
    pool = read_pool(path)
    assert pool == pool_of(file)
    assert pool.texts == tuple(text for group in file.groups for text in group.texts)
    assert (pool.domain, pool.file) == (file.domain, file)
    assert read_pool(path, domain="maps").domain == "maps"


def test_a_broken_group_file_is_refused_as_one(written):
    with pytest.raises(GroupFileError, match=r"G020.*schema_version"):
        read_pool(written("p.json", '{"domain": "x", "groups": [{"id": "a", "templates": ["a {}."]}]}'))


def test_stdin_is_read(monkeypatch):
    for data in (b"a {}.\nb {}.\n", b'["a {}.", "b {}."]'):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        pool = read_pool("-")
        assert (pool.texts, pool.domain) == (("a {}.", "b {}."), "templates")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(paper_groups("eurosat"))))
    assert read_pool("-").domain == "EuroSAT"


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "G024"), (b"# only words\n\n", "G024"), ("a {}".encode("utf-16"), "G003"), (b"\xff {}", "G003")],
)
def test_what_holds_no_text_or_none_that_can_be_read(written, content, code):
    with pytest.raises(GroupFileError, match=code):
        read_pool(written("p.txt", content))


def test_too_much_is_refused(written, tmp_path):
    with pytest.raises(GroupFileError, match="larger than"):
        read_pool(written("p.txt", b"a {}.\n" * (MAX_BYTES // 6 + 1)))
    with pytest.raises(GroupFileError, match="G024"):
        read_pool(written("p.txt", "".join(f"{n} {{}}\n" for n in range(MOST_TEMPLATES + 1))))
    with pytest.raises(GroupFileError, match="No such file"):
        read_pool(tmp_path / "none.txt")
    with pytest.raises(UsageError, match="domain is empty"):
        read_pool(written("p.txt", b"a {}.\n"), domain=" ")


@given(data=st.binary(max_size=200), name=st.sampled_from(["p.txt", "p.json", "p"]))
def test_any_bytes_raise_only_our_errors(tmp_path_factory, data, name):
    path = tmp_path_factory.mktemp("pool") / name
    path.write_bytes(data)
    with suppress(MoCoOpError):
        assert read_pool(path).templates
