"""docs/python.md: its code runs, block after block, and what it says of scikit-learn's checks is what is tested."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from datafiles import pixels
from PIL import Image
from worlds import GROUPS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_pages_code_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("groups.json").write_text(json.dumps(GROUPS))
    for label, channel in (("red sand", 0), ("blue water", 2)):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(4):
            picture = pixels(number, 40, 48) // 4
            picture[..., channel] += 150
            Image.fromarray(picture).save(tmp_path / "photos" / label / f"{number}.png")
    paths = sorted(Path("photos").rglob("*.png"))
    labels = [path.parent.name for path in paths]
    names = {"train_paths": paths, "train_labels": labels, "test_paths": paths[::2], "test_labels": labels[::2]}
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 6
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), names)
    assert names["model"].validation_history_[-1].accuracy >= 0.5
    assert names["search"].best_params_.keys() == {"settings__epochs", "settings__lr"}
    assert (tmp_path / "run" / "run.json").is_file()
    assert list((tmp_path / "log").iterdir())
    assert "1 " in capsys.readouterr().out
