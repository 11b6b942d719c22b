"""Group files as users meet them: loading, refusing with everything that is wrong, saving, round trips."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mocoop.errors import GroupFileError, MoCoOpError, StorageError, UsageError
from mocoop.groupfile.findings import RULES, Finding
from mocoop.groupfile.groups import (
    MOST_LISTED,
    Template,
    check,
    dump_groups,
    load_groups,
    parse_groups,
    save_groups,
)

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "tests" / "fault" / "corpus"

SMALLEST = {
    "schema_version": 1,
    "domain": "birds",
    "groups": [{"id": "plain", "templates": ["a photo of a {}."]}],
}

TEXT = """{
  "schema_version": 1,
  "name": "garden-birds",
  "x-mine": {"kept": [1, 2.50, null]},
  "domain": "birds",
  "class_kind": "object",
  "groups": [
    {
      "templates": [
        "a photo of a {}.",
        {"text": "a photo of the {}.", "origin": "bank", "source": "bank:plain", "locked": true, "note": "n"}
      ],
      "id": "plain",
      "init": "a photo of the {}.",
      "title": "Plain"
    },
    {"id": "far", "templates": ["a distant {}."], "reviewed": true}
  ]
}"""


def corpus() -> list[tuple[str, set[str]]]:
    rows = re.findall(r"^\| `(.+?)` \| (.+?) \|", (CORPUS / "README.md").read_text("utf-8"), re.MULTILINE)
    return [(name, set(rules.split())) for name, rules in rows]


def errors_of(data: bytes) -> set[str]:
    return {finding.code for finding in check(data) if finding.severity == "error"}


# ---- loading


def test_load(tmp_path: Path) -> None:
    path = tmp_path / "groups.json"
    path.write_text(TEXT)
    loaded = load_groups(path)
    assert (loaded.domain, loaded.name, loaded.class_kind) == ("birds", "garden-birds", "object")
    plain, far = loaded.groups
    assert plain.texts == ("a photo of a {}.", "a photo of the {}.")
    assert plain.init == "a photo of the {}."
    assert plain.templates[1] == Template("a photo of the {}.", "bank", "bank:plain", True, "n")
    assert far.init == "a distant {}."
    assert far.reviewed
    assert not plain.reviewed
    assert loaded.document == json.loads(TEXT)
    assert [finding.code for finding in loaded.findings] == ["G110", "G110", "G104"]
    assert str(loaded.findings[2]).startswith(f"{path}:11:18: G104 ")


def test_smallest_file() -> None:
    loaded = parse_groups(json.dumps(SMALLEST).encode())
    assert loaded.groups[0].init == "a photo of a {}."
    assert loaded.class_kind == "object"


def test_byte_order_mark_is_dropped() -> None:
    assert parse_groups(b"\xef\xbb\xbf" + TEXT.encode()) == parse_groups(TEXT.encode())


def test_hash_is_of_what_training_sees() -> None:
    def changed(**change: Any) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(TEXT)
        document["groups"][0].update(change)
        return document

    def hashes(document: dict[str, Any]) -> tuple[str, str]:
        loaded = parse_groups(dump_groups(document))
        return loaded.sha256, loaded.templates_sha256

    same, same_templates = hashes(changed())
    assert hashes(changed(title="Other", reviewed=True, rationale="r")) == (same, same_templates)
    assert hashes(changed(templates=["a photo of a {}.", "a photo of the {}."])) == (same, same_templates)
    for change in ({"id": "other"}, {"init": "a photo of a {}."}):
        assert hashes(changed(**change)) != (same, same_templates)
        assert hashes(changed(**change))[1] == same_templates
    swapped = changed(templates=["a photo of the {}.", "a photo of a {}."])
    assert hashes(swapped)[0] != same
    assert hashes(swapped)[1] != same_templates
    assert len(same) == 64


def test_first_template_named_or_not_is_the_same_file_for_training() -> None:
    named = json.loads(json.dumps(SMALLEST))
    named["groups"][0]["init"] = "a photo of a {}."
    assert parse_groups(dump_groups(named)).sha256 == parse_groups(dump_groups(SMALLEST)).sha256


def test_class_names_and_context_length_are_used() -> None:
    data = dump_groups(SMALLEST)
    parse_groups(data, class_names=["finch"], context_length=8)
    with pytest.raises(GroupFileError, match=r"G106.*takes 8 tokens"):
        parse_groups(data, class_names=["finch"], context_length=7)
    with pytest.raises(GroupFileError, match=r"G106.*takes 52 tokens"):
        parse_groups(data, class_names=["finch"], context_length=40, count_tokens=lambda text: 50)


def test_wrong_schema_version_stops_there() -> None:
    findings = check(b'{"schema_version": 2, "anything": [1]}')
    assert [(finding.code, finding.hint) for finding in findings] == [("G008", "upgrade mocoop")]


# ---- refusing


def test_all_problems_at_once_with_places(tmp_path: Path) -> None:
    path = tmp_path / "groups.json"
    path.write_text(
        """{
  "schema_version": 1,
  "domian": "birds",
  "domain": "birds",
  "groups": [
    {"id": "Plain", "templates": ["a photo of a bird."]},
    {"id": "b", "template": []},
    {"id": "b", "templates": ["a {}.", "a {}."], "init": "the {}."}
  ],
  "domain": "dogs"
}"""
    )
    with pytest.raises(GroupFileError) as caught:
        load_groups(path)
    places = [
        (finding.line, finding.column, finding.code, finding.pointer)
        for finding in caught.value.findings
        if finding.severity == "error"
    ]
    assert places == [
        (3, 3, "G021", "/domian"),
        (6, 12, "G025", "/groups/0/id"),
        (6, 35, "G030", "/groups/0/templates/0"),
        (7, 17, "G021", "/groups/1/template"),
        (8, 12, "G102", "/groups/2/id"),
        (8, 40, "G103", "/groups/2/templates/1"),
        (8, 58, "G101", "/groups/2/init"),
        (10, 3, "G105", "/domain"),
    ]
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{path} has 8 errors:"
    assert lines[1].startswith(f"{path}:3:3: G021 ")
    assert "did you mean `domain`?" in lines[1]
    assert len(lines) == 9


def test_single_error_is_one_line() -> None:
    with pytest.raises(GroupFileError) as caught:
        parse_groups(b'{"a": 1,}', source="x.json")
    assert caught.value.message == "x.json:1:8: G004 a comma before `}`"
    assert "trailing comma?" in str(caught.value.hint)
    assert caught.value.exit_code == 3


def test_long_lists_of_errors_are_cut_in_the_message_only() -> None:
    document = {
        **SMALLEST,
        "groups": [{"id": "plain", "templates": [f"no slot {number}" for number in range(150)]}],
    }
    with pytest.raises(GroupFileError) as caught:
        parse_groups(dump_groups(document))
    assert len(str(caught.value).splitlines()) == MOST_LISTED + 2
    assert "and 130 more" in str(caught.value)
    assert sum(finding.severity == "error" for finding in caught.value.findings) == 150


def test_finding_as_json() -> None:
    (finding,) = check(b"", source="x.json")
    assert json.loads(json.dumps(finding.as_dict())) == {
        "source": "x.json",
        "line": 1,
        "column": 1,
        "pointer": "",
        "code": "G004",
        "severity": "error",
        "message": "the file is empty",
        "hint": finding.hint,
    }


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(GroupFileError) as caught:
            load_groups(path)
        assert [finding.code for finding in caught.value.findings] == ["G001"]


@pytest.mark.parametrize(("name", "rules"), corpus())
def test_corpus(name: str, rules: set[str]) -> None:
    with pytest.raises(GroupFileError) as caught:
        load_groups(CORPUS / name)
    found = [finding for finding in caught.value.findings if finding.severity == "error"]
    assert {finding.code for finding in found} == rules
    text = (CORPUS / name).read_bytes()
    for finding in found:
        assert finding.hint
        assert f"{finding.message}{finding.hint}".isprintable()
        assert 1 <= finding.line <= text.count(b"\n") + 1


def test_corpus_is_complete() -> None:
    listed = corpus()
    assert {name for name, _ in listed} == {path.name for path in CORPUS.glob("*.json")}
    untested = {"G001", "G002", "G122"}  # no file on disk, too large to keep, not about the file
    covered = set().union(*(rules for _, rules in listed)) | untested
    assert covered == {code for code, rule in RULES.items() if rule.severity == "error"}


def file_of(groups: list[Any]) -> bytes:
    return json.dumps({"schema_version": 1, "domain": "x", "groups": groups}).encode()


def group(number: int, *templates: str, key: str = "templates") -> dict[str, Any]:
    return {"id": f"g{number}", key: templates}


LARGE: dict[str, Callable[[], bytes]] = {
    "50 MB": lambda: b'{"domain": "' + b"x" * 50_000_000 + b'"}',
    "200,000 brackets": lambda: b"[" * 200_000,
    "200,000 objects": lambda: b'{"a":' * 200_000,
    "10,000 groups": lambda: file_of([group(i, f"a photo {i} of a {{}}.") for i in range(10_000)]),
    "10,000 bad groups": lambda: file_of([group(0, "no slot", key="template") for _ in range(10_000)]),
    "10,000 templates": lambda: file_of([group(0, *(f"a photo {i}" for i in range(10_000)))]),
    "200,000 equal keys": lambda: b"{" + b'"a":1,' * 200_000 + b'"a":1}',
    "200,000 unknown keys": lambda: json.dumps({f"key{i}": i for i in range(200_000)}).encode(),
    "empty": lambda: b"",
}


@pytest.mark.parametrize("name", LARGE)
def test_large_files_are_refused_cheaply(name: str, tmp_path: Path) -> None:
    """In less processor time than counting to twenty million takes, the start of Python included, and 200 MB."""
    path = tmp_path / "groups.json"
    path.write_bytes(LARGE[name]())
    code = """
import re, sys, time
from mocoop.errors import GroupFileError
from mocoop.groupfile.groups import load_groups
try:
    load_groups(sys.argv[1])
except GroupFileError as error:
    assert error.findings
    linux = sys.platform == "linux"
    memory = re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1] if linux else 0
    heavy = {"torch", "numpy", "open_clip"} & set(sys.modules)
    seconds = time.process_time()
    count = 0
    for _ in range(20_000_000):
        count += 1
    print(seconds / (time.process_time() - seconds), memory, len(heavy))
"""
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    ratio, kilobytes, heavy = done.stdout.split()
    assert heavy == "0"
    assert int(kilobytes) < 200_000
    assert float(ratio) < 1


# ---- any bytes

KEYS = st.sampled_from(["schema_version", "domain", "groups", "id", "templates", "text", "x-", "q"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["schema_version", "domain", "groups", "id", "templates", "text", "x-", "q"]),
            inner,
        )
    ),
    max_leaves=15,
)


def only_our_errors(data: bytes) -> None:
    findings = check(data)
    assert all(isinstance(finding, Finding) and finding.code in RULES for finding in findings)
    assert findings == sorted(findings, key=lambda finding: (finding.line, finding.column, finding.code))
    if any(finding.severity == "error" for finding in findings):
        with pytest.raises(GroupFileError) as caught:
            parse_groups(data)
        assert list(caught.value.findings) == findings
        str(caught.value).encode("utf-8")
    else:
        assert list(parse_groups(data).findings) == findings


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    only_our_errors(data)


@settings(max_examples=300, deadline=None)
@given(JSON, st.booleans())
def test_any_json(value: Any, ascii_only: bool) -> None:
    only_our_errors(json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass"))


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(TEXT)), st.integers(0, 12), st.binary(max_size=6))
def test_any_damage_to_a_good_file(at: int, length: int, replacement: bytes) -> None:
    data = TEXT.encode()
    only_our_errors(data[:at] + replacement + data[at + length :])


# ---- round trips

LINE = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp"]), max_size=10)
WORDING = LINE.map(lambda text: text.replace("{", "").replace("}", ""))
SENTENCE = st.tuples(st.just("a "), WORDING, st.just("{}"), WORDING).map("".join)
NOTES = st.dictionaries(st.sampled_from(["x-a", "x-é", "x-"]), st.integers() | st.lists(LINE) | st.floats(-1e9, 1e9))


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Valid documents, keys in any order, templates as texts and as objects."""
    texts = draw(st.lists(SENTENCE, min_size=1, max_size=6, unique=True))
    groups = []
    for number, text in enumerate(texts):
        item = draw(st.sampled_from([text, {"text": text, "locked": True}, {"origin": "manual", "text": text}]))
        group = {"id": f"g{number}", "templates": [item], **draw(NOTES)}
        if draw(st.booleans()):
            group["init"] = text
        groups.append(dict(draw(st.permutations(list(group.items())))))
    document = {"schema_version": 1, "domain": "d" + draw(LINE), "groups": groups, **draw(NOTES)}
    return dict(draw(st.permutations(list(document.items()))))


@settings(max_examples=150, deadline=None)
@given(documents())
def test_round_trip(document: dict[str, Any]) -> None:
    data = dump_groups(document)
    assert errors_of(data) == set()
    loaded = parse_groups(data)
    assert loaded.document == document
    assert list(loaded.document) == list(document)
    assert dump_groups(loaded.document) == data
    assert parse_groups(dump_groups(loaded.document)) == loaded
    assert data.endswith(b"}\n")
    assert b"\r" not in data


def test_hand_written_layout_keeps_its_meaning() -> None:
    loaded = parse_groups(TEXT.encode())
    written = dump_groups(loaded.document)
    assert parse_groups(written) == loaded
    assert dump_groups(parse_groups(written).document) == written
    assert parse_groups(written).sha256 == loaded.sha256


# ---- saving


def test_save_and_load(tmp_path: Path) -> None:
    path = tmp_path / "groups.json"
    document = json.loads(TEXT)
    saved = save_groups(path, document)
    assert load_groups(path) == saved
    assert path.read_bytes() == dump_groups(document)
    assert os.listdir(tmp_path) == ["groups.json"]


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    path = tmp_path / "groups.json"
    path.write_text("precious")
    with pytest.raises(UsageError, match="exists already"):
        save_groups(path, SMALLEST)
    assert path.read_text() == "precious"
    save_groups(path, SMALLEST, overwrite=True)
    assert load_groups(path).domain == "birds"


@pytest.mark.parametrize(
    "change",
    [
        {"domain": ""},
        {"groups": []},
        {"x-score": float("nan")},
        {"x-note": "\ud800"},
        {"x-deep": [[[[]]]] * 3, "nonsense": 1},
    ],
)
def test_an_invalid_document_is_never_written(change: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(GroupFileError):
        save_groups(tmp_path / "groups.json", {**SMALLEST, **change})
    assert os.listdir(tmp_path) == []


def test_a_document_that_holds_itself(tmp_path: Path) -> None:
    document: dict[str, Any] = dict(SMALLEST)
    document["x-self"] = document
    with pytest.raises(GroupFileError, match="cannot be written"):
        save_groups(tmp_path / "groups.json", document)


def test_saving_where_it_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        save_groups(tmp_path / "none" / "groups.json", SMALLEST)


def test_every_error_is_of_the_family() -> None:
    assert issubclass(GroupFileError, MoCoOpError)


# ---- outside data


@pytest.fixture
def data_folder() -> Path:
    folder = os.environ.get("MOCOOP_TEST_DATA")
    if not folder:
        pytest.skip("MOCOOP_TEST_DATA is not set")
    return Path(folder)


def test_the_example_file(data_folder: Path) -> None:
    assert len(load_groups(data_folder / "groups.example.json").groups) == 3


def test_the_papers_groups_have_no_errors(data_folder: Path) -> None:
    sets = json.loads((data_folder / "paper_groups.json").read_text("utf-8"))
    for name, entry in sets.items():
        groups = [{"id": f"g{index}", "templates": texts} for index, texts in enumerate(entry["groups"])]
        loaded = parse_groups(dump_groups({"schema_version": 1, "domain": name, "groups": groups}))
        assert len(loaded.groups) == entry["n_experts"]
        assert {finding.code for finding in loaded.findings} <= {"G104", "G110", "G114"}
