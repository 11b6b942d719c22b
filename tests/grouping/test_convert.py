"""Import and export: what other software's files hold comes in whole, and goes out so that it comes back the same."""

from __future__ import annotations

import ast
import csv
import importlib.util
import io
import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mocoop.errors import GroupFileError, UsageError
from mocoop.groupfile.groups import dump_groups, parse_groups
from mocoop.groupfile.templatetext import special_token
from mocoop.grouping.convert import FORMATS, chosen, read_listings
from mocoop.grouping.convert.assemble import assemble, joined, name_from
from mocoop.grouping.convert.checks import checked, with_slot
from mocoop.grouping.convert.writers import export
from mocoop.grouping.paper import paper_groups, paper_names

SUFFIXES = {"open_clip": "py", "clip-benchmark": "json", "csv": "csv", "txt": "txt", "markdown": "md", "yaml": "yaml"}
PAPER = {name: parse_groups(paper_groups(name)) for name in paper_names()}


def read(content, source, *, name=None, **options):
    """What `import` makes of a file: the group file and the notices."""
    data = content if isinstance(content, bytes) else content.encode()
    listing = chosen(read_listings(data, source), name, source)
    made = assemble(listing, checked(listing, source), data, source, **options)
    return parse_groups(dump_groups(made.document)), made.notices


def groups_of(file):
    return [group.texts for group in file.groups]


def texts_of(file):
    return [text for group in file.groups for text in group.texts]


def refused(content, source, **options):
    with pytest.raises(GroupFileError) as caught:
        read(content, source, **options)
    return {(found.line, found.code) for found in caught.value.findings}


# every character that a template may hold, those included that formats use for themselves
CHARACTERS = st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="{}\u2028\u2029\u00ad\u061c\u180e"
    "\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\ufeff\ufff9\ufffa\ufffb", max_codepoint=0xFFFF).filter(
    lambda c: not 0x2060 <= ord(c) <= 0x206F
) | st.sampled_from("`'\"\\#-*_<>[](),;=+@|&%$ \t".replace("\t", "") + "\U0001f600")  # fmt: skip
WORDS = st.text(CHARACTERS, max_size=12) | st.sampled_from(
    ["100%s ", " [class]", "<class>", "- ", "1. ", "# ", "'=", '" ']
)
TEMPLATES = (
    st.tuples(WORDS, WORDS)
    .map("{}".join)
    .filter(lambda text: text.replace("{}", "").strip() and special_token(text) is None)
)
TITLES = st.none() | st.from_regex(r"[A-Za-z`*_()#][ -~]{0,20}[a-z`)*]", fullmatch=True)


@st.composite
def group_files(draw):
    texts = draw(st.lists(TEMPLATES, min_size=1, max_size=8, unique=True))
    cuts = sorted(draw(st.sets(st.integers(1, max(len(texts) - 1, 1)), max_size=3))) if len(texts) > 1 else []
    parts = [texts[a:b] for a, b in zip([0, *cuts], [*cuts, len(texts)], strict=True)]
    groups = [
        {"id": f"g{n}", "templates": part, **({"title": title} if (title := draw(TITLES)) else {})}
        for n, part in enumerate(parts)
    ]
    document = {"schema_version": 1, "domain": "street signs", "groups": groups}
    return parse_groups(dump_groups(document))


@pytest.mark.parametrize("file_format", ["csv", "markdown", "yaml"])
@given(file=group_files())
def test_formats_with_groups_come_back_as_they_went_out(file_format, file):
    back, notices = read(export(file, file_format).text, f"x.{SUFFIXES[file_format]}")
    assert groups_of(back) == groups_of(file)
    assert [group.id for group in back.groups] == [group.id for group in file.groups]
    assert [group.init for group in back.groups] == [group.init for group in file.groups]
    assert notices == ()


@pytest.mark.parametrize("file_format", ["open_clip", "clip-benchmark", "txt"])
@given(file=group_files())
def test_flat_formats_keep_every_template_and_their_order(file_format, file):
    made = export(file, file_format)
    back, _ = read(made.text, f"x.{SUFFIXES[file_format]}")
    assert texts_of(back) == texts_of(file)
    assert any("flat list" in notice for notice in made.notices)


@given(file=group_files())
def test_written_python_is_plain_data_that_fills_as_ours_does(file):
    (assignment,) = ast.parse(export(file, "open_clip").text).body
    assert list(ast.literal_eval(assignment.value)) == texts_of(file)
    for text in ast.literal_eval(assignment.value):
        assert text.format("a cat") == text.replace("{}", "a cat", 1)  # how open_clip fills it


@given(file=group_files())
@example(parse_groups(b'{"schema_version":1,"domain":"d","groups":[{"id":"a","templates":["=cmd {}","@{}","\'+{}"]}]}'))
def test_no_cell_of_a_table_is_a_formula(file):
    for row in csv.reader(io.StringIO(export(file, "csv").text)):
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row)


@pytest.mark.parametrize("name", PAPER)
@pytest.mark.parametrize("file_format", FORMATS)
def test_the_paper_sets_go_out_and_come_back(name, file_format):
    back, _ = read(export(PAPER[name], file_format).text, f"x.{SUFFIXES[file_format]}")
    assert texts_of(back) == texts_of(PAPER[name])
    if file_format in ("csv", "markdown", "yaml"):
        assert back.sha256 == PAPER[name].sha256
        assert [group.title for group in back.groups] == [group.title for group in PAPER[name].groups]
    assert back.domain == PAPER[name].domain if file_format in ("markdown", "yaml") else back.domain


# the released code's YAML


def released(groups, dataset="EuroSAT", key="LASP_PROMPTS", counts_last=False):
    """A data set's configuration as the released code lays it out, with its comments and commented-out lines."""
    counts = f"    GROUPS: {[len(group) for group in groups]} # LARS loss"
    rows = [f"    {key}: ["]
    for number, group in enumerate(groups):
        rows += ["    # ## Photos of something", '        # "a photo of the {}.",', f"    ## {number}"]
        rows += [f'        "{text}", #' for text in group]
    rows.append("    ]")
    body = [*rows, "    # GROUPS: [1, 1]", counts] if counts_last else [counts, *rows]
    return "\n".join(
        [f'DATASET:\n  NAME: "{dataset}"', "TRAIN:\n  PRINT_FREQ: 20", "TRAINER:\n  MoCoOp:", *body, "    ", ""]
    )


def offsets(groups):
    return [sum(map(len, groups[:n])) for n in range(len(groups))]


@pytest.mark.parametrize("name", PAPER)
@pytest.mark.parametrize("counts_last", [False, True])
def test_the_released_layout_gives_the_paper_groups_and_the_same_offsets(test_data, name, counts_last):
    groups = [tuple(group) for group in json.loads((test_data / "paper_groups.json").read_text())[name]["groups"]]
    file, notices = read(released(groups, name, counts_last=counts_last), "dataset.yaml")
    assert groups_of(file) == groups
    assert [group.init for group in file.groups] == [group[0] for group in groups]
    assert (file.domain, notices) == (name.replace("_", "_"), ())
    again, _ = read(export(file, "yaml").text, "again.yaml")
    assert groups_of(again) == groups
    assert offsets(groups_of(again)) == offsets(groups)
    import yaml

    written = yaml.safe_load(export(file, "yaml").text)["TRAINER"]["MoCoOp"]
    assert written == {"GROUPS": list(map(len, groups)), "LASP_PROMPTS": [text for group in groups for text in group]}


def test_ids_are_made_of_the_first_template_and_are_unique():
    file, _ = read(
        released([["a photo of the large {}."], ["a photo of the large {}!"], ["{} texture."], ["\u732b {}"]]), "d.yml"
    )
    assert [group.id for group in file.groups] == ["photo_of_the_large", "photo_of_the_large_2", "texture", "groups"]
    assert name_from("{} ...") == "group"


def test_the_code_looks_for_prompts_too():
    assert groups_of(read(released([["a {}."], ["b {}.", "c {}."]], key="PROMPTS"), "d.yaml")[0]) == [
        ("a {}.",),
        ("b {}.", "c {}."),
    ]


def test_counts_that_do_not_add_up_are_explained():
    text = released([["a {}."], ["b {}.", "c {}."]]).replace('        "b {}.", #\n', '        # "b {}.",\n')
    with pytest.raises(
        GroupFileError, match=r"d\.yaml:7:13: G024 GROUPS counts 3 templates, the list holds 2.*shifts every"
    ):
        read(text, "d.yaml")
    for counts in ("[0, 3]", "[1, x]", "[-1, 4]", "[]", "5", "[[1], 2]", "[1.5, 1.5]"):
        assert refused(released([["a {}."], ["b {}.", "c {}."]]).replace("[1, 2]", counts), "d.yaml") == {(7, "G022")}


def test_other_yaml_lists_have_no_groups():
    file, _ = read('templates:\n  - a photo of a {c}.\n  - "{} texture."\nnames: [cat, dog]\n', "maps.yaml")
    assert groups_of(file) == [("a photo of a {}.", "{} texture.")]
    assert (file.groups[0].id, file.domain) == ("all", "maps")
    with pytest.raises(UsageError, match=r"2 lists: a \(1\), b\.c \(1\)"):
        read('a: ["x {}"]\nb: {c: ["y {}"]}\n', "maps.yaml")
    assert groups_of(read('a: ["x {}"]\nb: {c: ["y {}"]}\n', "maps.yaml", name="b.c")[0]) == [("y {}",)]


def test_yaml_puts_the_init_first_and_says_so():
    group = {"id": "g", "init": "b {}.", "templates": ["a {}.", "b {}.", "c {}."]}
    file = parse_groups(dump_groups({"schema_version": 1, "domain": "d", "groups": [group]}))
    made = export(file, "yaml")
    back, _ = read(made.text, "x.yaml")
    assert groups_of(back) == [("b {}.", "a {}.", "c {}.")]
    assert back.groups[0].init == "b {}."
    assert any('group g: "b {}." now stands first' in notice for notice in made.notices)


# Python


def test_the_eighty_templates_of_open_clip_come_in():
    folder = importlib.util.find_spec("open_clip").submodule_search_locations[0]
    path = Path(folder) / "zero_shot_metadata.py"
    with pytest.raises(UsageError, match=r"OPENAI_IMAGENET_TEMPLATES \(80\), SIMPLE_IMAGENET_TEMPLATES \(7\)"):
        read(path.read_bytes(), str(path))
    file, _ = read(path.read_bytes(), str(path), name="OPENAI_IMAGENET_TEMPLATES")
    texts = texts_of(file)
    assert len(texts) == 80
    assert (texts[0], texts[-1]) == ("a bad photo of a {}.", "a tattoo of the {}.")
    step = file.document["provenance"]["steps"][0]
    assert (step["source"], step["list"]) == ("zero_shot_metadata.py", "OPENAI_IMAGENET_TEMPLATES")
    for file_format, suffix in (
        ("open_clip", "py"),
        ("csv", "csv"),
        ("yaml", "yaml"),
        ("markdown", "md"),
        ("txt", "txt"),
    ):
        assert texts_of(read(export(file, file_format).text, f"x.{suffix}")[0]) == texts


@pytest.mark.parametrize(
    "item",
    [
        *('"a {}."', "'a {c}.'", "'a ' '{}.'", 'r"a {0}."', 'lambda c: f"a {c}."', 'lambda c: "a %s." % c'),
        *('lambda name: "a {}.".format(name)', 'lambda c: "a {class_name}.".format(class_name=c)'),
        'lambda c: "a " + c + "."',
    ],
)
def test_every_way_to_write_a_template_in_python_is_understood(item):
    assert texts_of(read(f"T = [{item}]\n", "t.py")[0]) == ["a {}."]


@pytest.mark.parametrize(
    "item",
    [
        *("make()", "X", "5", "None", "*more", 'f"a {x}"', 'b"a {}"', '["nested {}"]', "lambda c: c.title()"),
        *('lambda c: f"a {c!r}."', 'lambda c: f"a {c:>5}"', 'lambda c: f"a {other}"', 'lambda a, b: f"{a}"'),
        *('lambda c: "a {} {}".format(c, c)', 'lambda c: "a " + 5'),
    ],
)
def test_what_would_have_to_be_run_is_refused_with_its_place(item):
    with pytest.raises(GroupFileError, match=r"t\.py:2:5: G022 an item that is computed"):
        read(f'T = ["ok {{}}.",\n    {item}]\n', "t.py")


def test_lists_are_found_in_dicts_classes_and_calls_are_not_made(tmp_path):
    code = f"""
import os
names = ["cat", "dog"]
CUSTOM = {{"Pets": "a photo of a {{}}, a pet.", "Food": "a photo of {{}}, a food."}}
T: list = ("a {{}}.",)
class A:
    templates = {{"cifar": ["b {{c}}."], "names": ["x"]}}
more_templates = T + ["c {{}}."]
open({str(tmp_path / "ran")!r}, "w")
"""
    listings = {listing.name: [s.text for s in listing.sentences] for listing in read_listings(code.encode(), "t.py")}
    assert listings == {
        "CUSTOM": ["a photo of a {}, a pet.", "a photo of {}, a food."],
        "T": ["a {}."],
        "cifar": ["b {c}."],
    }
    assert read(code, "t.py", name="T")[1] == ("line 8: more_templates is computed, and is not read",)
    assert not (tmp_path / "ran").exists()


def test_the_column_counts_characters():
    with pytest.raises(GroupFileError, match=r"t\.py:1:15: G030"):
        read('T = ["\u00e9\u00e9 {}", "no slot"]', "t.py")


# JSON


def test_json_of_single_texts_and_of_class_names():
    assert texts_of(read('{"Pets": "a {}, a pet.", "Food": "a {}, a food."}', "t.json")[0]) == [
        "a {}, a pet.",
        "a {}, a food.",
    ]
    with pytest.raises(GroupFileError, match="G030 no text in it has a slot"):
        read('{"tench": ["A tench is a fish."], "goldfish": ["A goldfish is gold."]}', "t.json")
    file, _ = read('{"pets": ["a {c}."], "cars": ["my {c}."]}', "t.json", name="cars")
    assert (file.domain, texts_of(file)) == ("cars", ["my {}."])


# tables


def test_a_table_gives_groups_titles_and_inits():
    rows = ["group,Title,init,template,mine", "night,At night,,a {c} at night.,1", "day,,,a {c} by day.,2"]
    text = "\n".join([*rows, 'night,,yes,"a dark, dark {c}.",'])
    file, notices = read(text, "t.csv")
    assert groups_of(file) == [("a {} at night.", "a dark, dark {}."), ("a {} by day.",)]
    assert [(g.id, g.title, g.init) for g in file.groups] == [
        ("night", "At night", "a dark, dark {}."), ("day", None, "a {} by day.")]  # fmt: skip
    assert 'columns that are not read: "mine"' in notices


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_all_delimiters_and_a_byte_order_mark(delimiter, mark):
    rows = [["Template", "Group"], ["a {}.", "Low detail"], ["b {}.", "2nd"]]
    file, _ = read(mark + "\r\n".join(delimiter.join(row) for row in rows), "t.tsv")
    assert [(group.id, group.title) for group in file.groups] == [("low_detail", "Low detail"), ("2nd", None)]


def test_a_column_alone_needs_no_heading():
    assert texts_of(read('a {}.\n"b, {}."\n\n', "t.csv")[0]) == ["a {}.", "b, {}."]
    assert texts_of(read("template\na {}.\n", "t.csv")[0]) == ["a {}."]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a {}.,x\nb {}.,y\n", {(1, "G020")}),
        ("template\na {}, b\n\nc, {}\n", {(2, "G024"), (4, "G024")}),
        ("group,template\na,\n,b {}.\nc,c {}.\n", {(2, "G020"), (3, "G020")}),
        ("template,template\na {}.,b\n", {(1, "G105")}),
        ('template\n"a {}.\n', {(2, "G031")}),
        ("template\n", {(1, "G024")}),
        ("group,template\na,a {}.\nb,no slot\nb,two {} {}\n", {(3, "G030"), (4, "G030")}),
    ],
)
def test_bad_rows_are_all_named(text, found):
    assert refused(text, "t.csv") == found


# Markdown


def test_markdown_written_by_hand():
    text = """# Satellite images

Some words about the file.

## Low detail
Images that are blurred,
or small.

* a blurry photo of a {}.
1. a \\*tiny\\* {class}.
    - nested {}.

### Plain ###
- `a photo of a {}.`
- ``a `quoted` {}`` (init)

a forgotten {} line
## Empty
"""
    file, notices = read(text, "x.md")
    assert file.domain == "Satellite images"
    assert groups_of(file) == [
        ("a blurry photo of a {}.", "a *tiny* {}.", "nested {}."),
        ("a photo of a {}.", "a `quoted` {}"),
    ]
    assert [(g.id, g.title, g.description) for g in file.groups] == [
        ("low_detail", "Low detail", "Images that are blurred, or small."), ("plain", "Plain", None)]  # fmt: skip
    assert file.groups[1].init == "a `quoted` {}"
    assert "line 17: no bullet, and is not read though it has a slot" in notices


def test_markdown_without_headings_has_no_groups():
    file, _ = read("- a {}.\n- b {}.\n", "maps.md")
    assert ([g.id for g in file.groups], groups_of(file)) == (["all"], [("a {}.", "b {}.")])
    assert refused("# Only words\n", "maps.md") == {(1, "G024")}


def test_descriptions_go_along():
    group = {"id": "a", "title": "A", "description": "Dark, *very* dark [x] = y", "templates": ["a {}."]}
    file = parse_groups(dump_groups({"schema_version": 1, "domain": "d", "groups": [group]}))
    for file_format, suffix in (("csv", "csv"), ("markdown", "md")):
        assert read(export(file, file_format).text, f"x.{suffix}")[0].groups == file.groups
    assert "not in it: descriptions of groups" in export(file, "yaml").notices


# all formats


def test_a_repeat_is_left_out_and_told_unless_a_group_would_be_empty():
    file, notices = read("group,template\na,x {}.\na,x {c}.\nb,x {}.\nb,y {}.\n", "t.csv")
    assert groups_of(file) == [("x {}.",), ("y {}.",)]
    assert 'left out, as the same text stands there before: 2 templates, the first in line 3: "x {}."' in notices
    with pytest.raises(
        GroupFileError, match=r't\.csv:3:3: G103 the group "b" holds only templates of earlier groups.*2:3'
    ):
        read("group,template\na,x {}.\nb,x {}.\n", "t.csv")


def test_the_init_is_kept_though_its_second_copy_named_it():
    file, _ = read("group,template,init\na,w {}.,\na,x {}.,\na,x {}.,yes\n", "t.csv")
    assert file.groups[0].init == "x {}."


def test_a_long_flat_list_becomes_several_groups():
    file, _ = read("".join(f"photo {n} of a {{}}.\n" for n in range(450)), "many.txt")
    assert [(group.id, len(group.templates)) for group in file.groups] == [
        ("all_1", 150),
        ("all_2", 150),
        ("all_3", 150),
    ]


def test_more_than_a_group_file_holds_is_refused():
    rows = "".join(f"g{n},photo {n} of a {{}}.\n" for n in range(65))
    assert refused("group,template\n" + rows, "t.csv") == {(1, "G024")}
    rows = "".join(f"g,photo {n} of a {{}}.\n" for n in range(201))
    assert refused("group,template\n" + rows, "t.csv") == {(2, "G024")}


def test_lists_become_groups_when_asked():
    data = json.dumps({"Low detail": ["a blurry {c}."], "Low-detail": ["a small {c}."], "plain": ["a {c}."]}).encode()
    listing = joined(read_listings(data, "t.json"))
    made = assemble(listing, checked(listing, "t.json"), data, "t.json")
    file = parse_groups(dump_groups(made.document))
    assert [(g.id, g.title) for g in file.groups] == [
        ("low_detail", "Low detail"),
        ("low_detail_2", "Low-detail"),
        ("plain", None),
    ]


def test_titles_that_no_line_holds_are_left_out_and_told():
    file, notices = read(f"group,title,template\na,{'t' * 81},a {{}}.\nb,\u200bx,b {{}}.\n", "t.csv")
    assert [group.title for group in file.groups] == [None, None]
    assert sum("its title is left out" in notice for notice in notices) == 2


def test_domain_and_kind_can_be_said():
    file, _ = read("a {}.\n", "x.txt", domain="Street  signs", kind="scene")
    assert (file.domain, file.class_kind, file.name) == ("Street signs", "scene", "street-signs")
    assert read("a {}.\n", "___.txt")[0].domain == "templates"


def test_what_only_a_group_file_holds_is_told():
    group = {"id": "a", "locked": True, "templates": [{"text": "a {}.", "note": "mine"}]}
    file = parse_groups(
        dump_groups({"schema_version": 1, "domain": "d", "groups": [group], "excluded": [{"text": "b {}"}]})
    )
    assert "not in it: locks, notes, exclusions" in export(file, "csv").notices


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        (b'["a {}.", "b {}."]', ["a {}.", "b {}."]),
        (b'{"pets": ["a {c}."]}', ["a {}."]),
        (b"TRAINER:\n  X:\n    LASP_PROMPTS: ['a {}.']\n", ["a {}."]),
        (b"import x\nT = ['a {}.']\n", ["a {}."]),
        (b"group,template\nx,a {}.\n", ["a {}."]),
        (b"# Title\n\n## One\n- a {}.\n", ["a {}."]),
        (b"# a comment\n{} texture.\n", ["{} texture."]),
    ],
)
def test_the_format_is_told_by_the_content_where_the_name_says_nothing(content, texts):
    assert texts_of(read(content, "<stdin>")[0]) == texts


@pytest.mark.parametrize(
    "text", ["a {c}", "{color} {c}", "100%s {}", "{0.__class__}", "{c!r}", "{a b}", "a [class]", "{}{}"]
)
def test_only_what_is_plainly_a_slot_is_taken_for_one(text):
    expected = {"a {c}": "a {}", "{color} {c}": "{color} {}", "a [class]": "a {}"}.get(text, text)
    assert with_slot(text) == expected
