"""Damaged checkpoints and runs: a training goes on from the last good one and says so, and nothing in them runs."""

from __future__ import annotations

import ast
import json
import os
import pickle
import random
import shutil
from pathlib import Path

import pytest
import torch
from attacks import Bomb
from safetensors.torch import save_file
from worlds import plan_for, write_world

from mocoop.errors import CheckpointError
from mocoop.files import sha256_file, write_json
from mocoop.runs.record import write_record
from mocoop.runs.run import Run
from mocoop.runs.train import train
from mocoop.training.checkpoint import load_checkpoint, save_checkpoint
from mocoop.training.trainer import Listener

ROOT = Path(__file__).parents[2]
TENSORS = {"a": torch.arange(12.0).view(3, 4), "b": torch.ones(2)}
SHAPES = {name: tensor.shape for name, tensor in TENSORS.items()}
LAST, BEFORE = "checkpoints/step-00000006", "checkpoints/step-00000003"


class Stopped(Exception):
    pass


class Stop(Listener):
    """Ends a training after a step, as a crash would."""

    def __init__(self, step: int) -> None:
        self._step = step

    def step(self, log):
        if log.step == self._step:
            raise Stopped


class Hearer(Listener):
    def __init__(self):
        self.notices, self.resumed = [], None

    def notice(self, text):
        self.notices.append(text)

    def started(self, epochs, steps, resumed_step):
        self.resumed = resumed_step


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def whole(world, tmp_path_factory):
    return train(plan_for(world, tmp_path_factory.mktemp("whole") / "run"))


@pytest.fixture(scope="module")
def crashed(world, tmp_path_factory):
    """A run that ended in its third epoch: checkpoints of steps 3 and 6."""
    out = tmp_path_factory.mktemp("crashed") / "run"
    with pytest.raises(Stopped):
        train(plan_for(world, out), Stop(8))
    return out


@pytest.fixture
def interrupted(crashed, tmp_path):
    return Path(shutil.copytree(crashed, tmp_path / "run"))


def two_checkpoints(folder: Path) -> Path:
    """Steps 1 and 2; the folder of the second."""
    for step in (1, 2):
        save_checkpoint(folder, step, TENSORS, {})
    return folder / "step-00000002"


@pytest.mark.parametrize("eighth", range(8))
def test_a_training_goes_on_from_the_checkpoint_before_the_cut_one(world, whole, interrupted, eighth):
    path = interrupted / LAST / "state.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size * eighth // 8])
    heard = Hearer()
    resumed = train(plan_for(world, interrupted), heard)
    assert heard.resumed == 3
    (notice,) = [text for text in heard.notices if "passed over" in text]
    assert str(path) in notice
    assert all(torch.equal(resumed.tensors[name], whole.tensors[name]) for name in whole.tensors)
    assert [log.step for log in resumed.history()] == list(range(1, 10))


def test_a_training_whose_checkpoints_are_all_damaged_is_refused_and_keeps_its_files(world, interrupted):
    for name in (LAST, BEFORE):
        (interrupted / name / "state.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"step-00000006.*step-00000003.*--force"):
        train(plan_for(world, interrupted))
    assert (interrupted / LAST).is_dir()


def test_no_flipped_byte_of_a_description_lets_other_tensors_through(tmp_path):
    path = two_checkpoints(tmp_path) / "state.json"
    data = path.read_bytes()
    for place in random.Random(0).sample(range(len(data)), 64):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        found = load_checkpoint(tmp_path, SHAPES)
        assert all(torch.equal(found.tensors[name], TENSORS[name]) for name in TENSORS)
        assert (found.step == 2) == (found.passed_over == ())


@pytest.mark.parametrize("place", range(4))
def test_a_flipped_byte_in_the_last_checkpoint_is_passed_over_in_training(world, whole, interrupted, place):
    path = interrupted / LAST / "state.safetensors"
    data = bytearray(path.read_bytes())
    data[random.Random(place).randrange(len(data))] ^= 0x10
    path.write_bytes(data)
    heard = Hearer()
    assert torch.equal(train(plan_for(world, interrupted), heard).tensors["ctx"], whole.tensors["ctx"])
    assert "its hash differs" in " ".join(heard.notices)


@pytest.mark.parametrize(
    "description",
    [
        [],
        "step-2",
        None,
        {},
        {"step": 2},
        {"step": 2, "sha256": None},
        {"step": 2, "sha256": ["x"]},
        {"step": 1, "sha256": "of the other step"},
    ],
)
def test_a_description_that_does_not_vouch_for_its_tensors_is_passed_over(tmp_path, description):
    newest = two_checkpoints(tmp_path)
    (newest / "state.json").write_text(json.dumps(description))
    found = load_checkpoint(tmp_path, SHAPES)
    assert found.step == 1
    assert "does not describe step 2" in found.passed_over[0]


@pytest.mark.parametrize(
    "pointer", [b"", b"\xff\xfe\x00", b"step-99999999999999999999\n", b"../../etc/passwd", b"step-2"]
)
def test_a_garbled_pointer_still_finds_the_newest_whole_checkpoint(tmp_path, pointer):
    two_checkpoints(tmp_path)
    (tmp_path / "latest").write_bytes(pointer)
    assert load_checkpoint(tmp_path, SHAPES).step == 2


def test_a_damaged_newer_checkpoint_does_not_push_out_a_good_one(tmp_path):
    two_checkpoints(tmp_path)
    save_checkpoint(tmp_path, 9, TENSORS, {})
    (tmp_path / "step-00000009" / "state.safetensors").write_bytes(b"")
    assert load_checkpoint(tmp_path, SHAPES).step == 2
    save_checkpoint(tmp_path, 4, TENSORS, {})  # of the training that goes on from there
    assert sorted(path.name for path in tmp_path.glob("step-*")) == ["step-00000002", "step-00000004"]


@pytest.mark.parametrize("kind", ["pickle", "torch"])
def test_code_offered_as_a_checkpoint_does_not_run_whatever_its_hash_says(tmp_path, kind):
    newest = two_checkpoints(tmp_path)
    bomb, path = Bomb(str(tmp_path / "exploded")), newest / "state.safetensors"
    if kind == "pickle":
        path.write_bytes(pickle.dumps(bomb))
    else:
        torch.save({"ctx": bomb}, path)
    write_json(newest / "state.json", {"step": 2, "sha256": sha256_file(path)})
    found = load_checkpoint(tmp_path, SHAPES)
    assert "not a whole safetensors file" in found.passed_over[0]
    assert not (tmp_path / "exploded").exists()


def test_a_run_whose_model_holds_other_tensors_names_all_of_them(whole, tmp_path):
    path = Path(shutil.copytree(whole.path, tmp_path / "run"))
    wrong = {
        "ctx": torch.zeros(1, 2),
        "router.linear.weight": torch.full_like(whole.tensors["router.linear.weight"], torch.nan),
        "extra": torch.zeros(1),
    }
    save_file(wrong, path / "model.safetensors")
    info = json.loads((path / "run.json").read_text())
    info["files"]["model.safetensors"] = sha256_file(path / "model.safetensors")
    write_record(path, info)
    with pytest.raises(CheckpointError) as caught:
        Run.open(path).tensors  # noqa: B018
    for words in (
        "ctx has shape (1, 2)",
        "router.linear.weight holds values that are not finite",
        "router.linear.bias is missing",
        "extra is not expected",
    ):
        assert words in str(caught.value)


def test_a_checkpoint_that_fits_in_part_changes_no_parameter(world, interrupted):
    """The last one lacks a tensor, with a hash that fits: the one before it is taken whole."""
    path = interrupted / LAST / "state.safetensors"
    save_file({"ctx": torch.zeros(3, 3)}, path)
    write_json(path.with_name("state.json"), {"step": 6, "sha256": sha256_file(path)})
    heard = Hearer()
    train(plan_for(world, interrupted), heard)
    assert heard.resumed == 3
    assert any("router.linear.bias is missing" in text for text in heard.notices)


UNSAFE = {"eval", "exec", "__import__", "torch.load", "pickle", "marshal", "shelve", "joblib", "dill", "os.system"}


def _names(tree: ast.AST) -> set[str]:
    """Names called and modules imported, dotted; keyword arguments given as True."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            plain = any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords)
            found |= {ast.unparse(node.func)} - ({"torch.load"} if plain else set())  # tensors alone run nothing
            true = (k.arg for k in node.keywords if isinstance(k.value, ast.Constant) and k.value.value is True)
            found |= {f"{argument}=True" for argument in true}
        elif isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module).partition(".")[0])
    return found


def test_no_source_file_can_run_what_it_reads():
    folders = [folder for folder in ("mocoop", "grouping") if (ROOT / folder).is_dir()]
    sources = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    assert len(sources) > 40
    for path in sources:
        names = _names(ast.parse(path.read_text("utf-8")))
        assert not names & (UNSAFE | {"trust_remote_code=True", "allow_pickle=True"}), os.fspath(path)
        assert "weights_only=False" not in path.read_text("utf-8")
