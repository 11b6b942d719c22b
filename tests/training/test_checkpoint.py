"""Checkpoints: whole or refused, and never code."""

from __future__ import annotations

import os
import pickle

import pytest
import torch
from attacks import Bomb
from safetensors import safe_open

from mocoop.errors import CheckpointError
from mocoop.files import sha256_file
from mocoop.training.checkpoint import load_checkpoint, load_tensors, save_checkpoint, save_tensors

TENSORS = {"a": torch.arange(12.0).view(3, 4), "b": torch.ones(2)}
SHAPES = {name: tensor.shape for name, tensor in TENSORS.items()}


def test_round_trip_and_only_the_last_two_are_kept(tmp_path):
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, step, {**TENSORS, "b": torch.full((2,), float(step))}, {"note": "x"})
    found = load_checkpoint(tmp_path, SHAPES)
    assert found is not None
    assert (found.step, found.meta["note"], found.passed_over) == (3, "x", ())
    assert torch.equal(found.tensors["b"], torch.full((2,), 3.0))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["latest", "step-00000002", "step-00000003"]


def test_equal_tensors_and_metadata_give_equal_bytes(tmp_path):
    """Which safetensors does not promise: its metadata come in the random order of a hash map."""
    metadata = {"z": 'ü\n"', "classnames": '["a", "b"]', "weights": "0" * 64, "y": "", "x": "\x08\x1f\u2028"}
    for number in range(12):
        save_tensors(tmp_path / f"{number}.safetensors", TENSORS, metadata)
    assert len({sha256_file(path) for path in tmp_path.iterdir()}) == 1
    with safe_open(tmp_path / "0.safetensors", "pt") as file:
        assert file.metadata() == metadata
    found = load_tensors(tmp_path / "0.safetensors", None)
    assert all(torch.equal(found[name], TENSORS[name]) for name in TENSORS)


def test_none_where_there_is_none(tmp_path):
    assert load_checkpoint(tmp_path, SHAPES) is None


def test_a_folder_that_latest_does_not_name_is_not_read(tmp_path):
    save_checkpoint(tmp_path, 1, TENSORS, {})
    save_checkpoint(tmp_path, 2, TENSORS, {})
    (tmp_path / "latest").write_text("step-00000001\n")  # as if killed before the pointer was renamed
    assert load_checkpoint(tmp_path, SHAPES).step == 1


@pytest.mark.parametrize("eighth", range(8))
def test_a_cut_checkpoint_falls_back_to_the_one_before(tmp_path, eighth):
    save_checkpoint(tmp_path, 1, TENSORS, {})
    save_checkpoint(tmp_path, 2, TENSORS, {})
    path = tmp_path / "step-00000002" / "state.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * eighth // 8])
    found = load_checkpoint(tmp_path, SHAPES)
    assert found.step == 1
    assert "state.safetensors" in found.passed_over[0]


def test_every_flipped_byte_is_noticed(tmp_path):
    save_tensors(tmp_path / "t.safetensors", TENSORS)
    digest = sha256_file(tmp_path / "t.safetensors")
    data = (tmp_path / "t.safetensors").read_bytes()
    for place in range(0, len(data), max(1, len(data) // 64)):
        (tmp_path / "t.safetensors").write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(CheckpointError, match="its hash differs"):
            load_tensors(tmp_path / "t.safetensors", digest, SHAPES)


def test_when_none_is_whole_the_message_says_what_to_do(tmp_path):
    save_checkpoint(tmp_path, 1, TENSORS, {})
    (tmp_path / "step-00000001" / "state.json").write_text("{")
    with pytest.raises(CheckpointError, match="--force"):
        load_checkpoint(tmp_path, SHAPES)


def test_a_pickle_named_safetensors_is_refused_without_running(tmp_path):
    bomb = pickle.dumps(Bomb(str(tmp_path / "exploded")))
    (tmp_path / "t.safetensors").write_bytes(bomb)
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        load_tensors(tmp_path / "t.safetensors", None, SHAPES)
    assert not (tmp_path / "exploded").exists()


def test_all_misfits_in_one_message(tmp_path):
    wrong = {
        "a": torch.zeros(3, 5),
        "c": torch.zeros(1),
        "d": torch.tensor([float("nan")]),
        "e": torch.zeros(1, dtype=torch.float64),
    }
    save_tensors(tmp_path / "t.safetensors", wrong)
    shapes = {**SHAPES, "d": torch.Size([1]), "e": torch.Size([1])}
    with pytest.raises(CheckpointError) as caught:
        load_tensors(tmp_path / "t.safetensors", None, shapes)
    for words in ("a has shape (3, 5)", "b is missing", "c is not expected", "d holds values", "e is torch.float64"):
        assert words in str(caught.value)


def test_a_full_disk_leaves_the_old_file(tmp_path):
    """In a child, because a file size limit cannot be taken back."""
    save_tensors(tmp_path / "t.safetensors", TENSORS)
    before = (tmp_path / "t.safetensors").read_bytes()
    child = os.fork()
    if child == 0:
        import resource
        import signal

        from mocoop.errors import StorageError

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            save_tensors(tmp_path / "t.safetensors", {"big": torch.zeros(100_000)})
        except StorageError:
            os._exit(6)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 6
    assert (tmp_path / "t.safetensors").read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["t.safetensors"]
