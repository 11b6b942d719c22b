"""benchmarks/peers.py at its smallest: ours and the plain way give the same, and the page's command still runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "peers.py"


@pytest.mark.slow
def test_ours_and_the_plain_way_agree_for_every_method():
    small = ["--model", "ViT-S-32-alt", "--classes", "5", "--groups", "2", "--images", "1", "--repeats", "1"]
    done = subprocess.run([sys.executable, SCRIPT, *small], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if re.match(r"CoOp|CoCoOp|MoCoOp", line)]
    assert len(rows) == 4
    for row in rows:
        logits, gradients = map(float, row.split()[-2:])
        assert logits < 1e-4
        assert gradients < 1e-4
