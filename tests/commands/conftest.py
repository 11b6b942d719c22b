"""What every test of a command starts from: a small world, runs trained in it, and threads put back afterwards."""

from __future__ import annotations

import pytest
import torch
from command_line import runs_in, small_world


@pytest.fixture(autouse=True)
def same_threads():
    """`--threads` is for the process; here the next test is in the same one."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return small_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def runs(world, tmp_path_factory):
    return runs_in(world, tmp_path_factory.mktemp("runs"))
