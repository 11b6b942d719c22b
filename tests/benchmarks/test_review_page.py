"""The benchmark of the review page measures what it says, on a small file."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from browser import browser  # noqa: F401  # skips where there is none

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "review_page.py"


@pytest.mark.slow
@pytest.mark.browser
def test_it_drops_cards_and_says_how_long_that_took(browser):  # noqa: F811
    size = ["--groups", "3", "--templates", "20", "--rounds", "3"]
    done = subprocess.run([sys.executable, str(SCRIPT), *size], capture_output=True, text=True, check=True)
    found = re.search(r"3 groups of 20 templates: drop to drawn (\d+) ms median, (\d+) ms at most of 3", done.stdout)
    assert found
    assert 0 < int(found[1]) <= int(found[2])
