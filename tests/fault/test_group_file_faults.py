"""Bad group files as a training meets them: refused before anything heavy is loaded, whatever their bytes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import CLASSNAMES, GROUPS, plan_for, write_world

from mocoop.config import preset
from mocoop.errors import ConfigError, GroupFileError, MoCoOpError
from mocoop.groupfile.groups import check, load_groups
from mocoop.runs.train import train

CORPUS = Path(__file__).parent / "corpus"
NOWHERE = "local-dir:nowhere"  # a backbone that cannot be loaded: whoever gets that far raises BackboneError


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("world"))


def write_groups(folder: Path, *groups: list[str], **keys: object) -> Path:
    document = {"schema_version": 1, "domain": "things", **keys}
    document["groups"] = [{"id": f"g{number}", "templates": texts} for number, texts in enumerate(groups)]
    (folder / "groups.json").write_text(json.dumps(document))
    return folder / "groups.json"


def renamed(world: dict[str, Path], folder: Path, **names: str) -> Path:
    """A file of names for the classes of a world."""
    (folder / "names.json").write_text(json.dumps({name: names.get(name, name) for name in CLASSNAMES}))
    return folder / "names.json"


@pytest.mark.parametrize("name", sorted(path.name for path in CORPUS.glob("*.json")))
def test_no_bad_file_reaches_a_backbone(world, tmp_path, name):
    with pytest.raises(GroupFileError) as caught:
        train(plan_for({**world, "groups": CORPUS / name}, tmp_path / "run", backbone=NOWHERE))
    assert caught.value.exit_code == 3
    assert all(re.match(rf".*{name}:\d+:\d+: G\d+ ", str(finding)) for finding in caught.value.findings)


@settings(max_examples=100)
@given(data=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_offered_to_a_training_give_an_error_of_the_family(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("bytes")
    (folder / "groups.json").write_bytes(data)
    world = {"groups": folder / "groups.json", "data": folder / "none.npz", "backbone": "nowhere"}
    with pytest.raises(MoCoOpError):
        train(plan_for(world, folder / "run"))


def test_one_group_and_two_experts_asked_for(world, tmp_path):
    alone = {**world, "groups": write_groups(tmp_path, ["a photo of a {}."])}
    with pytest.raises(ConfigError, match=r"top_k = 2 .* out of 1 .*--top-k 1") as caught:
        train(plan_for(alone, tmp_path / "run", preset("recommended", top_k=2), backbone=NOWHERE))
    assert caught.value.exit_code == 3
    run = train(plan_for(alone, tmp_path / "run", preset("recommended", epochs=1, batch_size=16, top_k=1)))
    assert run.groups.ids == ("g0",)


def test_a_template_too_long_for_the_longest_class_is_refused_with_both_named(world, tmp_path):
    long, name = "a photo of " + "9 " * 60 + "{}.", "old town " + "7 " * 20
    groups = {**world, "groups": write_groups(tmp_path, [long], ["a {}."])}
    plan = plan_for(groups, tmp_path / "run", backbone=NOWHERE, class_names=renamed(world, tmp_path, airport=name))
    load_groups(groups["groups"])  # by itself it is short enough
    with pytest.raises(GroupFileError, match="G106") as caught:
        train(plan)
    assert "old town" in str(caught.value)


@pytest.mark.parametrize("name", ["<end_of_text>", "&lt;start_of_text&gt;", "sea\u202esnake", "sea\u200bsnake"])
def test_class_names_that_would_change_a_prompt_are_refused_before_the_backbone(world, tmp_path, name):
    plan = plan_for(world, tmp_path / "run", backbone=NOWHERE, class_names=renamed(world, tmp_path, dog=name))
    with pytest.raises(MoCoOpError) as caught:
        train(plan)
    assert caught.value.exit_code in (3, 4)
    assert "nowhere" not in str(caught.value)
    assert str(caught.value).replace("\n", "").isprintable()


def test_class_names_that_look_like_slots_are_plain_text(world, tmp_path):
    names = renamed(world, tmp_path, dog="{}", airport="{0.__class__.__mro__}")
    run = train(plan_for(world, tmp_path / "run", class_names=names))
    assert run.classnames[:2] == ("{}", "{0.__class__.__mro__}")
    assert not np.allclose(*run.classifier().h[0, :2].numpy(), atol=1e-4)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a \N{LATIN SMALL LETTER E WITH ACUTE}toile {}.", "a e\N{COMBINING ACUTE ACCENT}toile {}."),
        ("a photo of a fish {}.", "a photo of a \N{LATIN SMALL LIGATURE FI}sh {}."),
        ("a photo of a {}.", "A PHOTO of a {}."),
        ("a photo of a {}.", "a photo of the {}"),
    ],
)  # fmt: skip
def test_templates_equal_after_folding_are_warned_of_and_train(world, tmp_path, one, other):
    path = write_groups(tmp_path, [one], [other])
    found = [finding for finding in check(path.read_bytes()) if finding.code == "G104"]
    assert len(found) == 1
    assert found[0].severity == "warning"
    assert found[0].hint


def test_the_copy_in_the_run_is_the_same_file_for_training(world, tmp_path):
    text = json.dumps({**GROUPS, "x-note": {"by": "hand", "on": [1, None]}}, indent=7)
    (tmp_path / "groups.json").write_text(text)
    run = train(plan_for({**world, "groups": tmp_path / "groups.json"}, tmp_path / "run"))
    copy = load_groups(run.path / "groups.json")
    assert copy.document == json.loads(text)
    assert copy.sha256 == load_groups(tmp_path / "groups.json").sha256 == run.info["groups"]["sha256"]


def test_ten_thousand_groups_never_reach_the_data(world, tmp_path):
    many = write_groups(tmp_path, *([f"a photo number {number} of a {{}}."] for number in range(10_000)))
    with pytest.raises(GroupFileError, match="G024") as caught:
        train(plan_for({**world, "groups": many, "data": tmp_path / "none"}, tmp_path / "run", backbone=NOWHERE))
    assert len(str(caught.value)) < 5_000
