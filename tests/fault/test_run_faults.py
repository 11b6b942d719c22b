"""A run.json damaged key by key is refused by our own error, whatever stands there instead."""

from __future__ import annotations

import copy
import json
import shutil

import pytest
from worlds import plan_for, write_world

from mocoop.errors import CheckpointError
from mocoop.runs.record import SEAL
from mocoop.runs.run import Run
from mocoop.runs.summary import summarise
from mocoop.runs.train import train

OTHERS = (None, [], {}, "text", 3, [{}], {"a": 1})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    return train(plan_for(write_world(folder), folder / "run"))


def places(value, path=()):
    """The path of every key of an object, and of the first item of every list."""
    for key in value if isinstance(value, dict) else range(min(1, len(value))):
        yield (*path, key)
        if isinstance(value[key], (dict, list)):
            yield from places(value[key], (*path, key))


def test_no_damage_to_the_record_gives_anything_but_our_own_error(run, tmp_path):
    record = json.loads((run.path / "run.json").read_text())
    del record[SEAL]  # so that what is damaged is read, as in a record of an earlier version
    folder = tmp_path / "run"
    shutil.copytree(run.path, folder)
    refused = 0
    for path in places(record):
        for other in OTHERS:
            damaged = copy.deepcopy(record)
            place = damaged
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = other
            (folder / "run.json").write_text(json.dumps(damaged))
            try:
                opened = Run.open(folder)
                opened.classifier()
                summarise(opened)
            except CheckpointError:
                refused += 1
    assert refused > 300  # what is only shown (a version, a device) may say anything


def test_a_running_record_without_its_groups_does_not_stop_a_training_with_force(run, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "run.json").write_text('{"format": 1, "status": "running", "config": {}}')
    world = {"groups": run.path.parent / "groups.json", "data": run.path.parent / "features.npz"}
    world["backbone"] = run.path.parent / "tiny"
    with pytest.raises(CheckpointError, match="required property"):
        train(plan_for(world, folder))
    assert train(plan_for(world, folder, force=True)).info["status"] == "finished"
