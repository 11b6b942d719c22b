"""What opening large data and using a few rows of it takes, in processes of their own: a part of the file's size.

The whole sizes are in benchmarks/memory.py.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "memory.py"
MEGABYTES, ROWS = 30, 20_000

OPENED = """
import sys
sys.path.insert(0, {benchmarks!r})
from memory import resident
import numpy, safetensors, mocoop.data.sources
from mocoop.data.splits import few_shot
start = resident("VmRSS")
drawn = few_shot(mocoop.data.sources.open_dataset({path!r}), 16, 1)
if drawn.features is not None:
    assert drawn.features[[one.row for one in drawn.train]].shape == (1600, 512)
print(resident("VmHWM") - start)
"""


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("benchmark_memory", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from Linux's /proc")
@pytest.mark.parametrize(
    ("kind", "most"),
    [(".npz", 25), (".npz, compressed", 35), (".safetensors", 25), (".csv", 15)],
)
def test_the_peak_is_a_part_of_the_file(benchmark, tmp_path, kind, most):
    """Megabytes; it was 60, 74, 60 and 28 when all was in memory."""
    path = benchmark.written(kind, tmp_path, MEGABYTES, ROWS)
    code = OPENED.format(benchmarks=str(PATH.parent), path=str(path))
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert int(done.stdout) < most * 10**6
